// The options of `config`, `completion` and `man`.
#include "apps/cli_table.h"

namespace cardloom::app {
namespace {

void define_show(CLI::App& config, ConfigOptions& options, std::function<int()>& chosen) {
  CLI::App& command = add_plain_command(
      config, "show", "every option of a command, with the value that it would have",
      "  cardloom config show --origin\n"
      "  CARDLOOM_TP=2 cardloom config show run --json\n"
      "What it prints is a settings file; keys are \"***\" in it.\n");
  command.add_option("COMMAND", options.command, "whose options; serve if none is named")
      ->type_name("");
  command.add_flag("--origin", options.origin, "say where each value comes from");
  command.add_flag("--json", options.json, "one JSON object on stdout");
  command.add_option("--config", options.file, "the settings file; else CARDLOOM_CONFIG names it")
      ->type_name("FILE");
  command.callback([&] { chosen = [&options] { return run_config_show(options); }; });
}

void define_validate(CLI::App& config, ConfigOptions& options, std::function<int()>& chosen) {
  CLI::App& command = add_plain_command(
      config, "validate", "whether a settings file holds options that there are, of their types",
      "  cardloom config validate cardloom.toml\n"
      "Ranges are judged by the command that runs.\n");
  command.add_option("FILE", options.file, "the settings file")->required()->type_name("");
  command.callback([&] { chosen = [&options] { return run_config_validate(options); }; });
}

void define_init(CLI::App& config, ConfigOptions& options, std::function<int()>& chosen) {
  CLI::App& command = add_plain_command(
      config, "init", "print a settings file to begin with: all options with help and default",
      "  cardloom config init > cardloom.toml\n"
      "  cardloom config init serve > cardloom.toml\n");
  command.add_option("COMMAND", options.command, "only this command's")->type_name("");
  command.callback([&] { chosen = [&options] { return run_config_init(options); }; });
}

}  // namespace

void define_config(CLI::App& app, ConfigOptions& options, std::function<int()>& chosen) {
  CLI::App& command = add_plain_command(
      app, "config", "settings: what they are, where they come from, a file to begin with",
      "  cardloom config init > cardloom.toml\n"
      "  cardloom serve glm-4v-9b --config cardloom.toml\n"
      "  cardloom config show serve --origin --config cardloom.toml\n"
      "What is typed goes first, then the environment (CARDLOOM_KV_CACHE for --kv-cache, commas\n"
      "between the values of a list, 1 or 0 for a flag), then the file that --config or else\n"
      "CARDLOOM_CONFIG names, then the default. A file has a table a command, such as [serve],\n"
      "with options as keys, and [common] for all commands; model = \"...\" stands for MODEL.\n");
  command.require_subcommand(1);
  define_show(command, options, chosen);
  define_validate(command, options, chosen);
  define_init(command, options, chosen);
}

void define_completion(CLI::App& app, CompletionOptions& options, std::function<int()>& chosen) {
  CLI::App& completion =
      add_plain_command(app, "completion", "a script that completes commands and options on Tab",
                        "  source <(cardloom completion bash)\n"
                        "  cardloom completion zsh > ~/.zfunc/_cardloom\n"
                        "  cardloom completion fish > ~/.config/fish/completions/cardloom.fish\n");
  completion.add_option("SHELL", options.shell, "bash, zsh or fish")
      ->required()
      ->check(choices("bash zsh fish"))
      ->type_name("");
  completion.callback([&] { chosen = [&options] { return run_completion(options); }; });
  CLI::App& man = add_plain_command(app, "man", "the manual page, for man to show",
                                    "  cardloom man > cardloom.1 && man ./cardloom.1\n");
  man.callback([&chosen] { chosen = [] { return run_man(); }; });
}

}  // namespace cardloom::app
