#include "apps/config_file.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "apps/failure.h"

namespace cardloom::app {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

OptionInfo option(const char* name, OptionInfo::Kind kind, const char* value_name = "") {
  OptionInfo info;
  info.name = name;
  info.kind = kind;
  info.value_name = value_name;
  info.help = std::string("what ") + name + " does";
  return info;
}

/// `serve`, `bench` and below it `bench serve`: small, and all kinds of options in them.
const CommandInfo& root() {
  using Kind = OptionInfo::Kind;
  static const CommandInfo made = [] {
    OptionInfo model = option("MODEL", Kind::kText);
    model.is_positional = true;
    OptionInfo images = option("image", Kind::kText, "FILE");
    images.is_list = true;
    OptionInfo key = option("api-key", Kind::kText, "KEY");
    const OptionInfo config = option("config", Kind::kText, "FILE");
    const OptionInfo tp = option("tp", Kind::kInteger, "N");
    CommandInfo serve;
    serve.path = serve.name = "serve";
    serve.options = {model,
                     config,
                     tp,
                     images,
                     key,
                     option("strict", Kind::kFlag),
                     option("max-running", Kind::kInteger, "N"),
                     option("top-p", Kind::kNumber, "X"),
                     option("seed", Kind::kUnsigned, "N"),
                     option("host", Kind::kText, "ADDRESS")};
    CommandInfo below;
    below.path = "bench serve";
    below.name = "serve";
    below.options = {config, option("model", Kind::kText, "NAME"),
                     option("rate", Kind::kNumber, "N")};
    CommandInfo bench;
    bench.path = bench.name = "bench";
    bench.options = {model, config, tp, option("prompt", Kind::kText, "N,..")};
    bench.commands = {below};
    CommandInfo all;
    all.commands = {serve, bench};
    return all;
  }();
  return made;
}

ConfigFile parse(const std::string& text) { return parse_config(text, "c.toml", root()); }

/// The error that `text` gives; an empty one if it gives none.
Error error_of(const std::string& text) {
  try {
    static_cast<void>(parse(text));
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.exit_code(), kExitUsage);
    return failure.error();
  }
  ADD_FAILURE() << "no error: " << text;
  return {};
}

TEST(ConfigFile, ReadsEveryKindOfValue) {
  const ConfigFile file = parse(
      "[serve]\nmodel = \"glm\"\ntp = 2\nimage = ['a', \"b\"]\nstrict = true\ntop-p = 0.5\n"
      "seed = 7\nhost = \"::1\"\n[bench]\nprompt = [1, 4]\n[bench.serve]\nrate = 3\n"
      "model = 'name'\n");
  ASSERT_EQ(file.values.size(), 10U);
  EXPECT_EQ(file.values[1].dotted(), "serve.tp");
  EXPECT_EQ(file.values[1].line, 3);
  EXPECT_THAT(file.values[1].texts, ElementsAre("2"));
  EXPECT_THAT(file.values[2].texts, ElementsAre("a", "b"));
  EXPECT_THAT(file.values[3].texts, ElementsAre("true"));
  EXPECT_THAT(file.values[4].texts, ElementsAre("0.5"));
  const OptionInfo& prompt = *root().find_command("bench")->find_option("prompt");
  EXPECT_THAT(arguments_of(prompt, file.values[7]), ElementsAre("1,4"));
  EXPECT_EQ(file.values[8].dotted(), "bench.serve.rate");
  EXPECT_EQ(file.values[8].table, "bench serve");
}

TEST(ConfigFile, MayBeEmptyOrComments) {
  EXPECT_THAT(parse("").values, IsEmpty());
  EXPECT_THAT(parse("# nothing\n[serve]\n[common]\n").values, IsEmpty());
}

TEST(ConfigFile, ReadsUnderscoresAsHyphens) {
  EXPECT_EQ(parse("[serve]\nmax_running = 3\n").values.front().key, "max-running");
  const Error twice = error_of("[serve]\nmax_running = 3\nmax-running = 4\n");
  EXPECT_THAT(twice.message, HasSubstr("serve.max-running stands there twice"));
}

TEST(ConfigFile, CommonTakesWhatAnyCommandTakes) {
  EXPECT_EQ(parse("[common]\nrate = 1\ntp = 2\nmodel = 'm'\n").values.size(), 3U);
  EXPECT_EQ(error_of("[common]\nrat = 1\n").message, "c.toml:2: there is no option common.rat");
  const Error type = error_of("[common]\ntp = 'x'\n");
  EXPECT_EQ(type.message, "c.toml:2: common.tp is the string \"x\", but must be an integer");
  EXPECT_EQ(type.detail, "tp of serve: what tp does");
  // `bench serve --model` is a name, MODEL a folder: [common] means the folder.
  const CommandInfo& below = *root().find_command("bench serve");
  EXPECT_EQ(find_setting(below, "model", /*is_common=*/true), nullptr);
  EXPECT_NE(find_setting(below, "model", /*is_common=*/false), nullptr);
}

TEST(ConfigFile, NamesLineAndNearestName) {
  const Error key = error_of("\n[serve]\nmax-runing = 3\n");
  EXPECT_EQ(key.message, "c.toml:3: there is no option serve.max-runing");
  EXPECT_EQ(key.remedy, "max-running, if that was meant");
  const Error table = error_of("[sevre]\ntp = 1\n");
  EXPECT_EQ(table.message, "c.toml:1: there is no table [sevre]");
  EXPECT_EQ(table.remedy, "[serve], if that was meant");
  EXPECT_THAT(table.detail, HasSubstr("bench.serve"));
  EXPECT_THAT(error_of("[bench.srve]\nrate = 1\n").message, HasSubstr("no option bench.srve"));
  EXPECT_THAT(error_of("[serve]\nconfig = 'x'\n").message, HasSubstr("no option serve.config"));
  EXPECT_THAT(error_of("[serve]\nhelp = true\n").message, HasSubstr("no option serve.help"));
}

