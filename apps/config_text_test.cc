#include "apps/config_text.h"

#include <gmock/gmock.h>

#include <sstream>

#include "apps/text.h"

namespace cardloom::app {
namespace {

using testing::HasSubstr;
using testing::Not;

const CommandInfo& table() {
  static const CommandInfo root = option_table();
  return root;
}

std::vector<Setting> settings_of(const char* command, const Environment& variables,
                                 const std::string& toml) {
  static ConfigFile file;
  file = parse_config(toml, "c.toml", table());
  return resolve(*table().find_command(command), {}, variables, file);
}

std::string value_of(const std::vector<Setting>& settings, const std::string& name) {
  for (const Setting& setting : settings) {
    if (setting.option->name == name) return joined(setting.values);
  }
  return "no such option";
}

/// With every key's '#' taken away, as people do it.
std::string uncommented(const std::string& text) {
  std::string out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.size() > 1 && line[0] == '#' && line[1] != ' ') line.erase(0, 1);
    out += line + "\n";
  }
  return out;
}

TEST(ConfigText, ShowsValuesAndOriginsAsSettingsFile) {
  const std::string text =
      settings_toml(*table().find_command("serve"),
                    settings_of("serve", {{"CARDLOOM_TP", "2"}, {"CARDLOOM_HOST", "a\"b\\c\n"}},
                                "[serve]\nport = 9\n[common]\nquiet = true\n"),
                    /*origin=*/true);
  EXPECT_THAT(text, HasSubstr("[serve]\n"));
  EXPECT_THAT(text, HasSubstr("\ntp = 2                         # environment CARDLOOM_TP\n"));
  EXPECT_THAT(text, HasSubstr("\nport = 9                       # c.toml:2\n"));
  EXPECT_THAT(text, HasSubstr("\nquiet = true                   # c.toml:4\n"));
  EXPECT_THAT(text, HasSubstr("\nstrict = false                 # default\n"));
  EXPECT_THAT(text, HasSubstr("\n#weights = \"\"                  # default\n"));
  EXPECT_THAT(text, HasSubstr("\nhost = \"a\\\"b\\\\c\\u000A\""));
  // It can be read back, and says the same.
  const ConfigFile again = parse_config(text, "again.toml", table());
  const std::vector<Setting> settings = resolve(*table().find_command("serve"), {}, {}, again);
  EXPECT_EQ(value_of(settings, "host"), "a\"b\\c\n");
  EXPECT_EQ(value_of(settings, "tp"), "2");
}

TEST(ConfigText, HidesSecrets) {
  const std::vector<Setting> settings =
      settings_of("serve", {}, "[serve]\napi-key = ['hush', 'secret']\n");
  const CommandInfo& serve = *table().find_command("serve");
  const std::string text = settings_toml(serve, settings, /*origin=*/true);
  EXPECT_THAT(text, HasSubstr("api-key = [\"***\", \"***\"]"));
  EXPECT_THAT(text, Not(HasSubstr("hush")));
  const std::string json = to_json_text(settings_json(serve, settings, {}));
  EXPECT_THAT(json, HasSubstr(R"("api-key":{"value":["***","***"],"origin":"c.toml:2"})"));
  EXPECT_THAT(json, Not(HasSubstr("secret")));
}

TEST(ConfigText, WritesTypedJson) {
  const Environment variables{{"CARDLOOM_SEED", "18446744073709551615"},
                              {"CARDLOOM_TEMPERATURE", "0.5"},
                              {"CARDLOOM_SYSTEM", "be \"brief\""}};
  const json::object object =
      settings_json(*table().find_command("run"), settings_of("run", variables, ""), {});
  EXPECT_EQ(object.at("command"), "run");
  EXPECT_TRUE(object.at("file").is_null());
  const auto value = [&](const char* name) { return object.at("options").at(name).at("value"); };
  EXPECT_EQ(value("seed"), json::value(18446744073709551615U));
  EXPECT_EQ(value("temperature"), json::value(0.5));
  EXPECT_EQ(value("tp"), json::value(1));
  EXPECT_EQ(value("quiet"), json::value(false));
  EXPECT_EQ(value("system"), json::value("be \"brief\""));
  EXPECT_TRUE(value("model").is_null());
  EXPECT_TRUE(value("image").as_array().empty());
}

TEST(ConfigText, InitialFileIsValidCommentedAndUncommented) {
  const std::string text = initial_config(table());
  EXPECT_TRUE(parse_config(text, "init.toml", table()).values.empty());
  const ConfigFile all = parse_config(uncommented(text), "init.toml", table());
  // Every option of every command stands there once, in its own table or in [common].
  for (const CommandInfo* command : commands_with_settings(table())) {
    for (const Setting& setting : resolve(*command, {}, {}, all)) {
      EXPECT_EQ(setting.origin, Setting::Origin::kFile)
          << command->path << " " << setting.option->name;
      // And with its default.
      if (!setting.option->default_text.empty()) {
        EXPECT_EQ(joined(setting.values), setting.option->default_text) << setting.name;
      }
    }
  }
  const std::string serve = initial_config(*table().find_command("serve"));
  EXPECT_THAT(serve, HasSubstr("[serve]\n"));
  EXPECT_THAT(serve, HasSubstr("# port to listen on; 0: any free one\n#port = 8000\n"));
  EXPECT_THAT(serve, Not(HasSubstr("[common]")));
}

}  // namespace
}  // namespace cardloom::app
