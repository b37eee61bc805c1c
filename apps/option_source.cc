#include "apps/option_source.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "apps/text.h"
#include "cardloom/base/ascii.h"

namespace cardloom::app {
namespace {

using Kind = OptionInfo::Kind;
using Origin = Setting::Origin;

constexpr std::string_view kPrefix = "CARDLOOM_";

/// "": there is no number.
template <class Number>
std::string written(const std::optional<Number>& number) {
  return number ? fmt::format("{}", *number) : std::string();
}

std::vector<std::string> split_at_commas(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(','), text.size());
    const std::string_view part = stripped(text.substr(0, end));
    if (!part.empty()) parts.emplace_back(part);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

std::vector<std::string> values_of(const OptionInfo& option, const std::string& variable,
                                   const std::string& text) {
  if (option.is_list) return split_at_commas(text);
  const std::string value = converted(option, text);
  if (value.empty()) {
    fail_usage(fmt::format("{} is \"{}\", but must be {}", variable,
                           option.is_secret() ? "***" : text, wanted(option, text)),
               fmt::format("it is read for --{}: {}", option.name, option.help),
               fmt::format("unset {}, or type --{}, which goes first", variable, option.name));
  }
  return {value};
}

/// The last word in the file on a command's option: its own table's, else [common]'s.
const FileValue* find_value(const ConfigFile& file, const CommandInfo& command,
                            const OptionInfo& option) {
  for (const std::string& table : {command.path, std::string("common")}) {
    for (const FileValue& value : file.values) {
      if (value.table != table || value.key != option.key()) continue;
      if (find_setting(command, value.key, table == "common") == &option) return &value;
    }
  }
  return nullptr;
}

Setting setting_of(const CommandInfo& command, const OptionInfo& option,
                   const Environment& variables, const ConfigFile& file) {
  Setting setting;
  setting.option = &option;
  const std::string variable = option.variable();
  const auto at = variables.find(variable);
  if (!variable.empty() && at != variables.end() && !at->second.empty()) {
    setting.origin = Origin::kEnvironment;
    setting.where = setting.name = variable;
    setting.values = values_of(option, variable, at->second);
    return setting;
  }
  if (const FileValue* value = find_value(file, command, option)) {
    setting.origin = Origin::kFile;
    setting.where = fmt::format("{}:{}", file.path, value->line);
    setting.name = fmt::format("{}: {}", setting.where, value->dotted());
    setting.values = arguments_of(option, *value);
    return setting;
  }
  if (option.kind == Kind::kFlag) setting.values = {"false"};
  if (!option.default_text.empty()) setting.values = {option.default_text};
  return setting;
}

}  // namespace

std::string converted(const OptionInfo& option, std::string_view text) {
  switch (option.kind) {
    case Kind::kFlag:
      if (text == "1" || text == "true") return "true";
      return text == "0" || text == "false" ? "false" : "";
    case Kind::kInteger:
      return written(parse_scaled(text));
    case Kind::kUnsigned:
      return written(parse_number<std::uint64_t>(text));
    case Kind::kNumber:
      return written(parse_number<double>(text));
    case Kind::kText:
      break;
  }
  return std::string(text);
}

const char* wanted(const OptionInfo& option, std::string_view instead_of) {
  const bool is_too_large =
      !instead_of.empty() && instead_of.find_first_not_of("0123456789") == instead_of.npos;
  switch (option.kind) {
    case Kind::kFlag:
      return "1, 0, true or false";
    case Kind::kInteger:
      return is_too_large ? "an integer of 64 bits" : "an integer";
    case Kind::kUnsigned:
      return "an integer from 0";
    case Kind::kNumber:
      return "a number";
    case Kind::kText:
      break;
  }
  return "a text";
}

Environment environment() {
  Environment variables;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    // The first of two counts, as it does for getenv().
    variables.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return variables;
}

const std::vector<KnownVariable>& known_variables() {
  static const std::vector<KnownVariable> variables = {
      {"CARDLOOM_CONFIG", "the settings file, if --config names none"},
      {"CARDLOOM_API_KEYS",
       "keys that open the server, beside those of --api-key and --api-key-file"},
      {"CARDLOOM_LAUNCH_BLOCKING", "1: wait after every operator; 2: also look for NaN and Inf"},
  };
  return variables;
}

std::string Setting::origin_text() const {
  switch (origin) {
    case Origin::kDefault:
      return "default";
    case Origin::kFile:
      return where;
    case Origin::kEnvironment:
      return "environment " + where;
    case Origin::kCommandLine:
      break;
  }
  return "command line";
}

std::vector<Setting> resolve(const CommandInfo& command, const std::set<std::string>& typed,
                             const Environment& variables, const ConfigFile& file) {
  std::vector<Setting> settings;
  for (const OptionInfo& option : command.options) {
    if (option.key().empty()) continue;
    if (typed.contains(option.name)) {
      settings.emplace_back();
      settings.back().option = &option;
      settings.back().origin = Origin::kCommandLine;
      settings.back().name = option.written();
      continue;
    }
    settings.push_back(setting_of(command, option, variables, file));
  }
  return settings;
}

ConfigFile find_config(const std::optional<std::string>& typed, const Environment& variables,
                       const CommandInfo& root) {
  std::string path = typed.value_or("");
  const auto at = variables.find("CARDLOOM_CONFIG");
  if (!typed && at != variables.end()) path = at->second;
  return path.empty() ? ConfigFile() : read_config(path, root);
}

std::vector<std::string> unknown_variables(const Environment& variables, const CommandInfo& root) {
  std::set<std::string> known;
  for (const KnownVariable& variable : known_variables()) known.insert(variable.name);
  for (const CommandInfo* command : commands_with_settings(root)) {
    for (const OptionInfo& option : command->options) known.insert(option.variable());
  }
  const std::vector<std::string> names(known.begin(), known.end());
  std::vector<std::string> lines;
  for (const auto& [name, value] : variables) {
    if (!name.starts_with(kPrefix) || known.contains(name)) continue;
    const std::string meant = nearest(name, names);
    lines.push_back(fmt::format("warning: the environment's {} means nothing to cardloom{}", name,
                                meant.empty() ? "" : fmt::format("; was {} meant?", meant)));
  }
  return lines;
}

void warn_of_unknown_variables(const Environment& variables, const CommandInfo& root) {
  for (const std::string& warning : unknown_variables(variables, root)) {
    std::fputs((one_line(warning) + "\n").c_str(), stderr);
  }
}

Failure with_origin(const Failure& failure, const std::vector<Setting>& settings) {
  for (const Setting& setting : settings) {
    if (setting.origin != Origin::kFile && setting.origin != Origin::kEnvironment) continue;
    const std::string written = setting.option->written();
    const std::string& message = failure.error().message;
    if (!message.starts_with(written + " ") && !message.starts_with(written + ":")) continue;
    Error error = failure.error();
    error.message = setting.name + message.substr(written.size());
    return {failure.exit_code(), std::move(error)};
  }
  return failure;
}

}  // namespace cardloom::app
