// `config show`, `config validate` and `config init`.
#include <fmt/format.h>

#include <cstdio>

#include "apps/commands.h"
#include "apps/config_text.h"
#include "apps/option_source.h"
#include "apps/text.h"

namespace cardloom::app {
namespace {

const CommandInfo& command_of(const CommandInfo& root, const std::string& path) {
  const CommandInfo* command = root.find_command(path);
  if (command != nullptr && command->has_settings()) return *command;
  std::vector<std::string> known;
  for (const CommandInfo* one : commands_with_settings(root)) known.push_back(one->path);
  const std::string meant = nearest(path, known);
  fail_usage(fmt::format("\"{}\" is no command with settings", path),
             fmt::format("those are {}", joined(known)),
             meant.empty() ? "cardloom config show serve" : "cardloom config show " + meant);
}

void print(const std::string& text) { std::fputs(text.c_str(), stdout); }

}  // namespace

int run_config_show(const ConfigOptions& options) {
  const CommandInfo root = option_table();
  const std::string path = options.command.empty() ? "serve" : joined(options.command, " ");
  const CommandInfo& command = command_of(root, path);
  const Environment variables = environment();
  const ConfigFile file = find_config(
      options.file.empty() ? std::nullopt : std::optional(options.file), variables, root);
  const std::vector<Setting> settings = resolve(command, {}, variables, file);
  warn_of_unknown_variables(variables, root);
  if (options.json) {
    print_json(settings_json(command, settings, file));
  } else {
    print(settings_toml(command, settings, options.origin));
  }
  return kExitOk;
}

int run_config_validate(const ConfigOptions& options) {
  const ConfigFile file = read_config(options.file, option_table());
  print(fmt::format("{}: {}, all good\n", file.path,
                    counted(static_cast<std::int64_t>(file.values.size()), "setting")));
  return kExitOk;
}

int run_config_init(const ConfigOptions& options) {
  const CommandInfo root = option_table();
  if (options.command.empty()) {
    print(initial_config(root));
  } else {
    print(initial_config(command_of(root, joined(options.command, " "))));
  }
  return kExitOk;
}

}  // namespace cardloom::app
