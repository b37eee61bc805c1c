// From the typed words, the environment and the settings file to one command's options.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "apps/cli_table.h"
#include "apps/option_source.h"
#include "apps/text.h"

namespace cardloom::app {
namespace {

std::vector<std::string> option_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  return names;
}

/// The command that was typed, below which none was: of "bench serve" the second.
CLI::App& innermost(CLI::App& app) {
  CLI::App* command = &app;
  while (!command->get_subcommands().empty()) command = command->get_subcommands().front();
  return *command;
}

/// "config show"; "" for the program itself.
std::string path_of(const CLI::App& command) {
  if (command.get_parent() == nullptr) return {};
  const std::string above = path_of(*command.get_parent());
  return above.empty() ? command.get_name() : above + " " + command.get_name();
}

/// "cardloom", "cardloom config show".
std::string program_of(const CLI::App& command) {
  const std::string path = path_of(command);
  return path.empty() ? "cardloom" : "cardloom " + path;
}

/// "usage: cardloom run [OPTIONS] MODEL [PROMPT]", as the help says it.
std::string usage_of(const CLI::App& command) {
  const std::string help = command.help(program_of(*command.get_parent()));
  const std::size_t begin = help.find("Usage: ");
  if (begin == std::string::npos) return {};
  return "u" + help.substr(begin + 1, help.find('\n', begin) - begin - 1);
}

/// CLI11's words where they are clear, ours where they are not.
std::string parse_message(const CLI::ParseError& failure) {
  std::string message = failure.what();
  if (dynamic_cast<const CLI::ValidationError*>(&failure) != nullptr) {  // read_numbers()
    const std::size_t colon = message.find(": ");
    return message.replace(colon, 1, " is");
  }
  constexpr std::string_view kConversion = "Could not convert: ";
  const std::size_t equals = message.find(" = ");
  if (message.starts_with(kConversion) && equals != std::string::npos) {
    return fmt::format("{} does not take \"{}\"",
                       message.substr(kConversion.size(), equals - kConversion.size()),
                       message.substr(equals + 3));
  }
  const std::size_t missing = message.find(": 1 required ");
  if (missing != std::string::npos) return message.substr(0, missing) + " is given without a value";
  return message;
}

[[noreturn]] void tell_no_command(const CLI::App& app) {
  const std::string program = program_of(app);
  const std::vector<std::string> known = command_names(app);
  const std::vector<std::string> typed = app.remaining(true);
  const std::string meant = typed.empty() ? std::string() : nearest(typed.front(), known);
  const std::string command = app.get_parent() == nullptr ? "command" : "command of " + program;
  fail_usage(typed.empty() ? fmt::format("there is no {} on the line", command)
                           : fmt::format("there is no {} \"{}\"", command, typed.front()),
             fmt::format("the commands are {}", joined(known)),
             fmt::format("{} {}", program, meant.empty() ? "--help" : meant));
}

/// CLI11's complaint in our three lines.
[[noreturn]] void tell_parse_error(CLI::App& app, const CLI::ParseError& failure) {
  const CLI::App& command = innermost(app);
  if (command.get_require_subcommand_min() > 0) tell_no_command(command);
  const std::string help = fmt::format("{} --help", program_of(command));
  const std::vector<std::string> extras = app.remaining(true);
  if (dynamic_cast<const CLI::ExtrasError*>(&failure) == nullptr || extras.empty()) {
    fail_usage(parse_message(failure), usage_of(command), help);
  }
  const std::string typed = extras.front().substr(0, extras.front().find('='));
  const std::string meant = nearest(typed, option_names(command));
  fail_usage(fmt::format("{} does not take \"{}\"", program_of(command), typed),
             fmt::format("{}; options {}", usage_of(command), joined(option_names(command))),
             meant.empty() ? help : fmt::format("{}, if that was meant", meant));
}

/// CLI11 takes the words from the back.
void parse(CLI::App& app, const std::vector<std::string>& words) {
  std::vector<std::string> reversed(words.rbegin(), words.rend());
  app.parse(std::move(reversed));
}

void require_nothing(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) option->required(false);
  for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) {
    require_nothing(*command);
  }
}

