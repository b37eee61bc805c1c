#include "apps/option_source.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "apps/cli_table.h"

namespace cardloom::app {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

const CommandInfo& table() {
  static const CommandInfo root = option_table();
  return root;
}

/// A settings file that lives as long as this.
class SettingsFile {
 public:
  explicit SettingsFile(const std::string& text)
      : path_(std::filesystem::temp_directory_path() /
              ("cardloom-" + std::to_string(getpid()) + ".toml")) {
    std::ofstream(path_) << text;
  }
  ~SettingsFile() { std::filesystem::remove(path_); }
  SettingsFile(const SettingsFile&) = delete;
  SettingsFile& operator=(const SettingsFile&) = delete;
  [[nodiscard]] std::string path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// What a command line means.
struct Meaning {
  CommandLine line;
  std::vector<Setting> settings;

  [[nodiscard]] std::string origin(const std::string& name) const {
    for (const Setting& setting : settings) {
      if (setting.option->name == name) return setting.origin_text();
    }
    return "no such option";
  }
};

std::unique_ptr<Meaning> understand(const std::vector<std::string>& words,
                                    const Environment& variables = {}) {
  auto meaning = std::make_unique<Meaning>();
  CLI::App app;
  define_commands(app, meaning->line);
  meaning->settings = parse_words(app, table(), words, variables);
  return meaning;
}

std::string failure_of(const std::vector<std::string>& words, const Environment& variables = {}) {
  try {
    static_cast<void>(understand(words, variables));
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.exit_code(), kExitUsage);
    return failure.error().message;
  }
  return "no failure";
}

TEST(OptionSource, TypedBeforeEnvironmentBeforeFileBeforeDefault) {
  const SettingsFile file(
      "[common]\ntp = 5\n[serve]\nport = 1\nstrict = true\napi-key = ['f1', 'f2']\n"
      "host = 'file'\n");
  struct Case {
    const char* name;
    bool typed, variable, in_file;
    std::int64_t port;
    bool strict;
    std::vector<std::string> keys;
    std::string host;
    std::string origin;
  };
  const std::vector<std::string> none;
  const std::vector<std::string> typed_keys{"t1"};
  const std::vector<std::string> variable_keys{"e1", "e2"};
  const std::vector<std::string> file_keys{"f1", "f2"};
  const Case cases[] = {
      {"nothing", false, false, false, 8000, false, none, "127.0.0.1", "default"},
      {"file", false, false, true, 1, true, file_keys, "file", file.path() + ":4"},
      {"variable", false, true, false, 2, false, variable_keys, "env", "environment CARDLOOM_PORT"},
      {"both", false, true, true, 2, false, variable_keys, "env", "environment CARDLOOM_PORT"},
      {"typed", true, false, false, 3, true, typed_keys, "typed", "command line"},
      {"typed, file", true, false, true, 3, true, typed_keys, "typed", "command line"},
      {"typed, variable", true, true, false, 3, true, typed_keys, "typed", "command line"},
      {"all", true, true, true, 3, true, typed_keys, "typed", "command line"},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.name);
    std::vector<std::string> words{"serve", "m"};
    Environment variables;
    if (one.typed) {
      words.insert(words.end(), {"--port", "3", "--strict", "--api-key", "t1", "--host", "typed"});
    }
    if (one.variable) {
      variables = {{"CARDLOOM_PORT", "2"},
                   {"CARDLOOM_STRICT", "0"},
                   {"CARDLOOM_API_KEY", "e1, e2"},
                   {"CARDLOOM_HOST", "env"}};
    }
    if (one.in_file) words.insert(words.end(), {"--config", file.path()});
    const auto meaning = understand(words, variables);
    const ServeOptions& serve = meaning->line.serve;
    EXPECT_EQ(serve.port, one.port);
    EXPECT_EQ(serve.limits.strict, one.strict);
    EXPECT_EQ(serve.api_keys, one.keys);
    EXPECT_EQ(serve.host, one.host);
    EXPECT_EQ(meaning->origin("port"), one.origin);
    EXPECT_EQ(serve.common.tp, one.in_file ? 5 : 1);
  }
}

TEST(OptionSource, CommandTableGoesBeforeCommon) {
  const SettingsFile file("[common]\ntp = 2\nmax_tokens = 9\n[run]\ntp = 3\n");
  EXPECT_EQ(understand({"run", "m", "--config", file.path()})->line.run.common.tp, 3);
  EXPECT_EQ(understand({"run", "m", "--config", file.path()})->line.run.max_tokens, 9);
  EXPECT_EQ(understand({"check", "m", "--config", file.path()})->line.check.common.tp, 2);
  EXPECT_EQ(understand({"check", "m"})->line.check.common.tp, 2);
  // inspect has no --max-tokens: [common] is no error for it.
  EXPECT_EQ(understand({"inspect", "m", "--config", file.path()})->line.inspect.common.tp, 2);
}

