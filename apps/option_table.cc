#include "apps/option_table.h"

#include <functional>

#include "apps/cli_table.h"

namespace cardloom::app {
namespace {

/// What the variable behind an option takes: asked of CLI11's own conversion, which writes to it.
OptionInfo::Kind kind_of(CLI::Option& option) {
  using Kind = OptionInfo::Kind;
  if (option.get_items_expected_max() == 0) return Kind::kFlag;
  const CLI::callback_t convert = option.get_callback();
  if (!convert || convert({"x"})) return Kind::kText;
  if (convert({"0.5"})) return Kind::kNumber;
  // CLI11 takes -1 for an unsigned variable too; what it made of it tells.
  convert({"-1"});
  option.capture_default_str();
  return option.get_default_str() == "-1" ? Kind::kInteger : Kind::kUnsigned;
}

/// The values that choices() in cli_table.h left with an option.
std::vector<std::string> choices_of(CLI::Option& option) {
  try {
    return CLI::detail::split(option.get_validator(0)->get_name(), ' ');
  } catch (const CLI::OptionNotFound&) {
    return {};
  }
}

OptionInfo describe(CLI::Option& option) {
  OptionInfo info;
  info.is_positional = option.get_positional();
  info.name = option.get_single_name();
  if (!option.get_lnames().empty()) info.name = option.get_lnames().front();
  if (!option.get_snames().empty()) info.short_name = option.get_snames().front();
  info.help = option.get_description();
  info.group = option.get_group();
  info.default_text = option.get_default_str();
  info.choices = choices_of(option);
  info.kind = kind_of(option);
  info.is_list = option.get_expected_max() > 1;
  info.is_required = option.get_required();
  if (info.kind != OptionInfo::Kind::kFlag) info.value_name = option.get_type_name();
  return info;
}

std::string usage_of(const CLI::App& command, const std::string& parents) {
  const std::string help = command.help(parents);
  const std::string_view mark = "Usage: ";
  const std::size_t begin = help.find(mark);
  if (begin == std::string::npos) return {};
  return help.substr(begin + mark.size(), help.find('\n', begin) - begin - mark.size());
}

CommandInfo describe(CLI::App& command, const std::string& parents, const std::string& path) {
  CommandInfo info;
  info.name = command.get_name();
  info.path = path;
  info.help = command.get_description();
  info.usage = usage_of(command, parents);
  info.footer = command.get_footer();
  for (CLI::Option* option : command.get_options()) info.options.push_back(describe(*option));
  const std::string here = parents.empty() ? info.name : parents + " " + info.name;
  for (CLI::App* below : command.get_subcommands([](CLI::App*) { return true; })) {
    const std::string& name = below->get_name();
    info.commands.push_back(describe(*below, here, path.empty() ? name : path + " " + name));
  }
  return info;
}

/// COMMAND of `config show` and the like: only the table itself can say which there are.
void name_commands(CommandInfo& command, const std::vector<std::string>& names) {
  for (OptionInfo& option : command.options) {
    if (option.is_positional && option.name == "COMMAND") option.choices = names;
  }
  for (CommandInfo& below : command.commands) name_commands(below, names);
}

}  // namespace

CommandInfo option_table() {
  CommandLine line;
  CLI::App app;
  define_commands(app, line);
  CommandInfo root = describe(app, "", "");
  std::vector<std::string> names;
  for (const CommandInfo& command : root.commands) {
    if (command.has_settings()) names.push_back(command.name);
  }
  name_commands(root, names);
  return root;
}

}  // namespace cardloom::app
