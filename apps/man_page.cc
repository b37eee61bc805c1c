#include "apps/man_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "apps/commands.h"
#include "apps/option_source.h"
#include "apps/text.h"
#include "cardloom/base/ascii.h"

namespace cardloom::app {
namespace {

using Kind = OptionInfo::Kind;

/// So that roff shows `text` as it is, with hyphens that can be typed.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
  }
  return out;
}

/// A line of text: one that begins with '.' or '\'' would be a request.
std::string line(std::string_view text) {
  const bool is_request = text.starts_with('.') || text.starts_with('\'');
  return (is_request ? "\\&" : "") + escaped(text) + "\n";
}

std::string bold(std::string_view text) { return "\\fB" + escaped(text) + "\\fR"; }
std::string italic(std::string_view text) { return "\\fI" + escaped(text) + "\\fR"; }

/// In a heading a quotation mark would end the argument.
std::string heading(const char* macro, std::string_view text) {
  std::string argument = escaped(text);
  std::replace(argument.begin(), argument.end(), '"', '\'');
  return fmt::format(".{} \"{}\"\n", macro, argument);
}

std::string option_entry(const OptionInfo& option) {
  std::string term;
  if (!option.short_name.empty()) term += bold("-" + option.short_name) + ", ";
  term += option.is_positional ? italic(option.name) : bold("--" + option.name);
  if (!option.value_name.empty() && !option.is_positional) term += " " + italic(option.value_name);
  std::string help = option.help;
  if (!option.default_text.empty() && option.kind != Kind::kFlag) {
    help += fmt::format(" [{}]", option.default_text);
  }
  if (option.is_required) help += " (required)";
  return fmt::format(".TP\n{}\n{}", term, line(help));
}

/// Options under their groups' names, those of the default group first.
std::string option_entries(const std::vector<OptionInfo>& options) {
  std::vector<std::string> groups;
  for (const OptionInfo& option : options) {
    if (std::find(groups.begin(), groups.end(), option.group) == groups.end()) {
      groups.push_back(option.group);
    }
  }
  std::string out;
  for (const std::string& group : groups) {
    if (group != "Options") out += ".PP\n" + bold(group) + "\n";
    for (const OptionInfo& option : options) {
      if (option.group == group) out += option_entry(option);
    }
  }
  return out;
}

/// A footer in two: what is indented is typed, the rest is prose. Exit codes have a section.
std::string footer_text(const std::string& footer, const char* examples_heading) {
  std::string examples;
  std::string prose;
  std::string_view rest = footer;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view text = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (text.starts_with("Exit codes:")) break;
    if (text.empty() || text == "Examples:") continue;
    if (text.starts_with("  ")) {
      examples += line(text.substr(2));
    } else {
      prose += line(text);
    }
  }
  std::string out;
  if (!examples.empty()) out += fmt::format("{}.nf\n.RS\n{}.RE\n.fi\n", examples_heading, examples);
  if (!prose.empty()) out += ".PP\n" + prose;
  return out;
}

std::string command_section(const CommandInfo& command, const std::vector<OptionInfo>& shared) {
  std::string out = heading("SS", "cardloom " + command.path);
  std::string help = command.help;
  if (!help.empty()) help.front() = static_cast<char>(std::toupper(help.front()));
  out += line(help + ".");
  out += ".PP\n" + bold(command.usage) + "\n";
  std::vector<OptionInfo> own = own_options(command, shared);
  // Every command has it, and it says nothing new.
  std::erase_if(own, [](const OptionInfo& option) { return option.name == "help"; });
  out += option_entries(own);
  if (takes(command, shared)) {
    out += ".PP\nAlso takes the common options.\n";
  }
  return out + footer_text(command.footer, ".PP\n");
}

