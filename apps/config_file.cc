#include "apps/config_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

// Debian's package also has it compiled; one more shared library is not worth one file's compile.
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#include <toml++/impl/preprocessor.h>
// It says by assert(), or where NDEBUG is to clang's optimiser, that a table's name begins as one
// may, and looks only then. A file that people write may begin it with anything.
#undef TOML_ASSERT_ASSUME
#define TOML_ASSERT_ASSUME(expr) static_assert(true)
#include <toml++/toml.h>

#include "apps/failure.h"
#include "apps/text.h"
#include "cardloom/base/file.h"

namespace cardloom::app {
namespace {

using Kind = OptionInfo::Kind;
using Type = FileValue::Type;

constexpr const char* kCommon = "common";

int line_of(const toml::source_region& source) { return static_cast<int>(source.begin.line); }

/// "serve" as a table's name: "bench serve" is [bench.serve].
std::string table_name(std::string path) {
  std::replace(path.begin(), path.end(), ' ', '.');
  return path;
}

std::string with_hyphens(std::string_view key) {
  std::string text(key);
  std::replace(text.begin(), text.end(), '_', '-');
  return text;
}

Type type_of(const toml::node& node) {
  if (node.is_string()) return Type::kString;
  if (node.is_integer()) return Type::kInteger;
  if (node.is_floating_point()) return Type::kFloat;
  if (node.is_boolean()) return Type::kBoolean;
  return Type::kOther;
}

std::string text_of(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* integer = node.as_integer()) return std::to_string(integer->get());
  if (const auto* number = node.as_floating_point()) return fmt::format("{}", number->get());
  return node.value_or(false) ? "true" : "false";
}

/// The value without its place.
FileValue value_of(const toml::node& node) {
  FileValue value;
  value.type = type_of(node);
  if (value.type != Type::kOther) {
    value.texts.push_back(text_of(node));
    return value;
  }
  const toml::array* array = node.as_array();
  if (array == nullptr) {
    value.other = node.is_table() ? "a table" : "a date or time";
    return value;
  }
  value.is_array = true;
  value.type = array->empty() ? Type::kString : type_of(*array->get(0));
  for (const toml::node& element : *array) {
    if (type_of(element) != value.type || value.type == Type::kOther) {
      value.type = Type::kOther;
      value.other = "an array of different or of nested values";
      return value;
    }
    value.texts.push_back(text_of(element));
  }
  return value;
}

/// "the integer 7", "an array of strings"; without the value where it may be a secret.
std::string describe(const FileValue& value, bool secret) {
  static constexpr const char* kNames[] = {"string", "integer", "float", "boolean"};
  if (value.type == Type::kOther) return value.other;
  const std::string name = kNames[static_cast<std::size_t>(value.type)];
  if (value.is_array) return fmt::format("an array of {}s", name);
  if (secret) return fmt::format("{} {}", name == "integer" ? "an" : "a", name);
  if (value.type == Type::kString) return fmt::format("the string \"{}\"", value.texts.front());
  return fmt::format("the {} {}", name, value.texts.front());
}

std::string wanted(const OptionInfo& option) {
  switch (option.kind) {
    case Kind::kFlag:
      return "a boolean";
    case Kind::kInteger:
      return "an integer";
    case Kind::kUnsigned:
      return "an integer from 0";
    case Kind::kNumber:
      return "a number";
    case Kind::kText:
      break;
  }
  if (option.is_comma_list()) return "an integer or an array of integers";
  return option.is_list ? "a string or an array of strings" : "a string";
}

bool fits(const OptionInfo& option, const FileValue& value) {
  const bool is_empty = value.is_array && value.texts.empty();
  const bool may_be_many = option.is_list || option.is_comma_list();
  if (value.type == Type::kOther || (value.is_array && !may_be_many)) return false;
  switch (option.kind) {
    case Kind::kFlag:
      return value.type == Type::kBoolean;
    case Kind::kInteger:
      return value.type == Type::kInteger;
    case Kind::kUnsigned:
      return value.type == Type::kInteger && value.texts.front().front() != '-';
    case Kind::kNumber:
      return value.type == Type::kInteger || value.type == Type::kFloat;
    case Kind::kText:
      break;
  }
  if (option.is_comma_list()) {
    return value.type == Type::kInteger || (value.type == Type::kString && !is_empty);
  }
  return value.type == Type::kString;
}

std::string example(const OptionInfo& option) {
  switch (option.kind) {
    case Kind::kFlag:
      return "true";
    case Kind::kInteger:
    case Kind::kUnsigned:
    case Kind::kNumber:
      return option.default_text.empty() ? "1" : option.default_text;
    case Kind::kText:
      break;
  }
  if (option.is_comma_list()) return "[1, 4]";
  if (option.is_list) return "[\"...\"]";
  return fmt::format("\"{}\"",
                     option.choices.empty() ? option.default_text : option.choices.front());
}

/// Walks a file's tables beside the option table. Everything wrong is collected, and the first
/// line's told: tables come in alphabetical order, people read from the top.
class Reader {
 public:
  Reader(const std::string& path, const CommandInfo& root)
      : commands_(commands_with_settings(root)) {
    file_.path = path;
  }

