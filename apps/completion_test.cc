#include "apps/completion.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "apps/failure.h"

namespace cardloom::app {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::UnorderedElementsAre;

/// A folder with the script, model/, "my pictures"/ and cat.jpg, in which bash runs.
class BashCompletion : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() /
              ("cardloom-completion-" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_ / "model");
    std::filesystem::create_directories(folder_ / "my pictures");
    std::ofstream(folder_ / "cat.jpg") << "x";
    std::ofstream(folder_ / "script.sh") << completion_script("bash", option_table());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  /// What Tab offers behind `words`, which are those that bash makes of the line.
  std::vector<std::string> offered(const std::vector<std::string>& words) {
    std::ofstream program(folder_ / "test.sh");
    program << "cd '" << folder_.string() << "'\nsource script.sh\nCOMP_WORDS=(cardloom";
    for (const std::string& word : words) program << " '" << word << "'";
    program << ")\nCOMP_CWORD=" << words.size()
            << "\n_cardloom\n(( ${#COMPREPLY[@]} )) && printf '%s\\n' \"${COMPREPLY[@]}\"\n";
    program.close();
    const std::string command = "bash '" + (folder_ / "test.sh").string() + "' 2>&1";
    FILE* pipe = popen(command.c_str(), "r");
    std::string text;
    char buffer[4096];
    while (const std::size_t got = fread(buffer, 1, sizeof(buffer), pipe)) text.append(buffer, got);
    pclose(pipe);
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
  }

  std::filesystem::path folder_;
};

TEST_F(BashCompletion, OffersCommands) {
  EXPECT_THAT(offered({"se"}), ElementsAre("serve"));
  EXPECT_THAT(offered({""}), Contains("config"));
  EXPECT_THAT(offered({"config", ""}), UnorderedElementsAre("show", "validate", "init"));
  EXPECT_THAT(offered({"config", "show", "ser"}), ElementsAre("serve"));
  EXPECT_THAT(offered({"--v"}), ElementsAre("--version"));
  EXPECT_THAT(offered({"nonsense", ""}), Contains("run"));
}

TEST_F(BashCompletion, OffersOptionsOfTheCommand) {
  EXPECT_THAT(offered({"serve", "--max-r"}), ElementsAre("--max-running"));
  EXPECT_THAT(offered({"run", "--max-r"}), IsEmpty());
  EXPECT_THAT(offered({"run", "model", "--tp", "2", "--te"}), ElementsAre("--temperature"));
  // A folder called as a command is changes nothing.
  EXPECT_THAT(offered({"run", "serve", "--max-r"}), IsEmpty());
  EXPECT_THAT(offered({"config", "show", "--o"}), ElementsAre("--origin"));
}

TEST_F(BashCompletion, OffersValues) {
  EXPECT_THAT(offered({"serve", "--speculate", ""}), UnorderedElementsAre("off", "ngram"));
  EXPECT_THAT(offered({"serve", "--speculate", "=", "n"}), ElementsAre("ngram"));
  EXPECT_THAT(offered({"serve", "--speculate", "="}), UnorderedElementsAre("off", "ngram"));
  EXPECT_THAT(offered({"run", "--dtype", "b"}), ElementsAre("bf16"));
  EXPECT_THAT(offered({"run", "--tp", ""}), IsEmpty());
  EXPECT_THAT(offered({"completion", "z"}), ElementsAre("zsh"));
}

TEST_F(BashCompletion, OffersFilesAndFolders) {
  EXPECT_THAT(offered({"serve", "mo"}), ElementsAre("model"));
  EXPECT_THAT(offered({"serve", "my"}), ElementsAre("my pictures"));
  EXPECT_THAT(offered({"serve", ""}), Not(Contains("cat.jpg")));
  EXPECT_THAT(offered({"run", "m", "-i", "c"}), ElementsAre("cat.jpg"));
  EXPECT_THAT(offered({"run", "m", "--image", "c"}), ElementsAre("cat.jpg"));
  EXPECT_THAT(offered({"preprocess", "m", "c"}), ElementsAre("cat.jpg"));
  EXPECT_THAT(offered({"serve", "--media-root", "m"}),
              UnorderedElementsAre("model", "my pictures"));
}

TEST(Completion, EveryOptionIsInEveryScript) {
  const CommandInfo root = option_table();
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const std::string script = completion_script(shell, root);
    for (const CommandInfo* command : all_commands(root)) {
      EXPECT_THAT(script, HasSubstr(command->name));
      for (const OptionInfo& option : command->options) {
        if (option.is_positional) continue;
        const bool is_fish = std::string(shell) == "fish";
        EXPECT_THAT(script, HasSubstr((is_fish ? "-l " : "--") + option.name)) << shell;
      }
    }
  }
}

TEST(Completion, QuotesHelp) {
  OptionInfo option;
  option.name = "odd";
  option.value_name = "X";
  option.help = "it's [a]: \\ $(b)";
  CommandInfo command;
  command.path = command.name = "do";
  command.options = {option};
  CommandInfo root;
  root.commands = {command};
  EXPECT_THAT(completion_script("zsh", root),
              HasSubstr(R"('(--odd)--odd=[it'\''s \[a\]\: \\ $(b)]:X: ')"));
  EXPECT_THAT(completion_script("fish", root), HasSubstr(R"(-d 'it\'s [a]: \\ $(b)')"));
}

TEST(Completion, KnowsThreeShells) {
  EXPECT_THROW(static_cast<void>(completion_script("tcsh", option_table())), Failure);
}

}  // namespace
}  // namespace cardloom::app