std::string environment_section(const CommandInfo& root) {
  std::string out = heading("SH", "ENVIRONMENT");
  out += line(
      "Every option of a command that has --config has a variable: CARDLOOM_ and its name "
      "in capitals,");
  out += line("with _ for -: CARDLOOM_KV_CACHE for --kv-cache. An empty one counts as not set.");
  for (const KnownVariable& variable : known_variables()) {
    out += fmt::format(".TP\n{}\n{}", bold(variable.name), line(variable.help));
  }
  std::vector<std::string> names;
  for (const CommandInfo* command : commands_with_settings(root)) {
    for (const OptionInfo& option : command->options) {
      const std::string name = option.variable();
      if (!name.empty()) names.push_back(name);
    }
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return out + ".PP\nAll others:\n" + line(joined(names) + ".");
}

/// "Exit codes: 0 ok, 1 failed, ..." as a list.
std::string exit_section(const std::string& footer) {
  constexpr std::string_view kMark = "Exit codes: ";
  const std::size_t at = footer.find(kMark);
  if (at == std::string::npos) return {};
  std::string text = footer.substr(at + kMark.size());
  std::replace(text.begin(), text.end(), '\n', ' ');
  while (!text.empty() && (text.back() == ' ' || text.back() == '.')) text.pop_back();
  std::string out = heading("SH", "EXIT STATUS");
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(", "), text.size());
    const std::string part = text.substr(0, end);
    const std::size_t space = std::min(part.find(' '), part.size());
    out += fmt::format(".TP\n{}\n{}", bold(part.substr(0, space)),
                       line(stripped(std::string_view(part).substr(space))));
    text.erase(0, end + 2);
  }
  return out;
}

constexpr const char* kSettings =
    ".SH SETTINGS\n"
    "What is typed goes first, then the environment, then the settings file, then the default.\n"
    "The file is the one that \\fB\\-\\-config\\fR or else \\fBCARDLOOM_CONFIG\\fR names; none is "
    "looked for.\n"
    "It is TOML with a table a command, options as keys, and [common] for all commands:\n"
    ".PP\n.nf\n.RS\n"
    "[common]\n"
    "tp = 2\n"
    "[serve]\n"
    "model = \"glm\\-4v\\-9b\"\n"
    "max\\-running = 32\n"
    ".RE\n.fi\n.PP\n"
    "\\fBcardloom config init\\fR prints one with all options; \\fBcardloom config show "
    "\\-\\-origin\\fR says what a\n"
    "command would run with and where each value comes from.\n";

}  // namespace

std::string man_page(const CommandInfo& root) {
  std::string out =
      ".\\\" Made by `cardloom man > docs/man/cardloom.1`: change apps/cli*.cc, not this.\n";
  out += fmt::format(".TH CARDLOOM 1 \"\" \"cardloom {}\" \"User Commands\"\n", CARDLOOM_VERSION);
  // No hyphenation, ragged right: option names must stay whole.
  out += ".nh\n.ad l\n";
  out += ".SH NAME\ncardloom \\- GLM\\-4V on several cards\n.SH SYNOPSIS\n";
  for (const CommandInfo* command : all_commands(root)) {
    if (command->commands.empty() || command->has_settings()) {
      out += ".br\n" + line(command->usage);
    }
  }
  out += ".SH DESCRIPTION\n" + line(root.help);
  out += footer_text(root.footer, ".SH EXAMPLES\n");
  const std::vector<OptionInfo> shared = shared_options(root);
  out += heading("SH", "COMMON OPTIONS");
  out += line("Every command that runs a model takes these; defaults in brackets.");
  out += option_entries(shared);
  out += heading("SH", "COMMANDS");
  for (const CommandInfo* command : all_commands(root)) out += command_section(*command, shared);
  out += kSettings;
  out += environment_section(root);
  out += exit_section(root.footer);
  out += ".SH SEE ALSO\nThe folder docs of the source: cli.md, config.md, errors.md.\n";
  return out;
}

int run_man() {
  std::fputs(man_page(option_table()).c_str(), stdout);
  return kExitOk;
}

}  // namespace cardloom::app