  ConfigFile read(const toml::table& top) {
    for (const auto& [key, node] : top) read_top(key.str(), line_of(key.source()), node);
    if (!problems_.empty()) throw_first();
    std::stable_sort(file_.values.begin(), file_.values.end(),
                     [](const FileValue& a, const FileValue& b) { return a.line < b.line; });
    return std::move(file_);
  }

 private:
  struct Problem {
    int line;
    std::string message;
    std::string detail;
    std::string remedy;
  };

  void complain(int line, std::string message, std::string detail, std::string remedy) {
    problems_.push_back({line, fmt::format("{}:{}: {}", file_.path, line, message),
                         std::move(detail), std::move(remedy)});
  }

  [[noreturn]] void throw_first() const {
    const Problem& first =
        *std::min_element(problems_.begin(), problems_.end(),
                          [](const Problem& a, const Problem& b) { return a.line < b.line; });
    fail_usage(first.message, first.detail, first.remedy);
  }

  [[nodiscard]] const CommandInfo* command(std::string_view path) const {
    for (const CommandInfo* one : commands_) {
      if (one->path == path) return one;
    }
    return nullptr;
  }

  void read_top(std::string_view name, int line, const toml::node& node) {
    const toml::table* table = node.as_table();
    if (name == kCommon || command(name) != nullptr) {
      if (table != nullptr) return read_table(*table, std::string(name));
      return complain(line, fmt::format("[{}] must be a table", name), "settings stand in tables",
                      fmt::format("[{}] on a line of its own, keys below", name));
    }
    if (table == nullptr) {
      return complain(line, fmt::format("\"{}\" stands in no table", name),
                      "each key belongs to [common] or to the table of a command",
                      "[common] or [serve] on a line above");
    }
    std::vector<std::string> names{kCommon};
    for (const CommandInfo* one : commands_) names.push_back(table_name(one->path));
    const std::string meant = nearest(std::string(name), names);
    complain(
        line, fmt::format("there is no table [{}]", name),
        fmt::format("the tables are {}", joined(names)),
        meant.empty() ? "cardloom config init" : fmt::format("[{}], if that was meant", meant));
  }

  void read_table(const toml::table& table, const std::string& path) {
    for (const auto& [key, node] : table) {
      const std::string below = path + " " + std::string(key.str());
      if (node.is_table() && command(below) != nullptr) {
        read_table(*node.as_table(), below);
        continue;
      }
      FileValue value = value_of(node);
      value.table = path;
      value.key = with_hyphens(key.str());
      value.line = line_of(key.source());
      read_value(std::move(value));
    }
  }

  using Meant = std::pair<const CommandInfo*, const OptionInfo*>;

