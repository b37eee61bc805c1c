#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "apps/config_file.h"
#include "apps/failure.h"
#include "apps/option_table.h"

/// Where the value of an option comes from: the command line, else the environment, else the
/// settings file (the command's table before [common]), else the default.
namespace cardloom::app {

using Environment = std::map<std::string, std::string>;

/// The process's own.
[[nodiscard]] Environment environment();

/// Variables that are no option's.
struct KnownVariable {
  const char* name;
  const char* help;
};
[[nodiscard]] const std::vector<KnownVariable>& known_variables();

struct Setting {
  enum class Origin { kDefault, kFile, kEnvironment, kCommandLine };

  const OptionInfo* option = nullptr;
  Origin origin = Origin::kDefault;
  std::string where;                ///< "cardloom.toml:7", "CARDLOOM_TP"
  std::string name;                 ///< what is told of a bad value: "cardloom.toml:7: serve.tp"
  std::vector<std::string> values;  ///< empty: not set

  /// "default", "environment CARDLOOM_TP", "cardloom.toml:7", "command line".
  [[nodiscard]] std::string origin_text() const;
};

/// A number as `option` takes it, written so that CLI11 cannot misread it ("010" is eight to it),
/// or 1, 0, true or false as "true" and "false"; a text as it is. Empty: it is of the wrong kind.
[[nodiscard]] std::string converted(const OptionInfo& option, std::string_view text);
/// What `option` takes instead of a text that it does not: "an integer".
[[nodiscard]] const char* wanted(const OptionInfo& option, std::string_view instead_of);

/// The settings of `command`, in the order of its options; of those `typed` (names as in
/// OptionInfo) the values are not known here. An empty variable counts as not set; a list's values
/// have commas between them. Throws Failure(kExitUsage), naming the variable, for a value of the
/// wrong type.
[[nodiscard]] std::vector<Setting> resolve(const CommandInfo& command,
                                           const std::set<std::string>& typed,
                                           const Environment& variables, const ConfigFile& file);

/// The file that --config or else CARDLOOM_CONFIG names, "" being none; empty, without a path, if
/// none is named: there is no place where one is looked for.
[[nodiscard]] ConfigFile find_config(const std::optional<std::string>& typed,
                                     const Environment& variables, const CommandInfo& root);

/// A line for each CARDLOOM_ variable that means nothing, which is a typing mistake or another
/// release's: no error, for a shell's environment outlives a release.
[[nodiscard]] std::vector<std::string> unknown_variables(const Environment& variables,
                                                         const CommandInfo& root);

/// The same lines on stderr.
void warn_of_unknown_variables(const Environment& variables, const CommandInfo& root);

/// `failure`, which tells of "--tp", telling of "CARDLOOM_TP" or "cardloom.toml:7: serve.tp" if
/// that is where the value came from.
[[nodiscard]] Failure with_origin(const Failure& failure, const std::vector<Setting>& settings);

}  // namespace cardloom::app