TEST(OptionSource, EmptyListInTheFileBeatsCommon) {
  const SettingsFile common("[common]\nallowed-host = ['a', 'b']\n");
  EXPECT_THAT(understand({"serve", "m", "--config", common.path()})->line.serve.allowed_hosts,
              ElementsAre("a", "b"));
  const SettingsFile both("[common]\nallowed-host = ['a', 'b']\n[serve]\nallowed-host = []\n");
  const auto serve = understand({"serve", "m", "--config", both.path()});
  EXPECT_THAT(serve->line.serve.allowed_hosts, IsEmpty());
  EXPECT_EQ(serve->origin("allowed-host"), both.path() + ":4");
}

TEST(OptionSource, FindsTheFileByTypingOrVariableOnly) {
  const SettingsFile file("[common]\ntp = 4\n");
  const Environment named{{"CARDLOOM_CONFIG", file.path()}};
  EXPECT_EQ(understand({"run", "m"}, named)->line.run.common.tp, 4);
  EXPECT_EQ(understand({"run", "m", "--config", ""}, named)->line.run.common.tp, 1);
  const Environment wrong{{"CARDLOOM_CONFIG", "/no/such/file"}};
  EXPECT_EQ(understand({"run", "m", "--config", file.path()}, wrong)->line.run.common.tp, 4);
  EXPECT_THAT(failure_of({"run", "m"}, wrong), HasSubstr("/no/such/file"));
}

TEST(OptionSource, ModelOfTheFileStandsForThePositional) {
  const SettingsFile file("[common]\nmodel = '-odd name'\n[eval]\nlimit = 3\n");
  const std::vector<std::string> config{"--config", file.path()};
  EXPECT_EQ(understand({"serve", "--config", file.path()})->line.serve.common.model, "-odd name");
  EXPECT_EQ(understand({"serve", "typed", "--config", file.path()})->line.serve.common.model,
            "typed");
  // One typed positional is MODEL, whatever the file says.
  const auto run = understand({"run", "--config", file.path(), "question"});
  EXPECT_EQ(run->line.run.common.model, "question");
  EXPECT_THAT(failure_of({"serve"}), HasSubstr("MODEL"));
}

TEST(OptionSource, RequiredOptionsMayComeFromAnywhere) {
  const Environment variables{{"CARDLOOM_IDS", "1 2"}, {"CARDLOOM_MAX_TOKENS", "4"}};
  const auto meaning = understand({"generate", "m"}, variables);
  EXPECT_EQ(meaning->line.generate.ids, "1 2");
  EXPECT_EQ(meaning->line.generate.max_tokens, 4);
  EXPECT_THAT(failure_of({"generate", "m"}), HasSubstr("--ids"));
}

TEST(OptionSource, TakesEveryKindFromTheEnvironment) {
  const auto meaning = understand({"run", "m"}, {{"CARDLOOM_TEMPERATURE", "0.25"},
                                                 {"CARDLOOM_SEED", "18446744073709551615"},
                                                 {"CARDLOOM_QUIET", "true"},
                                                 {"CARDLOOM_JSON", "false"},
                                                 {"CARDLOOM_IMAGE", "a.png,,b.png"},
                                                 {"CARDLOOM_SYSTEM", "--be, [brief]"},
                                                 {"CARDLOOM_KV_CACHE", "q8"},
                                                 {"CARDLOOM_CHUNK", "010"},
                                                 {"CARDLOOM_DTYPE", ""}});
  const RunOptions& run = meaning->line.run;
  EXPECT_EQ(run.sampling.temperature, 0.25);
  EXPECT_EQ(run.sampling.seed, 18446744073709551615U);
  EXPECT_TRUE(run.common.quiet);
  EXPECT_FALSE(run.common.json);
  EXPECT_THAT(run.images, ElementsAre("a.png", "b.png"));
  EXPECT_EQ(run.system, "--be, [brief]");
  EXPECT_EQ(run.common.kv_cache, "q8");
  EXPECT_EQ(run.common.chunk, 10);  // not eight
  EXPECT_EQ(run.common.dtype, "bf16");
  EXPECT_EQ(meaning->origin("dtype"), "default");
  EXPECT_EQ(meaning->origin("json"), "environment CARDLOOM_JSON");
}

