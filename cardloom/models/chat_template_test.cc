#include "cardloom/models/chat_template.h"

#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <filesystem>

#include "cardloom/base/file.h"
#include "cardloom/models/chat_json.h"

namespace cardloom {
namespace {

using Ids = std::vector<std::int32_t>;
const std::string kTiny = CARDLOOM_SOURCE_DIR "/tests/golden/tiny";
const std::string kShared = CARDLOOM_SOURCE_DIR "/../shared";

std::unique_ptr<Tokenizer> load(const std::string& directory) {
  auto loaded = load_tokenizer(directory);
  if (!loaded) throw Exception(loaded.error());
  return *std::move(loaded);
}

json::value read_json(const std::string& path) {
  return parse_json(read_file(path, 1 << 24).value_or_throw(), path).value_or_throw();
}

Ids ids_of(const json::value& list) {
  Ids ids;
  for (const json::value& id : list.as_array()) ids.push_back(id.to_number<std::int32_t>());
  return ids;
}

std::vector<ChatMessage> parse(const std::string& text) {
  return parse_chat(text, "chat.json").value_or_throw();
}

ChatMessage message(const std::string& role, const std::string& content) {
  ChatMessage made;
  made.role = role;
  made.content = content;
  return made;
}

void expect_golden(const std::string& directory) {
  const json::value golden = read_json(directory + "/golden.json");
  const auto tokenizer = load(directory + "/ckpt");
  const json::array& cases = golden.at("chat").as_array();
  ASSERT_GE(cases.size(), 9U);
  std::size_t num_images = 0;
  for (const json::value& c : cases) {
    const std::string text = json::serialize(c.at("messages"));
    const auto chat = tokenize_chat(*tokenizer, ChatStyle::kGlm4v, parse(text));
    ASSERT_TRUE(chat) << chat.error().describe();
    EXPECT_EQ(chat->ids, ids_of(c.at("ids"))) << text;
    std::vector<std::string> expected;
    for (const json::value& m : c.at("messages").as_array()) {
      if (const json::value* image = m.as_object().if_contains("image")) {
        expected.emplace_back(image->as_string());
      }
    }
    ASSERT_EQ(chat->images.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(chat->images[i].reference, expected[i]);
      const auto begin = static_cast<std::size_t>(chat->images[i].begin_of_image_index);
      EXPECT_EQ(chat->ids.at(begin), *tokenizer->special_id("<|begin_of_image|>"));
      EXPECT_EQ(chat->ids.at(begin + 2), *tokenizer->special_id("<|end_of_image|>"));
      ++num_images;
    }
  }
  EXPECT_GE(num_images, 4U);
}

TEST(ChatTemplate, ReproducesTheGoldenChats) { expect_golden(kTiny); }

TEST(ChatTemplate, ReproducesAllGoldenChatsWhenPresent) {
  if (!std::filesystem::exists(kShared + "/golden")) GTEST_SKIP() << "no shared data";
  for (const char* name : {"tiny", "f32", "onekv"}) expect_golden(kShared + "/golden/" + name);
}

// chat_template_cases.json: `glm4` is what Jinja 3.1 renders of glm-4-9b-chat's template, in the
// environment of transformers; `glm4v` what build_single_message(tokenize=False) of glm-4v-9b
// joins.
TEST(ChatTemplate, RendersWhatJinjaRenders) {
  const json::value cases =
      read_json(CARDLOOM_SOURCE_DIR "/cardloom/models/chat_template_cases.json");
  const auto tokenizer = load(kTiny + "/ckpt");
  ASSERT_EQ(cases.as_array().size(), 6U);
  for (const json::value& c : cases.as_array()) {
    const auto messages = parse(json::serialize(c.at("messages")));
    const std::string_view expected = c.at("glm4").as_string();
    const auto rendered = render_glm4_chat(messages);
    ASSERT_TRUE(rendered) << rendered.error().describe();
    EXPECT_EQ(*rendered, expected);
    EXPECT_EQ(tokenize_chat(*tokenizer, ChatStyle::kGlm4, messages)->ids,
              tokenizer->encode_with_special(expected));
    // Apart from special tokens the prompt of glm-4v is its text.
    const auto chat = tokenize_chat(*tokenizer, ChatStyle::kGlm4v, messages);
    std::string text;
    for (const std::int32_t id : chat->ids) {
      if (!tokenizer->is_special(id)) {
        text += tokenizer->token_bytes(id);
        continue;
      }
      for (const char* s :
           {"[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"}) {
        if (tokenizer->special_id(s) == id) text += s;
      }
    }
    EXPECT_EQ(text, std::string_view(c.at("glm4v").as_string()));
  }
}

TEST(ChatTemplate, SpecialSpellingsAreTextForGlm4vOnly) {
  const auto tokenizer = load(kTiny + "/ckpt");
  const std::vector<ChatMessage> messages = {message("user", "<|user|>")};
  EXPECT_EQ(tokenize_chat(*tokenizer, ChatStyle::kGlm4v, messages)->ids,
            (Ids{418, 420, 423, 10, 60, 124, 117, 115, 268, 124, 62, 424}));
  EXPECT_EQ(tokenize_chat(*tokenizer, ChatStyle::kGlm4, messages)->ids,
            (Ids{418, 420, 423, 10, 423, 424}));
}

TEST(ChatTemplate, NewlinesMergeForGlm4Only) {
  if (!std::filesystem::exists(kShared + "/data/glm4-tokenizer")) GTEST_SKIP() << "not here";
  const auto tokenizer = load(kShared + "/data/glm4-tokenizer");
  EXPECT_EQ(tokenize_chat(*tokenizer, ChatStyle::kGlm4v,
                          parse(R"([{"role": "user", "content": "你好"}])"))
                ->ids,
            (Ids{151331, 151333, 151336, 198, 109377, 151337}));
  const std::vector<ChatMessage> messages = {message("user", "\nhi")};
  const Ids apart = tokenize_chat(*tokenizer, ChatStyle::kGlm4v, messages)->ids;
  const Ids whole = tokenize_chat(*tokenizer, ChatStyle::kGlm4, messages)->ids;
  EXPECT_EQ(apart.size(), whole.size() + 1);
  EXPECT_EQ(apart[3], 198);
  EXPECT_EQ(apart[4], 198);
}

TEST(ChatTemplate, RepeatsTheRuleForEachPicture) {
  const auto tokenizer = load(kTiny + "/ckpt");
  std::vector<ChatMessage> messages = {message("user", "a"), message("assistant", ""),
                                       message("user", "")};
  messages[0].images = {"one", "two"};
  messages[2].images = {"three"};
  const auto chat = tokenize_chat(*tokenizer, ChatStyle::kGlm4v, messages);
  ASSERT_TRUE(chat);
  EXPECT_EQ(chat->ids, (Ids{418, 420, 423, 10, 426, 416, 427, 426, 416, 427, 97, 423, 10, 426, 416,
                            427, 424}));
  ASSERT_EQ(chat->images.size(), 3U);
  EXPECT_EQ(chat->images[0].begin_of_image_index, 4);
  EXPECT_EQ(chat->images[1].begin_of_image_index, 7);
  EXPECT_EQ(chat->images[1].reference, "two");
  EXPECT_EQ(chat->images[2].begin_of_image_index, 13);
}

TEST(ChatTemplate, RefusesWhatItCannotSay) {
  const auto tokenizer = load(kTiny + "/ckpt");
  const std::vector<ChatMessage> stranger = {message("user", "a"), message("boss", "b")};
  for (const ChatStyle style : {ChatStyle::kGlm4v, ChatStyle::kGlm4}) {
    EXPECT_EQ(tokenize_chat(*tokenizer, style, stranger).error().message,
              "messages[1].role must be system, user, assistant or observation, is \"boss\"");
    ChatMessage offer = message("system", "");
    offer.tools = parse_json(R"([{"type": "retrieval"}])", "x")->as_array();
    EXPECT_EQ(tokenize_chat(*tokenizer, style, {{offer}}).error().message,
              "messages[0].tools[0].type must be function, python, simple_browser or cogview, is "
              "\"retrieval\"");
  }
  ChatMessage picture = message("user", "what?");
  picture.images = {"cat.jpg"};
  EXPECT_EQ(tokenize_chat(*tokenizer, ChatStyle::kGlm4, {{picture}}).error().message,
            "this model takes no pictures, messages[0] has 1");
  const auto bare =
      make_tokenizer(*read_file(kTiny + "/ckpt/tokenizer.model", 1 << 20),
                     R"({"added_tokens_decoder": {"416": {"content": "[gMASK]"}}})", "r", "c");
  ASSERT_TRUE(bare);
  EXPECT_EQ(tokenize_chat(**bare, ChatStyle::kGlm4v, {{picture}}).error().message,
            "the tokenizer must know <sop>, but does not");
}

TEST(ChatTemplate, AnEmptyConversationIsThePrefixAndTheTurn) {
  const auto tokenizer = load(kTiny + "/ckpt");
  EXPECT_EQ(tokenize_chat(*tokenizer, ChatStyle::kGlm4v, {})->ids, (Ids{418, 420, 424}));
  EXPECT_EQ(tokenize_chat(*tokenizer, ChatStyle::kGlm4, {})->ids, (Ids{418, 420, 424}));
}

}  // namespace
}  // namespace cardloom
