#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/process.h"
#include "tests/e2e/support.h"

/// Settings of environment and file, and what is generated from the option table.
namespace cardloom::e2e {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(Config, AFileAndVariablesRunTheModel) {
  const TempFolder folder;
  const std::string config = folder.write(
      "c.toml", "[common]\nmodel = \"" + kNano + "\"\nthreads = 1\n[generate]\nmax-tokens = 3\n");
  const Outcome outcome = cardloom({"generate", "--ids", "1 2 3", "--config", config, "--json"},
                                   {.env = {{"CARDLOOM_TP", "2"}, {"CARDLOOM_IGNORE_EOS", "1"}}});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(parse(outcome.out).at("ids").as_array().size(), 3U);
}

TEST(Config, BadValuesNameTheirOrigin) {
  const TempFolder folder;
  const std::string config = folder.write("c.toml", "[run]\n\ntp = 9\n");
  const Outcome file = cardloom({"run", kNano, "x", "--config", config});
  EXPECT_EQ(file.exit_code, 2);
  EXPECT_THAT(file.err, StartsWith("error: " + config + ":3: run.tp is 9, but a model runs on"));
  const Outcome variable = cardloom({"run", kNano, "x"}, {.env = {{"CARDLOOM_TP", "9"}}});
  EXPECT_EQ(variable.exit_code, 2);
  EXPECT_THAT(variable.err, StartsWith("error: CARDLOOM_TP is 9, but a model runs on"));
  const Outcome typed = cardloom({"version", "--tp", "9"}, {.env = {{"CARDLOOM_TP", "2"}}});
  EXPECT_THAT(typed.err, StartsWith("error: --tp is 9, but"));
}

TEST(Config, UnknownNamesAreAnErrorInAFileAndAWarningInTheEnvironment) {
  const TempFolder folder;
  const std::string config = folder.write("c.toml", "[serve]\nprot = 1\n");
  const Outcome file = cardloom({"version", "--config", config});
  EXPECT_EQ(file.exit_code, 2);
  EXPECT_THAT(file.err, AllOf(HasSubstr(":2: there is no option serve.prot"),
                              HasSubstr("port, if that was meant")));
  const ProcessOptions wrong{.env = {{"CARDLOOM_PROT", "1"}}};
  const Outcome variable = cardloom({"version"}, wrong);
  EXPECT_EQ(variable.exit_code, 0);
  EXPECT_EQ(variable.err,
            "warning: the environment's CARDLOOM_PROT means nothing to cardloom; was "
            "CARDLOOM_PORT meant?\n");
  EXPECT_EQ(cardloom({"version", "--quiet"}, wrong).err, "");
}

TEST(Config, ShowsOriginsAndHidesKeys) {
  const TempFolder folder;
  const std::string config = folder.write("c.toml", "[serve]\nport = 9000\napi-key = [\"hush\"]\n");
  const std::vector<std::string> show{"config", "show", "--origin", "--config", config};
  const Outcome outcome = cardloom(show, {.env = {{"CARDLOOM_TP", "2"}}});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out,
              AllOf(HasSubstr("# " + config + ":2\n"), HasSubstr("api-key = [\"***\"]"),
                    HasSubstr("# environment CARDLOOM_TP\n"), HasSubstr("# default\n"),
                    Not(HasSubstr("hush"))));
  const Outcome valid = cardloom({"config", "validate", config});
  EXPECT_EQ(valid.out, config + ": 2 settings, all good\n");
  EXPECT_EQ(cardloom({"config", "validate", folder.file("none")}).exit_code, 2);
}

TEST(Config, WhatInitPrintsIsValid) {
  const TempFolder folder;
  const Outcome init = cardloom({"config", "init"});
  ASSERT_EQ(init.exit_code, 0);
  const Outcome valid = cardloom({"config", "validate", folder.write("c.toml", init.out)});
  EXPECT_THAT(valid.out, HasSubstr(": 0 settings, all good"));
}

TEST(Generated, CompletionsAndManPage) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const Outcome outcome = cardloom({"completion", shell});
    EXPECT_EQ(outcome.exit_code, 0);
    EXPECT_THAT(outcome.out, AllOf(HasSubstr("serve"), HasSubstr("max-running")));
  }
  EXPECT_EQ(cardloom({"completion", "tcsh"}).exit_code, 2);
  EXPECT_EQ(cardloom({"man"}).out, read_text(kSource + "/docs/man/cardloom.1"));
}

}  // namespace
}  // namespace cardloom::e2e
