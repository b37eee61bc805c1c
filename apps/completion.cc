#include "apps/completion.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <map>

#include "apps/commands.h"
#include "apps/text.h"

namespace cardloom::app {
namespace {

using Kind = OptionInfo::Kind;

/// What can stand where a value is expected.
enum class Values { kNone, kChoices, kFolders, kFiles };

Values values_of(const OptionInfo& option) {
  if (!option.choices.empty()) return Values::kChoices;
  const std::string& name = option.is_positional ? option.name : option.value_name;
  for (const char* folder : {"DIR", "MODEL"}) {
    if (name == folder) return Values::kFolders;
  }
  for (const char* file : {"FILE", "PATH", "PEM", "IMAGE"}) {
    if (name == file) return Values::kFiles;
  }
  return Values::kNone;
}

/// "--kv-cache", "-q".
std::vector<std::string> written_forms(const OptionInfo& option) {
  if (option.is_positional) return {};
  std::vector<std::string> forms{"--" + option.name};
  if (!option.short_name.empty()) forms.push_back("-" + option.short_name);
  return forms;
}

std::vector<std::string> names_of(const std::vector<CommandInfo>& commands) {
  std::vector<std::string> names;
  for (const CommandInfo& command : commands) names.push_back(command.name);
  return names;
}

/// The program first, then all commands.
std::vector<const CommandInfo*> program_and_commands(const CommandInfo& root) {
  std::vector<const CommandInfo*> all = all_commands(root);
  all.insert(all.begin(), &root);
  return all;
}

// ---- bash

/// How a command's path is written in the script: "" for the program, " bench serve".
std::string spaced(const CommandInfo& command) {
  return command.path.empty() ? "" : " " + command.path;
}

/// `-d -W 'serve'`: what compgen is asked for.
std::string bash_words(Values values, const std::vector<std::string>& words) {
  std::string asked = values == Values::kFiles ? " -f" : values == Values::kFolders ? " -d" : "";
  if (!words.empty()) asked += fmt::format(" -W '{}'", joined(words, " "));
  if (asked.empty()) return "COMPREPLY=()";
  const bool is_path = values == Values::kFiles || values == Values::kFolders;
  return (is_path ? "_cardloom_files" : "_cardloom_reply") + asked;
}

/// Case arms for a command's options that take a value: what may follow them.
std::string bash_value_arms(const CommandInfo& command) {
  std::map<std::string, std::vector<std::string>> patterns;  // by what is offered
  for (const OptionInfo& option : command.options) {
    if (option.is_positional || option.kind == Kind::kFlag) continue;
    for (const std::string& form : written_forms(option)) {
      patterns[bash_words(values_of(option), option.choices)].push_back(
          fmt::format("'{} {}'", spaced(command), form));
    }
  }
  std::string arms;
  for (const auto& [reply, options] : patterns) {
    arms += fmt::format("    {})\n      {}; return ;;\n", joined(options, "|"), reply);
  }
  return arms;
}

/// A case arm for a command: its options, or what else may stand there.
std::string bash_word_arm(const CommandInfo& command) {
  std::vector<std::string> options;
  std::vector<std::string> words = names_of(command.commands);
  Values values = Values::kNone;
  for (const OptionInfo& option : command.options) {
    const std::vector<std::string> forms = written_forms(option);
    options.insert(options.end(), forms.begin(), forms.end());
    if (!option.is_positional) continue;
    words.insert(words.end(), option.choices.begin(), option.choices.end());
    // One that takes paths makes paths welcome wherever a positional may stand.
    if (const Values taken = values_of(option); taken > values) values = taken;
  }
  return fmt::format(
      "    '{}')\n      if [[ $cur == -* ]]; then _cardloom_reply -W '{}'; else {}; fi ;;\n",
      spaced(command), joined(options, " "), bash_words(values, words));
}

constexpr const char* kBashHead =
    R"(# bash completion of cardloom; made by `cardloom completion bash`
_cardloom_reply() { mapfile -t COMPREPLY < <(compgen "$@" -- "$cur"); }
_cardloom_files() {
  compopt -o filenames 2> /dev/null
  _cardloom_reply "$@"
}
_cardloom() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} path= i
  # bash cuts --tp=2 into three words.
  if [[ $cur == = ]]; then
    cur=
  elif [[ $prev == = ]]; then
    prev=${COMP_WORDS[COMP_CWORD-2]}
  fi
  for ((i = 1; i < COMP_CWORD; ++i)); do
    case "$path ${COMP_WORDS[i]}" in
)";