TEST(OptionSource, BadVariablesAreNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {"x", "CARDLOOM_TP is \"x\", but must be an integer"},
      {"1.5", "CARDLOOM_TP is \"1.5\", but must be an integer"},
      {"1 ", "CARDLOOM_TP is \"1 \", but must be an integer"},
      {"99999999999999999999",
       "CARDLOOM_TP is \"99999999999999999999\", but must be an integer of 64 bits"},
  };
  for (const auto& [value, message] : cases) {
    EXPECT_EQ(failure_of({"run", "m"}, {{"CARDLOOM_TP", value}}), message);
  }
  EXPECT_EQ(failure_of({"run", "m"}, {{"CARDLOOM_SEED", "-1"}}),
            "CARDLOOM_SEED is \"-1\", but must be an integer from 0");
  EXPECT_EQ(failure_of({"run", "m"}, {{"CARDLOOM_TOP_P", "much"}}),
            "CARDLOOM_TOP_P is \"much\", but must be a number");
  EXPECT_EQ(failure_of({"run", "m"}, {{"CARDLOOM_QUIET", "yes"}}),
            "CARDLOOM_QUIET is \"yes\", but must be 1, 0, true or false");
  // A variable of another command, and one that typing beats, are nobody's business.
  EXPECT_EQ(failure_of({"run", "m"}, {{"CARDLOOM_PORT", "x"}}), "no failure");
  EXPECT_EQ(failure_of({"run", "m", "--tp", "2"}, {{"CARDLOOM_TP", "x"}}), "no failure");
}

TEST(OptionSource, WhatIsTypedWronglyIsToldAsEver) {
  const Environment broken{{"CARDLOOM_CONFIG", "/no/such/file"}, {"CARDLOOM_TP", "x"}};
  EXPECT_EQ(failure_of({"run", "m", "--temprature", "1"}, broken),
            "cardloom run does not take \"--temprature\"");
  EXPECT_EQ(failure_of({"rnu"}, broken), "there is no command \"rnu\"");
  EXPECT_EQ(failure_of({}, broken), "there is no command on the line");
  EXPECT_EQ(failure_of({"run", "m", "--tp", "two"}), "--tp is \"two\", but must be an integer");
  EXPECT_EQ(failure_of({"run", "m", "--tp", "0x2"}), "--tp is \"0x2\", but must be an integer");
  EXPECT_EQ(failure_of({"run", "m", "--seed", "-1"}),
            "--seed is \"-1\", but must be an integer from 0");
  EXPECT_EQ(failure_of({"run", "m", "--top-p", "much"}),
            "--top-p is \"much\", but must be a number");
  EXPECT_EQ(failure_of({"run", "m", "--tp"}), "--tp is given without a value");
  EXPECT_EQ(failure_of({"config"}), "there is no command of cardloom config on the line");
  EXPECT_EQ(failure_of({"config", "shwo"}), "there is no command of cardloom config \"shwo\"");
  EXPECT_EQ(failure_of({"config", "show", "--orign"}),
            "cardloom config show does not take \"--orign\"");
  EXPECT_THROW(understand({"run", "--help"}, broken), CLI::Success);
  EXPECT_THROW(understand({"--version"}, broken), CLI::Success);
}