/// Lets options of numbers read what is typed as those of the environment are read.
void read_numbers(CLI::App& app, const CommandInfo& command) {
  using Kind = OptionInfo::Kind;
  for (const OptionInfo& option : command.options) {
    const bool is_number = option.kind != Kind::kFlag && option.kind != Kind::kText;
    if (!is_number || option.is_list || option.is_positional) continue;
    const auto read = [option](std::string& text) {
      const std::string value = converted(option, text);
      if (value.empty()) return fmt::format("\"{}\", but must be {}", text, wanted(option, text));
      text = value;
      return std::string();
    };
    app.get_option(option.written())->transform(CLI::Validator(read, ""));
  }
  for (const CommandInfo& below : command.commands) {
    read_numbers(*app.get_subcommand(below.name), below);
  }
}

/// What was typed, as far as it matters for what was not.
struct Typed {
  std::string path;  ///< of the command
  std::set<std::string> options;
  std::optional<std::string> config;
};

/// Nothing for words that CLI11 does not take, and for --help: then no setting matters either.
std::optional<Typed> typed_words(const std::vector<std::string>& words, const CommandInfo& root) {
  CommandLine scratch;
  CLI::App app;
  define_commands(app, scratch);
  read_numbers(app, root);
  require_nothing(app);
  try {
    parse(app, words);
  } catch (const CLI::Error&) {
    return std::nullopt;
  }
  CLI::App& command = innermost(app);
  Typed typed;
  typed.path = path_of(command);
  for (const CLI::Option* option : command.get_options()) {
    if (option->count() == 0) continue;
    typed.options.insert(option->get_single_name());
    if (option->get_single_name() == "config") typed.config = option->results().back();
  }
  return typed;
}

/// Gives the options of `command` the values of settings that were not typed. CLI11 adds what it
/// parses to what is there, and does not ask for an option or MODEL that has its value.
void preset(CLI::App& app, const std::string& path, const std::vector<Setting>& settings) {
  CLI::App* command = &app;
  for (const std::string& name : CLI::detail::split(path, ' ')) {
    command = command->get_subcommand(name);
  }
  for (const Setting& setting : settings) {
    if (setting.origin != Setting::Origin::kFile &&
        setting.origin != Setting::Origin::kEnvironment) {
      continue;
    }
    CLI::Option* option = command->get_option(setting.option->written());
    for (const std::string& value : setting.values) option->add_result(value);
  }
}

bool is_quiet(const std::vector<Setting>& settings, const std::vector<std::string>& words) {
  for (const Setting& setting : settings) {
    if (setting.option->name != "quiet") continue;
    if (setting.origin != Setting::Origin::kCommandLine) return setting.values.front() == "true";
    return std::find(words.begin(), words.end(), "--quiet=false") == words.end();
  }
  return false;
}

}  // namespace

std::vector<Setting> parse_words(CLI::App& app, const CommandInfo& root,
                                 const std::vector<std::string>& words,
                                 const Environment& variables) {
  read_numbers(app, root);
  std::vector<Setting> settings;
  const std::optional<Typed> typed = typed_words(words, root);
  const CommandInfo* command = typed ? root.find_command(typed->path) : nullptr;
  if (command != nullptr && command->has_settings()) {
    const ConfigFile file = find_config(typed->config, variables, root);
    settings = resolve(*command, typed->options, variables, file);
    preset(app, typed->path, settings);
  }
  try {
    parse(app, words);
  } catch (const CLI::Success&) {
    throw;
  } catch (const CLI::ParseError& failure) {
    tell_parse_error(app, failure);
  }
  return settings;
}

int run_command_line(int argc, char** argv) {
  const CommandInfo root = option_table();
  const Environment variables = environment();
  const std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  CommandLine line;
  CLI::App app;
  define_commands(app, line);
  std::vector<Setting> settings;
  try {
    settings = parse_words(app, root, words, variables);
  } catch (const CLI::Success& wanted) {  // --help and --version
    return app.exit(wanted);
  }
  if (!settings.empty() && !is_quiet(settings, words)) warn_of_unknown_variables(variables, root);
  try {
    return line.chosen();
  } catch (const Failure& failure) {
    throw with_origin(failure, settings);
  }
}

}  // namespace cardloom::app
