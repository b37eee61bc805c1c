// What can be asked of an option table without the command line that made it.
#include <algorithm>

#include "apps/option_table.h"

namespace cardloom::app {
namespace {

bool is_setting_name(const std::string& name) {
  return name != "help" && name != "version" && name != "config";
}

}  // namespace

std::string OptionInfo::written() const { return is_positional ? name : "--" + name; }

std::string OptionInfo::key() const {
  if (is_positional) return name == "MODEL" ? "model" : "";
  return is_setting_name(name) ? name : "";
}

std::string OptionInfo::variable() const {
  if (is_positional || !is_setting_name(name)) return {};
  std::string text = "CARDLOOM_" + name;
  for (char& c : text) {
    if (c == '-') c = '_';
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return text;
}

const OptionInfo* CommandInfo::find_option(const std::string& option_name) const {
  const auto at = std::find_if(options.begin(), options.end(),
                               [&](const OptionInfo& one) { return one.name == option_name; });
  return at == options.end() ? nullptr : &*at;
}

const CommandInfo* CommandInfo::find_command(const std::string& command_path) const {
  for (const CommandInfo* command : all_commands(*this)) {
    if (command->path == command_path) return command;
  }
  return nullptr;
}

std::vector<const CommandInfo*> all_commands(const CommandInfo& root) {
  std::vector<const CommandInfo*> all;
  for (const CommandInfo& command : root.commands) {
    all.push_back(&command);
    const std::vector<const CommandInfo*> below = all_commands(command);
    all.insert(all.end(), below.begin(), below.end());
  }
  return all;
}

std::vector<const CommandInfo*> commands_with_settings(const CommandInfo& root) {
  std::vector<const CommandInfo*> commands = all_commands(root);
  std::erase_if(commands, [](const CommandInfo* command) { return !command->has_settings(); });
  return commands;
}

std::vector<OptionInfo> shared_options(const CommandInfo& root) {
  // `bench serve` runs no model: what all the others share is worth saying once.
  std::vector<const CommandInfo*> commands = commands_with_settings(root);
  std::erase_if(commands, [](const CommandInfo* command) { return !command->find_option("tp"); });
  std::vector<OptionInfo> shared;
  if (commands.empty()) return shared;
  for (const OptionInfo& option : commands.front()->options) {
    const bool everywhere = std::all_of(commands.begin(), commands.end(), [&](const auto* one) {
      return one->find_option(option.name) != nullptr;
    });
    if (everywhere && !option.is_positional) shared.push_back(option);
  }
  return shared;
}

bool takes(const CommandInfo& command, const std::vector<OptionInfo>& shared) {
  return std::all_of(shared.begin(), shared.end(), [&](const OptionInfo& option) {
    return command.find_option(option.name) != nullptr;
  });
}

std::vector<OptionInfo> own_options(const CommandInfo& command,
                                    const std::vector<OptionInfo>& shared) {
  std::vector<OptionInfo> own = command.options;
  if (!takes(command, shared)) return own;
  std::erase_if(own, [&](const OptionInfo& option) {
    return std::find(shared.begin(), shared.end(), option) != shared.end();
  });
  return own;
}

}  // namespace cardloom::app