TEST(ConfigFile, RefusesTableNamesThatAreNone) {
  for (const char* text : {"\n[=]\n", "\n[\x01]\n", "\n[[!x]]\n", "\n[serve]\xC3\xA9\n",
                           "\n[\xC3\xA9]\n", "\n[", "[serve]\ntp = 1 \xC3\xA9\n"}) {
    EXPECT_THAT(error_of(text).message, StartsWith("c.toml:2: ")) << text;
  }
}

TEST(ConfigFile, TellsTheFirstOfSeveralErrors) {
  // Alphabetically [bench] comes first; in the file it does not.
  EXPECT_THAT(error_of("[serve]\nx = 1\n[bench]\ny = 1\n").message, StartsWith("c.toml:2: "));
}

TEST(ConfigFile, RefusesKeysOutsideOfTablesAndTablesThatAreNone) {
  EXPECT_EQ(error_of("tp = 2\n").message, "c.toml:1: \"tp\" stands in no table");
  EXPECT_THAT(error_of("serve = 2\n").message, HasSubstr("[serve] must be a table"));
  EXPECT_THAT(error_of("[[serve]]\ntp = 2\n").message, HasSubstr("[serve] must be a table"));
}

TEST(ConfigFile, TellsBothTypes) {
  const std::pair<const char*, const char*> cases[] = {
      {"tp = 'x'", "serve.tp is the string \"x\", but must be an integer"},
      {"tp = 1.5", "serve.tp is the float 1.5, but must be an integer"},
      {"tp = true", "serve.tp is the boolean true, but must be an integer"},
      {"tp = [1]", "serve.tp is an array of integers, but must be an integer"},
      {"tp = 2024-01-01", "serve.tp is a date or time, but must be an integer"},
      {"tp = {a = 1}", "serve.tp is a table, but must be an integer"},
      {"seed = -1", "serve.seed is the integer -1, but must be an integer from 0"},
      {"strict = 1", "serve.strict is the integer 1, but must be a boolean"},
      {"strict = 'yes'", "serve.strict is the string \"yes\", but must be a boolean"},
      {"top-p = '1'", "serve.top-p is the string \"1\", but must be a number"},
      {"host = 5", "serve.host is the integer 5, but must be a string"},
      {"host = ['a']", "serve.host is an array of strings, but must be a string"},
      {"image = [1]",
       "serve.image is an array of integers, but must be a string or an array of strings"},
      {"image = ['a', 1]",
       "serve.image is an array of different or of nested values, but must be a string or an "
       "array of strings"},
      {"image = [['a']]",
       "serve.image is an array of different or of nested values, but must be a string or an "
       "array of strings"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_EQ(error_of(std::string("[serve]\n") + text + "\n").message,
              std::string("c.toml:2: ") + message);
  }
  EXPECT_THAT(error_of("[bench]\nprompt = []\n").message, HasSubstr("must be an integer or"));
  EXPECT_THAT(error_of("[bench]\nprompt = [1.5]\n").message, HasSubstr("must be an integer or"));
}

TEST(ConfigFile, TellsNoSecret) {
  const Error error = error_of("[serve]\napi-key = 12345\n");
  EXPECT_EQ(error.message, "c.toml:2: serve.api-key is an integer, but must be a string");
  EXPECT_THAT(error.describe(), Not(HasSubstr("12345")));
}

TEST(ConfigFile, TellsWhereItIsNoToml) {
  EXPECT_THAT(error_of("[serve]\ntp = \n").message, StartsWith("c.toml:2: "));
  EXPECT_THAT(error_of("[serve]\ntp = 1\ntp = 2\n").message, StartsWith("c.toml:3: "));
  EXPECT_THAT(error_of("[serve\n").message, StartsWith("c.toml:1: "));
  EXPECT_THAT(error_of("[serve]\nhost = \"\xff\"\n").message, StartsWith("c.toml:2: "));
  EXPECT_THAT(error_of(std::string("a\0b = 1\n", 8)).message, StartsWith("c.toml:1: "));
  // Deep nesting must end in an error, not in a full stack.
  EXPECT_THAT(error_of("[serve]\ntp = " + std::string(100'000, '[')).message,
              StartsWith("c.toml:2: "));
}

TEST(ConfigFile, RefusesFilesThatCannotBeOrAreTooLarge) {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("cardloom-config-" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  const auto message_of = [&](const std::string& path) -> std::string {
    try {
      static_cast<void>(read_config(path, root()));
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.exit_code(), kExitUsage);
      return failure.error().describe() + failure.error().remedy;
    }
    return "no error";
  };
  EXPECT_THAT(message_of(folder / "none.toml"), HasSubstr("CARDLOOM_CONFIG"));
  EXPECT_THAT(message_of(folder), HasSubstr("CARDLOOM_CONFIG"));
  const std::string large = folder / "large.toml";
  std::ofstream(large) << std::string(kMaxConfigBytes + 1, '#');
  EXPECT_THAT(message_of(large), HasSubstr("1048577"));
  std::ofstream(large) << std::string(kMaxConfigBytes, '#');
  EXPECT_EQ(message_of(large), "no error");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace cardloom::app
