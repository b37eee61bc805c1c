#include "apps/man_page.h"

#include <gmock/gmock.h>

#include "cardloom/base/file.h"

namespace cardloom::app {
namespace {

using testing::HasSubstr;

TEST(ManPage, TheCommittedOneIsUpToDate) {
  const Result<std::string> committed =
      read_file(CARDLOOM_SOURCE_DIR "/docs/man/cardloom.1", std::int64_t{1} << 20);
  ASSERT_TRUE(committed) << committed.error().describe();
  EXPECT_TRUE(*committed == man_page(option_table()))
      << "the options have changed since: build/dev/bin/cardloom man > docs/man/cardloom.1";
}

TEST(ManPage, NamesEveryCommandOptionAndVariable) {
  const CommandInfo root = option_table();
  const std::string page = man_page(root);
  const auto typed = [](std::string text) {  // as the page writes it
    for (std::size_t at = 0; (at = text.find('-', at)) != std::string::npos; at += 2) {
      text.insert(at, "\\");
    }
    return text;
  };
  for (const CommandInfo* command : all_commands(root)) {
    EXPECT_THAT(page, HasSubstr(".SS \"cardloom " + command->path + "\"\n"));
    for (const OptionInfo& option : command->options) {
      EXPECT_THAT(page, HasSubstr(typed(option.written())));
      EXPECT_THAT(page, HasSubstr(command->has_settings() ? option.variable() : ""));
    }
  }
  for (const char* text : {".SH \"EXIT STATUS\"", "stopped by Ctrl\\-C", "CARDLOOM_API_KEYS",
                           ".SH EXAMPLES", "cardloom serve glm\\-4v\\-9b \\-\\-tp 2"}) {
    EXPECT_THAT(page, HasSubstr(text));
  }
}

TEST(ManPage, TextIsNoRequest) {
  CommandInfo root;
  CommandInfo command;
  command.path = command.name = "odd";
  command.help = ".so /etc/passwd";
  command.footer = "Examples:\n  'quoted \\n\nExit codes: 0 ok.";
  root.commands = {command};
  const std::string page = man_page(root);
  EXPECT_THAT(page, HasSubstr("\n\\&.so /etc/passwd.\n"));
  EXPECT_THAT(page, HasSubstr("\n\\&'quoted \\en\n"));
}

}  // namespace
}  // namespace cardloom::app