TEST(OptionSource, NumbersAreReadAlikeWhereverTheyStand) {
  const ServeOptions typed =
      understand({"serve", "m", "--max-body-bytes", "64M", "--context", "32k", "--port", "010"})
          ->line.serve;
  EXPECT_EQ(typed.max_body_bytes, 64 << 20);
  EXPECT_EQ(typed.common.context, 32'000);
  EXPECT_EQ(typed.port, 10);
  const ServeOptions set =
      understand({"serve", "m"}, {{"CARDLOOM_MAX_BODY_BYTES", "64M"}, {"CARDLOOM_PORT", "010"}})
          ->line.serve;
  EXPECT_EQ(set.max_body_bytes, 64 << 20);
  EXPECT_EQ(set.port, 10);
  EXPECT_EQ(understand({"bench", "serve", "--rate", "2.5"})->line.bench_serve.rate, 2.5);
}

TEST(OptionSource, CommandsWithoutSettingsHeedNoVariable) {
  const auto meaning = understand({"config", "show", "run"}, {{"CARDLOOM_JSON", "1"}});
  EXPECT_FALSE(meaning->line.config.json);
  EXPECT_THAT(meaning->line.config.command, ElementsAre("run"));
  EXPECT_THAT(meaning->settings, IsEmpty());
}

TEST(OptionSource, FailuresOfTheCommandNameTheOrigin) {
  const SettingsFile file("[common]\ntp = 99\n[run]\nweights = 'q5'\n");
  const auto meaning = understand({"run", "m", "--config", file.path(), "--chunk", "0"},
                                  {{"CARDLOOM_CONTEXT", "-1"}});
  const auto told = [&](const char* message) {
    const Failure failure(kExitUsage, make_error(ErrorCode::kInvalidArgument, message));
    const Failure renamed = with_origin(failure, meaning->settings);
    EXPECT_EQ(renamed.exit_code(), kExitUsage);
    return renamed.error().message;
  };
  EXPECT_EQ(told("--tp is 99, but"), file.path() + ":2: common.tp is 99, but");
  EXPECT_EQ(told("--weights: no"), file.path() + ":4: run.weights: no");
  EXPECT_EQ(told("--context is -1"), "CARDLOOM_CONTEXT is -1");
  EXPECT_EQ(told("--chunk is 0"), "--chunk is 0");
  EXPECT_EQ(told("--tpx is 0"), "--tpx is 0");
  EXPECT_EQ(told("the picture is bad"), "the picture is bad");
}

TEST(OptionSource, WarnsOfVariablesThatMeanNothing) {
  const Environment variables{{"CARDLOOM_TPP", "2"},
                              {"CARDLOOM_TP", "2"},
                              {"CARDLOOM_API_KEYS", "k"},
                              {"CARDLOOM_API_KEYZ", "secret"},
                              {"CARDLOOM_LAUNCH_BLOCKING", "1"},
                              {"CARDLOOM_CONFIG", "c"},
                              {"CARDLOOM_ISA", "plain"},
                              {"CARDLOOM_SOMETHING_ELSE_ALTOGETHER", "1"},
                              {"HOME", "/"}};
  const std::vector<std::string> lines = unknown_variables(variables, table());
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_THAT(lines[0], HasSubstr("was CARDLOOM_API_KEY"));
  EXPECT_THAT(lines[0], Not(HasSubstr("secret")));
  EXPECT_EQ(lines[1],
            "warning: the environment's CARDLOOM_SOMETHING_ELSE_ALTOGETHER means nothing to "
            "cardloom");
  EXPECT_EQ(lines[2],
            "warning: the environment's CARDLOOM_TPP means nothing to cardloom; was CARDLOOM_TP "
            "meant?");
}

TEST(OptionSource, ReadsTheProcessEnvironment) {
  ASSERT_EQ(setenv("CARDLOOM_TEST_VARIABLE", "a=b", 1), 0);
  EXPECT_EQ(environment().at("CARDLOOM_TEST_VARIABLE"), "a=b");
  unsetenv("CARDLOOM_TEST_VARIABLE");
  EXPECT_FALSE(environment().contains("CARDLOOM_TEST_VARIABLE"));
}

TEST(OptionTable, KnowsKindsChoicesAndSecrets) {
  using Kind = OptionInfo::Kind;
  const CommandInfo& serve = *table().find_command("serve");
  EXPECT_EQ(serve.find_option("port")->kind, Kind::kInteger);
  EXPECT_EQ(serve.find_option("port")->default_text, "8000");
  EXPECT_EQ(serve.find_option("strict")->kind, Kind::kFlag);
  EXPECT_TRUE(serve.find_option("api-key")->is_list);
  EXPECT_TRUE(serve.find_option("api-key")->is_secret());
  EXPECT_FALSE(serve.find_option("api-key-file")->is_secret());
  EXPECT_THAT(serve.find_option("dtype")->choices, ElementsAre("bf16", "f32"));
  EXPECT_EQ(serve.find_option("quiet")->short_name, "q");
  EXPECT_EQ(serve.find_option("MODEL")->key(), "model");
  EXPECT_EQ(serve.find_option("kv-cache")->variable(), "CARDLOOM_KV_CACHE");
  EXPECT_EQ(serve.find_option("config")->variable(), "");
  EXPECT_EQ(serve.usage, "cardloom serve [OPTIONS] MODEL");
  const CommandInfo& run = *table().find_command("run");
  EXPECT_EQ(run.find_option("temperature")->kind, Kind::kNumber);
  EXPECT_EQ(run.find_option("seed")->kind, Kind::kUnsigned);
  EXPECT_EQ(run.find_option("system")->kind, Kind::kText);
  EXPECT_FALSE(run.find_option("system")->is_list);
  EXPECT_TRUE(table().find_command("bench")->find_option("batch")->is_comma_list());
  EXPECT_EQ(table().find_command("nothing"), nullptr);
}

TEST(OptionTable, EveryCommandHasHelpAndEveryOptionToo) {
  for (const CommandInfo* command : all_commands(table())) {
    EXPECT_FALSE(command->help.empty()) << command->path;
    EXPECT_THAT(command->usage, StartsWith("cardloom " + command->path));
    for (const OptionInfo& option : command->options) {
      EXPECT_FALSE(option.help.empty()) << command->path << " " << option.written();
    }
  }
}

}  // namespace
}  // namespace cardloom::app