std::string bash_script(const CommandInfo& root) {
  std::string script = kBashHead;
  std::vector<std::string> paths;
  for (const CommandInfo* command : all_commands(root)) {
    paths.push_back(fmt::format("'{}'", spaced(*command)));
  }
  script += fmt::format("      {}) path+=\" ${{COMP_WORDS[i]}}\" ;;\n", joined(paths, "|"));
  script += "    esac\n  done\n  case \"$path $prev\" in\n";
  for (const CommandInfo* command : program_and_commands(root)) script += bash_value_arms(*command);
  script += "  esac\n  case \"$path\" in\n";
  for (const CommandInfo* command : program_and_commands(root)) script += bash_word_arm(*command);
  return script + "  esac\n}\ncomplete -F _cardloom cardloom\n";
}

// ---- zsh

/// Inside '...' in an _arguments specification: its own signs behind a backslash.
std::string zsh_text(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
      continue;
    }
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_action(const OptionInfo& option) {
  switch (values_of(option)) {
    case Values::kChoices:
      return "(" + joined(option.choices, " ") + ")";
    case Values::kFiles:
      return "_files";
    case Values::kFolders:
      return "_files -/";
    case Values::kNone:
      break;
  }
  return " ";  // nothing to offer, but a value is expected
}

std::string zsh_specification(const OptionInfo& option) {
  const bool optional = option.is_positional && !option.is_required;
  if (option.is_positional) {
    return fmt::format("'{}:{}:{}'",
                       option.is_list ? "*"
                       : optional     ? ":"
                                      : "",
                       zsh_text(option.name), zsh_action(option));
  }
  const bool takes_value = option.kind != Kind::kFlag;
  const std::string what = fmt::format(
      "[{}]{}", zsh_text(option.help),
      takes_value ? fmt::format(":{}:{}", zsh_text(option.value_name), zsh_action(option)) : "");
  std::vector<std::string> specifications;
  const std::vector<std::string> forms = written_forms(option);
  for (const std::string& form : forms) {
    const std::string others = option.is_list ? "*" : fmt::format("({})", joined(forms, " "));
    const char* sign = !takes_value ? "" : form.starts_with("--") ? "=" : "+";
    specifications.push_back(fmt::format("'{}{}{}{}'", others, form, sign, what));
  }
  return joined(specifications, " \\\n    ");
}

/// "_cardloom_bench_serve"
std::string zsh_function(const CommandInfo& command) {
  std::string name = "_cardloom" + spaced(command);
  std::replace(name.begin(), name.end(), ' ', '_');
  return name;
}

std::string zsh_command(const CommandInfo& command) {
  std::string script = fmt::format("{}() {{\n", zsh_function(command));
  const bool has_commands = !command.commands.empty();
  if (has_commands) script += "  local curcontext=$curcontext state line\n";
  script += fmt::format("  _arguments -s{}", has_commands ? " -C" : "");
  for (const OptionInfo& option : command.options) {
    // Before commands no positional can be told from them.
    if (has_commands && option.is_positional) continue;
    script += " \\\n    " + zsh_specification(option);
  }
  if (!has_commands) return script + "\n}\n";
  script += " \\\n    '1:command:->command' '*::argument:->argument'\n  case $state in\n";
  script += "    command)\n      local -a commands=(\n";
  for (const CommandInfo& below : command.commands) {
    script += fmt::format("        '{}:{}'\n", below.name, zsh_text(below.help));
  }
  script += "      )\n      _describe command commands";
  const OptionInfo* model = command.find_option("MODEL");
  if (model != nullptr) script += "\n      " + zsh_action(*model);
  script += " ;;\n    argument)\n      case $words[1] in\n";
  for (const CommandInfo& below : command.commands) {
    script += fmt::format("        {}) {} ;;\n", below.name, zsh_function(below));
  }
  return script + "      esac ;;\n  esac\n}\n";
}

