#pragma once

#include <string>
#include <vector>

#include "apps/option_table.h"

/// A settings file: TOML with a table a command ([serve], [bench.serve]) and [common] for them all.
namespace cardloom::app {

/// Enough for every option of every command a thousand times over.
constexpr std::int64_t kMaxConfigBytes = std::int64_t{1} << 20;

/// One `key = value` as it stands there.
struct FileValue {
  enum class Type { kString, kInteger, kFloat, kBoolean, kOther };

  std::string table;  ///< "serve", "bench serve", "common"
  std::string key;    ///< with '-' for '_'
  int line = 0;
  Type type = Type::kOther;        ///< of the elements, if it is an array
  bool is_array = false;           ///< of one type; others are kOther
  std::vector<std::string> texts;  ///< the value, or the elements
  std::string other;               ///< what a kOther is: "a date"

  /// "serve.tp"
  [[nodiscard]] std::string dotted() const;
};

struct ConfigFile {
  std::string path;
  std::vector<FileValue> values;  ///< in the order of lines
};

/// The settings of the file `path`, all judged by the option table: also those of commands that
/// do not run now. Throws Failure(kExitUsage) for a file that cannot be read, is larger than
/// kMaxConfigBytes or is no TOML, and for the first table or key that there is not, that stands
/// there twice, or whose value has the wrong type: with its line, and the name that may be meant.
[[nodiscard]] ConfigFile read_config(const std::string& path, const CommandInfo& root);
/// The same of a text; `path` is for messages.
[[nodiscard]] ConfigFile parse_config(const std::string& text, const std::string& path,
                                      const CommandInfo& root);

/// What to type for `option` to have that value: one text an occurrence; "true" or "false" for a
/// flag. The value has been judged by read_config.
[[nodiscard]] std::vector<std::string> arguments_of(const OptionInfo& option,
                                                    const FileValue& value);

/// The option that `key` in [common] or in the table of `command` means; nullptr: none.
[[nodiscard]] const OptionInfo* find_setting(const CommandInfo& command, const std::string& key,
                                             bool is_common);

}  // namespace cardloom::app
