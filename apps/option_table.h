#pragma once

#include <string>
#include <vector>

/// The option table as plain data, for whoever must know all of it: settings, completions, the man
/// page. It is read off the CLI11 table of cli.cc, never written by hand.
namespace cardloom::app {

/// One option or positional of a command.
struct OptionInfo {
  enum class Kind { kFlag, kInteger, kUnsigned, kNumber, kText };

  std::string name;        ///< "kv-cache"; of a positional as the help writes it: "MODEL"
  std::string short_name;  ///< "q"; "": none
  std::string value_name;  ///< "N", "FILE"; "" for flags and positionals
  std::string help;
  std::string group;
  std::string default_text;  ///< "": none
  std::vector<std::string> choices;
  Kind kind = Kind::kText;
  bool is_list = false;  ///< may be repeated
  bool is_positional = false;
  bool is_required = false;

  /// Told to nobody: "***".
  [[nodiscard]] bool is_secret() const { return value_name == "KEY"; }
  /// One text that holds numbers with commas between them.
  [[nodiscard]] bool is_comma_list() const { return value_name == "N,.."; }
  /// "--kv-cache", "MODEL".
  [[nodiscard]] std::string written() const;
  /// The name in a settings file: "kv-cache", and "model" for MODEL. "": it cannot stand there.
  [[nodiscard]] std::string key() const;
  /// "CARDLOOM_KV_CACHE"; "": positionals, --help and --config have none.
  [[nodiscard]] std::string variable() const;

  bool operator==(const OptionInfo&) const = default;
};

/// A command, or the whole program with all commands.
struct CommandInfo {
  std::string path;  ///< "serve", "bench serve"; "" for the program
  std::string name;  ///< "serve"; "cardloom" for the program
  std::string help;
  std::string usage;   ///< "cardloom run [OPTIONS] MODEL [PROMPT]"
  std::string footer;  ///< examples and more
  std::vector<OptionInfo> options;
  std::vector<CommandInfo> commands;

  /// Whether file and environment have a say; `config` and the like are governed by typing alone.
  [[nodiscard]] bool has_settings() const { return find_option("config") && path != "config show"; }
  [[nodiscard]] const OptionInfo* find_option(const std::string& option_name) const;
  /// nullptr: there is none.
  [[nodiscard]] const CommandInfo* find_command(const std::string& command_path) const;
};

/// The program and all its commands, on a table of their own.
[[nodiscard]] CommandInfo option_table();

/// All commands below `root`, each before its own.
[[nodiscard]] std::vector<const CommandInfo*> all_commands(const CommandInfo& root);
/// Those with settings.
[[nodiscard]] std::vector<const CommandInfo*> commands_with_settings(const CommandInfo& root);

/// Options (no positionals) that every command with settings has, as the first of them has them.
[[nodiscard]] std::vector<OptionInfo> shared_options(const CommandInfo& root);
/// A command's options that are not shared, or not in the same words or with the same default.
[[nodiscard]] std::vector<OptionInfo> own_options(const CommandInfo& command,
                                                  const std::vector<OptionInfo>& shared);

}  // namespace cardloom::app