std::string zsh_script(const CommandInfo& root) {
  std::string script = "#compdef cardloom\n# made by `cardloom completion zsh`\n";
  for (const CommandInfo* command : program_and_commands(root)) script += zsh_command(*command);
  // Sourced it announces itself; as a file of $fpath it is called.
  return script +
         "if [[ $zsh_eval_context[-1] == loadautofunc ]]; then\n  _cardloom \"$@\"\n"
         "else\n  compdef _cardloom cardloom\nfi\n";
}

// ---- fish

std::string fish_quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

std::string fish_option(const OptionInfo& option) {
  std::string line;
  if (!option.is_positional) line += " -l " + option.name;
  if (!option.short_name.empty()) line += " -s " + option.short_name;
  if (option.kind == Kind::kFlag) return line + " -d " + fish_quoted(option.help);
  switch (values_of(option)) {
    case Values::kChoices:
      line += fmt::format(" {} -a {}", option.is_positional ? "-f" : "-x",
                          fish_quoted(joined(option.choices, " ")));
      break;
    case Values::kFiles:
      line += option.is_positional ? " -F" : " -r -F";
      break;
    case Values::kFolders:
      line +=
          fmt::format(" {} -a '(__fish_complete_directories)'", option.is_positional ? "-f" : "-x");
      break;
    case Values::kNone:
      line += option.is_positional ? " -f" : " -x";
      break;
  }
  // A positional's help would stand behind every file.
  return option.is_positional ? line : line + " -d " + fish_quoted(option.help);
}

constexpr const char* kFishHead =
    R"(# fish completion of cardloom; made by `cardloom completion fish`
function __cardloom_is
    set -l path
    for word in (commandline -opc)[2..-1]
        switch "$path $word"
            case )";

std::string fish_script(const CommandInfo& root) {
  std::vector<std::string> paths;
  for (const CommandInfo* command : all_commands(root)) {
    paths.push_back(fish_quoted(spaced(*command)));
  }
  std::string script = kFishHead + joined(paths, " ");
  script +=
      "\n                set path \"$path $word\"\n        end\n    end\n"
      "    test \"$path\" = \"$argv[1]\"\nend\ncomplete -c cardloom -f\n";
  for (const CommandInfo* command : program_and_commands(root)) {
    const std::string condition =
        fmt::format("complete -c cardloom -n {}",
                    fish_quoted(fmt::format("__cardloom_is \"{}\"", spaced(*command))));
    for (const CommandInfo& below : command->commands) {
      script += fmt::format("{} -a {} -d {}\n", condition, below.name, fish_quoted(below.help));
    }
    for (const OptionInfo& option : command->options) {
      script += condition + fish_option(option) + "\n";
    }
  }
  return script;
}

}  // namespace

std::string completion_script(const std::string& shell, const CommandInfo& root) {
  if (shell == "bash") return bash_script(root);
  if (shell == "zsh") return zsh_script(root);
  if (shell == "fish") return fish_script(root);
  fail_usage(fmt::format("SHELL is \"{}\", but must be bash, zsh or fish", shell),
             "there is a completion script for each of these", "cardloom completion bash");
}

int run_completion(const CompletionOptions& options) {
  std::fputs(completion_script(options.shell, option_table()).c_str(), stdout);
  return kExitOk;
}

}  // namespace cardloom::app
