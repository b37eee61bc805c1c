#include "cardloom/http/api_keys.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

namespace cardloom::http {
namespace {

class KeyFile {
 public:
  explicit KeyFile(const std::string& text) { write(text); }
  ~KeyFile() { std::filesystem::remove(path_); }
  void write(const std::string& text) const { std::ofstream(path_) << text; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_ = std::filesystem::temp_directory_path() /
                      ("cardloom-keys-" + std::to_string(getpid()) + ".txt");
};

TEST(ApiKeys, FileAndTextTogether) {
  const KeyFile file(
      "# comment, long-enough-to-be-a-key\n\nsk-first-key\tteam one \r\n  sk-second-key\n");
  const auto keys = ApiKeys::load(file.path(), "env-key-1 ci, env-key-2").value_or_throw();
  EXPECT_EQ(keys->size(), 4);
  const struct {
    const char* key;
    int index;
    const char* name;
  } expected[] = {{"env-key-1", 0, "ci"},
                  {"env-key-2", 1, "key-2"},
                  {"sk-first-key", 2, "team one"},
                  {"sk-second-key", 3, "key-4"}};
  for (const auto& entry : expected) {
    const auto owner = keys->match(entry.key);
    ASSERT_TRUE(owner) << entry.key;
    EXPECT_EQ(owner->index, entry.index);
    EXPECT_EQ(owner->name, entry.name);
  }
  for (const char* const wrong :
       {"", "ci", "env-key-", "env-key-11", "ENV-KEY-1", "# comment", " env-key-1"}) {
    EXPECT_FALSE(keys->match(wrong)) << wrong;
  }
  EXPECT_FALSE(keys->match(std::string(1 << 20, 'x')));
}

TEST(ApiKeys, NoneAtAll) {
  const auto keys = ApiKeys::load("", "").value_or_throw();
  EXPECT_TRUE(keys->empty());
  EXPECT_FALSE(keys->match(""));
}

TEST(ApiKeys, BadKeysAreNamedByLineNotByValue) {
  const struct {
    const char* text;
    const char* part;
  } cases[] = {{"good-key-1\nshort7x", "key 2: a key must have 8 to 1024 characters"},
               {"k\xc3\xa9y-with-accent", "key 1: a key must have visible ASCII"},
               {"same-key-1 a,other-key,same-key-1", "key 3: this key was given before, to a"}};
  for (const auto& entry : cases) {
    const auto keys = ApiKeys::load("", entry.text);
    ASSERT_FALSE(keys) << entry.text;
    EXPECT_EQ(keys.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(keys.error().message.find(entry.part), std::string::npos) << keys.error().message;
    for (const char* const secret : {"short7x", "accent", "same-key"}) {
      EXPECT_EQ(keys.error().describe().find(secret), std::string::npos);
    }
  }
  EXPECT_EQ(ApiKeys::load("/nonexistent/keys", "").error().code, ErrorCode::kNotFound);
  const KeyFile file("# none\n");
  EXPECT_NE(ApiKeys::load(file.path(), "env-key-1").error().message.find("has no API key"),
            std::string::npos);
}

TEST(ApiKeys, ReloadReplacesOrKeeps) {
  const KeyFile file("old-key-1\n");
  const auto keys = ApiKeys::load(file.path(), "env-key-1").value_or_throw();
  file.write("new-key-1\n");
  EXPECT_TRUE(keys->reload().ok());
  EXPECT_FALSE(keys->match("old-key-1"));
  EXPECT_TRUE(keys->match("new-key-1"));
  EXPECT_TRUE(keys->match("env-key-1"));
  file.write("\n");
  EXPECT_FALSE(keys->reload().ok());
  EXPECT_TRUE(keys->match("new-key-1"));
}

TEST(ApiKeys, FoundInHeaders) {
  const struct {
    Headers headers;
    const char* key;
  } cases[] = {
      {{}, ""},
      {{{"authorization", "Bearer abc"}}, "abc"},
      {{{"authorization", "bearer   abc"}}, "abc"},
      {{{"authorization", "Basic abc"}}, ""},
      {{{"authorization", "Bearer "}}, ""},
      {{{"authorization", "Bearerabc"}}, ""},
      {{{"x-api-key", "xyz"}}, "xyz"},
      {{{"x-api-key", "xyz"}, {"authorization", "Bearer abc"}}, "abc"},
      {{{"x-api-key", "xyz"}, {"authorization", "Basic abc"}}, "xyz"},
  };
  for (const auto& entry : cases) EXPECT_EQ(find_key(entry.headers), entry.key);
}

}  // namespace
}  // namespace cardloom::http