  /// The options that a key stands for: one, or in [common] one of each command that has it.
  [[nodiscard]] std::vector<Meant> meant_by(const FileValue& value) const {
    std::vector<Meant> options;
    for (const CommandInfo* one : commands_) {
      if (value.table != kCommon && value.table != one->path) continue;
      const OptionInfo* option = find_setting(*one, value.key, value.table == kCommon);
      if (option != nullptr) options.emplace_back(one, option);
    }
    return options;
  }

  [[nodiscard]] std::vector<std::string> known_keys(const std::string& table) const {
    std::vector<std::string> keys;
    for (const CommandInfo* one : commands_) {
      if (table != kCommon && table != one->path) continue;
      for (const OptionInfo& option : one->options) {
        const std::string key = option.key();
        if (!key.empty() && std::find(keys.begin(), keys.end(), key) == keys.end()) {
          keys.push_back(key);
        }
      }
    }
    return keys;
  }

  void read_value(FileValue value) {
    const std::vector<Meant> options = meant_by(value);
    if (options.empty()) {
      const std::vector<std::string> keys = known_keys(value.table);
      const std::string meant = nearest(value.key, keys);
      return complain(value.line, fmt::format("there is no option {}", value.dotted()),
                      fmt::format("[{}] takes {}", table_name(value.table), joined(keys)),
                      meant.empty() ? "cardloom config init, which lists them all"
                                    : fmt::format("{}, if that was meant", meant));
    }
    for (const Meant& meant : options) {
      const auto& [one, option] = meant;
      if (fits(*option, value)) continue;
      const bool is_common = value.table == kCommon;
      return complain(value.line,
                      fmt::format("{} is {}, but must be {}", value.dotted(),
                                  describe(value, option->is_secret()), wanted(*option)),
                      fmt::format("{} of {}: {}", value.key, one->path, option->help),
                      is_common ? "a value that all commands take, or the table of one command"
                                : fmt::format("{} = {}", value.key, example(*option)));
    }
    if (!seen_.insert(value.dotted()).second) {
      return complain(value.line, fmt::format("{} stands there twice", value.dotted()),
                      "once with '-' and once with '_', which mean the same", "remove one of them");
    }
    file_.values.push_back(std::move(value));
  }

  std::vector<const CommandInfo*> commands_;
  ConfigFile file_;
  std::vector<Problem> problems_;
  std::set<std::string> seen_;
};

}  // namespace

std::string FileValue::dotted() const { return table_name(table) + "." + key; }

const OptionInfo* find_setting(const CommandInfo& command, const std::string& key, bool is_common) {
  for (const OptionInfo& option : command.options) {
    if (option.key() != key) continue;
    // MODEL is a folder; `bench serve --model` is what a server calls it: not common to both.
    if (is_common && key == "model" && !option.is_positional) continue;
    return &option;
  }
  return nullptr;
}

ConfigFile parse_config(const std::string& text, const std::string& path, const CommandInfo& root) {
  const toml::parse_result parsed = toml::parse(text, path);
  if (!parsed) {
    fail_usage(fmt::format("{}:{}: {}", path, line_of(parsed.error().source()),
                           parsed.error().description()),
               fmt::format("column {}: no TOML (toml.io)", parsed.error().source().begin.column),
               "see `cardloom config init` for how it is written");
  }
  return Reader(path, root).read(parsed.table());
}

ConfigFile read_config(const std::string& path, const CommandInfo& root) {
  Result<std::string> text = read_file(path, kMaxConfigBytes);
  if (!text) {
    Error error = std::move(text).error();
    error.remedy = "--config and CARDLOOM_CONFIG name a TOML file: cardloom config init > FILE";
    throw Failure(kExitUsage, std::move(error));
  }
  return parse_config(*text, path, root);
}

std::vector<std::string> arguments_of(const OptionInfo& option, const FileValue& value) {
  if (option.is_comma_list()) return {joined(value.texts, ",")};
  return value.texts;
}

}  // namespace cardloom::app
