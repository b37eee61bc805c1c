#include "apps/config_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "apps/text.h"
#include "cardloom/base/ascii.h"
#include "cardloom/base/utf8.h"

namespace cardloom::app {
namespace {

using Kind = OptionInfo::Kind;

/// A TOML basic string.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : replace_invalid_utf8(text)) {
    if (c == '"' || c == '\\') out += '\\';
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\u{:04X}", byte);
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string toml_value(const OptionInfo& option, const std::string& text) {
  if (option.is_secret()) return quoted("***");
  return option.kind == Kind::kText ? quoted(text) : text;
}

/// `values` as they stand behind the '='; what an unset option would say if it is empty.
std::string toml_values(const OptionInfo& option, const std::vector<std::string>& values) {
  if (!option.is_list) {
    if (!values.empty()) return toml_value(option, values.front());
    return option.kind == Kind::kText ? "\"\"" : "0";
  }
  std::vector<std::string> elements;
  for (const std::string& value : values) elements.push_back(toml_value(option, value));
  return "[" + joined(elements) + "]";
}

json::value json_value(const OptionInfo& option, const std::string& text) {
  if (option.is_secret()) return "***";
  if (option.kind == Kind::kFlag) return text == "true";
  if (option.kind == Kind::kText) return json::string(replace_invalid_utf8(text));
  if (const auto integer = parse_number<std::int64_t>(text)) return *integer;
  if (const auto large = parse_number<std::uint64_t>(text)) return *large;
  return parse_number<double>(text).value_or(0);
}

json::value json_values(const Setting& setting) {
  const OptionInfo& option = *setting.option;
  if (option.is_list) {
    json::array elements;
    for (const std::string& value : setting.values) elements.push_back(json_value(option, value));
    return elements;
  }
  return setting.values.empty() ? json::value() : json_value(option, setting.values.front());
}

std::string table_line(const std::string& path) {
  std::string name = path;
  std::replace(name.begin(), name.end(), ' ', '.');
  return "[" + name + "]\n";
}

/// Broken between words into comment lines.
std::string comment(const std::string& text) {
  constexpr std::size_t kWidth = 96;
  std::string out;
  std::string_view rest = text;
  while (!rest.empty()) {
    std::size_t end = rest.size() > kWidth ? rest.rfind(' ', kWidth) : rest.size();
    if (end == std::string_view::npos) end = rest.size();
    out += fmt::format("# {}\n", rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return out;
}

std::string initial_table(const std::string& name, const std::vector<OptionInfo>& options) {
  std::string out = table_line(name);
  for (const OptionInfo& option : options) {
    if (option.key().empty()) continue;
    const std::vector<std::string> values =
        option.kind == Kind::kFlag    ? std::vector<std::string>{"false"}
        : option.default_text.empty() ? std::vector<std::string>{}
                                      : std::vector<std::string>{option.default_text};
    out += comment(option.help);
    out += fmt::format("#{} = {}\n", option.key(), toml_values(option, values));
  }
  return out;
}

constexpr const char* kHead =
    "# Settings of cardloom. Take away the # before a key to set it; the values here are the\n"
    "# defaults. Options that are typed go first, then the environment, then this file.\n";

}  // namespace

std::string settings_toml(const CommandInfo& command, const std::vector<Setting>& settings,
                          bool origin) {
  std::vector<std::string> lines;
  std::size_t width = 0;
  for (const Setting& setting : settings) {
    const std::string unset =
        setting.values.empty() && setting.origin == Setting::Origin::kDefault ? "#" : "";
    lines.push_back(fmt::format("{}{} = {}", unset, setting.option->key(),
                                toml_values(*setting.option, setting.values)));
    width = std::max(width, lines.back().size());
  }
  // A long path would push all origins off the screen.
  width = std::min<std::size_t>(width, 40);
  std::string out = table_line(command.path);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    out += origin
               ? fmt::format("{:<{}}  # {}\n", lines[i], width, one_line(settings[i].origin_text()))
               : lines[i] + "\n";
  }
  return out;
}

json::object settings_json(const CommandInfo& command, const std::vector<Setting>& settings,
                           const ConfigFile& file) {
  json::object options;
  for (const Setting& setting : settings) {
    options[setting.option->key()] =
        json::object{{"value", json_values(setting)}, {"origin", setting.origin_text()}};
  }
  json::object object{{"command", command.path}, {"file", nullptr}, {"options", options}};
  if (!file.path.empty()) object["file"] = file.path;
  return object;
}

std::string initial_config(const CommandInfo& from) {
  std::string out = kHead;
  if (!from.path.empty()) return out + "\n" + initial_table(from.path, from.options);
  const std::vector<OptionInfo> shared = shared_options(from);
  out += "\n" + initial_table("common", shared);
  for (const CommandInfo* command : commands_with_settings(from)) {
    out += "\n" + initial_table(command->path, own_options(*command, shared));
  }
  return out;
}

}  // namespace cardloom::app
