#include "cardloom/grammar/grammar.h"

#include <chrono>
#include <thread>

#include "cardloom/grammar/test_support.h"

namespace cardloom {
namespace {

using grammar_test::accepts;
using grammar_test::byte_tokenizer;
using grammar_test::ListTokenizer;
using grammar_test::parsed;
using grammar_test::Sampler;

class GrammarTest : public testing::Test {
 protected:
  [[nodiscard]] bool accepts_text(const std::shared_ptr<const Grammar>& grammar,
                                  std::string_view text) {
    return accepts(compiler_, grammar, tokenizer_, tokenizer_.stop_id(), text);
  }
  std::shared_ptr<const Grammar> schema(std::string_view text) {
    auto grammar = compiler_.json_schema(parsed(text));
    EXPECT_TRUE(grammar.has_value()) << text << ": " << grammar.error().describe();
    return grammar ? *grammar : nullptr;
  }

  ListTokenizer tokenizer_ = byte_tokenizer();
  GrammarCompiler compiler_{tokenizer_, tokenizer_.vocab_size() + 3, {tokenizer_.stop_id()}};
};

TEST_F(GrammarTest, JsonObjectAcceptsAnyObjectAndNothingElse) {
  const auto grammar = *compiler_.json_object();
  for (const char* text :
       {"{}", R"({"a":1})", R"({"a":[1,2.5,-3e10,true,false,null,"x"],"b":{"c":{}}})",
        "\n{ \"a\": [ ] }", R"({"你":"\u4f60\ud83d\ude00\/\n","":""})", R"({"a":0,"a":-0})",
        "{\"a\": {\n  \"b\": 1,\n  \"c\": []\n}}", R"({"a":[[],[[]],{}]})"}) {
    EXPECT_TRUE(accepts_text(grammar, text)) << text;
  }
  for (const char* text : {"",
                           "[]",
                           "1",
                           "{",
                           "{}}",
                           "{} ",
                           R"({"a"})",
                           R"({"a":})",
                           R"({"a":1,})",
                           R"({a:1})",
                           R"({"a":01})",
                           R"({"a":1.})",
                           R"({"a":.5})",
                           R"({"a":+1})",
                           R"({"a":"\x"})",
                           R"({"a":"\ud83d"})",
                           R"({"a":"\udc00"})",
                           "{\"a\":\"\n\"}",
                           R"({"a":tru})",
                           R"({"a":[1 2]})",
                           R"({"a":[,]})",
                           R"({"a":[1,]})",
                           "{\"a\":\"\xFF\"}",
                           "{\"a\":\"\xC0\x80\"}",
                           "{\"a\":\"\xED\xA0\x80\"}",
                           R"({"a":1]})",
                           R"({"a":[1})"}) {
    EXPECT_FALSE(accepts_text(grammar, text)) << text;
  }
}

TEST_F(GrammarTest, AToolCallIsANameAndItsOwnArguments) {
  const std::string red = R"({"type":"object","properties":{"colour":{"enum":["red"]}},)"
                          R"("required":["colour"],"additionalProperties":false})";
  const std::string none = R"({"type":"object","additionalProperties":false})";
  const auto grammar = compiler_.tool_call({{"paint", parsed(red)}, {"paint_all", parsed(none)}});
  ASSERT_TRUE(grammar) << grammar.error().describe();
  EXPECT_TRUE(accepts_text(*grammar, "paint\n{\"colour\":\"red\"}"));
  EXPECT_TRUE(accepts_text(*grammar, "paint_all\n{}"));
  for (const char* text : {"", "paint", "paint\n", "paint\n{}", "paint_all\n{\"colour\":\"red\"}",
                           "pain\n{}", "\npaint_all\n{}", "paint_all{}", "paint_all\n{}x"}) {
    EXPECT_FALSE(accepts_text(*grammar, text)) << text;
  }
  const auto refused = compiler_.tool_call({{"count", parsed(R"({"multipleOf":3})")}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnimplemented);
  EXPECT_NE(refused.error().message.find("tool count: "), std::string::npos);
  EXPECT_NE(refused.error().message.find("/multipleOf"), std::string::npos);
  EXPECT_FALSE(compiler_.tool_call({}));
}

TEST_F(GrammarTest, NoEndlessSpaceDigitsOrDepth) {
  const auto grammar = *compiler_.json_object();
  const std::string space(16, ' ');
  EXPECT_TRUE(accepts_text(grammar, space + "{" + space + "\"a\":" + space + "1" + space + "}"));
  EXPECT_FALSE(accepts_text(grammar, space + " {}"));
  EXPECT_FALSE(accepts_text(grammar, "{" + space + " }"));
  EXPECT_FALSE(accepts_text(grammar, "{\"a\":" + space + " 1}"));
  EXPECT_FALSE(accepts_text(grammar, "{\"a\":1" + space + " }"));
  EXPECT_TRUE(accepts_text(grammar, R"({"a":)" + std::string(18, '7') + "}"));
  EXPECT_FALSE(accepts_text(grammar, R"({"a":)" + std::string(19, '7') + "}"));
  const auto nested = [](std::size_t depth) {
    return R"({"a":)" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}";
  };
  EXPECT_TRUE(accepts_text(grammar, nested(64)));
  EXPECT_FALSE(accepts_text(grammar, nested(65)));
}

TEST(GrammarMemory, GrammarsInUseHaveALimitTogether) {
  ListTokenizer tokenizer = grammar_test::byte_tokenizer();
  GrammarLimits limits;
  limits.live_bytes = 8 << 10;
  GrammarCompiler compiler(tokenizer, tokenizer.vocab_size(), {tokenizer.stop_id()}, limits);
  std::vector<std::shared_ptr<const Grammar>> held;
  std::optional<Error> refusal;
  for (int i = 1; i < 100 && !refusal; ++i) {
    auto made = compiler.regex("a{" + std::to_string(i) + "}b");
    if (made) {
      held.push_back(*made);
    } else {
      refusal = made.error();
    }
  }
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->code, ErrorCode::kUnavailable);
  EXPECT_NE(refusal->message.find("of 8192 that may be"), std::string::npos) << refusal->message;
  EXPECT_GT(held.size(), 1U);
  // Those that nobody uses any more make room, though they were kept for later.
  held.clear();
  for (int i = 1; i < 100; ++i) {
    EXPECT_TRUE(compiler.regex("c{" + std::to_string(i % 9 + 1) + "}d" + std::to_string(i)));
  }
}

TEST_F(GrammarTest, AtTheDepthLimitOnlyWhatCanStillBeClosed) {
  GrammarLimits limits;
  limits.max_depth = 4;
  GrammarCompiler compiler(tokenizer_, tokenizer_.vocab_size(), {tokenizer_.stop_id()}, limits);
  // A link needs two levels to come to an end: {"next":null} is the least.
  const auto grammar = *compiler.json_schema(parsed(R"({"$ref":"#/$defs/link","$defs":{"link":{
      "type":"object","properties":{"next":{"anyOf":[{"$ref":"#/$defs/link"},{"type":"null"}]}},
      "required":["next"]}}})"));
  const auto ok = [&](const char* text) {
    return accepts(compiler, grammar, tokenizer_, tokenizer_.stop_id(), text);
  };
  EXPECT_TRUE(ok(R"({"next":null})"));
  EXPECT_TRUE(ok(R"({"next":{"next":{"next":null}}})"));
  EXPECT_FALSE(ok(R"({"next":{"next":{"next":{"next":null}}}})"));
  Sampler sampler(tokenizer_, tokenizer_.stop_id(), 3);
  for (int i = 0; i < 200; ++i) {
    const auto text = sampler.sample(compiler, grammar, 60);
    ASSERT_TRUE(text.has_value());
    (void)parsed(*text);
  }
}

TEST_F(GrammarTest, ChoiceIsOneOfTheTexts) {
  const auto grammar = *compiler_.choice({"yes", "no", "not sure", "你好", "ab"});
  for (const char* text : {"yes", "no", "not sure", "你好", "ab"}) {
    EXPECT_TRUE(accepts_text(grammar, text)) << text;
  }
  for (const char* text : {"", "y", "yesno", "abc", "not", "你"}) {
    EXPECT_FALSE(accepts_text(grammar, text)) << text;
  }
  EXPECT_EQ(compiler_.choice({}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(compiler_.choice({"\xFF"}).error().code, ErrorCode::kInvalidArgument);
}

TEST_F(GrammarTest, MaskOfAPlaceIsExactlyTheTokensThatLeadOn) {
  const auto grammar = *compiler_.choice({"abcab", "abd"});
  const auto constraint = compiler_.begin(grammar);
  std::set<std::string> allowed;
  for (std::int32_t id = 0; id < constraint->allowed().size(); ++id) {
    if (constraint->allowed().contains(id)) allowed.emplace(tokenizer_.token_bytes(id));
  }
  EXPECT_EQ(allowed, (std::set<std::string>{"a", "ab", "abc"}));
  constraint->accept(tokenizer_.encode("abc")[0]);
  constraint->accept(tokenizer_.encode("ab")[0]);
  std::vector<std::int32_t> left;
  for (std::int32_t id = 0; id < constraint->allowed().size(); ++id) {
    if (constraint->allowed().contains(id)) left.push_back(id);
  }
  EXPECT_EQ(left, std::vector<std::int32_t>{tokenizer_.stop_id()});
}

TEST_F(GrammarTest, AcceptOfAnotherTokenThrowsAndChangesNothing) {
  const auto constraint = compiler_.begin(*compiler_.json_object());
  for (const std::int32_t id :
       {std::int32_t{'x'}, tokenizer_.stop_id(), -1, 1 << 20, tokenizer_.vocab_size()}) {
    try {
      constraint->accept(id);
      ADD_FAILURE() << id;
    } catch (const Exception& failure) {
      EXPECT_EQ(failure.error().code, ErrorCode::kInternal);
      EXPECT_NE(failure.error().message.find(std::to_string(id)), std::string::npos);
    }
  }
  for (const std::int32_t id : tokenizer_.encode("{}")) constraint->accept(id);
  constraint->accept(tokenizer_.stop_id());
  EXPECT_TRUE(constraint->allowed().contains(tokenizer_.stop_id()));
  EXPECT_FALSE(constraint->allowed().contains('{'));
  EXPECT_THROW(constraint->accept('{'), Exception);
}

TEST_F(GrammarTest, StopIdsAreAllowedOnlyWhereTheTextMayEnd) {
  const auto constraint = compiler_.begin(schema(R"({"type":"integer"})"));
  EXPECT_FALSE(constraint->allowed().contains(tokenizer_.stop_id()));
  constraint->accept('1');
  EXPECT_TRUE(constraint->allowed().contains(tokenizer_.stop_id()));
  EXPECT_TRUE(constraint->allowed().contains('2'));
  EXPECT_FALSE(constraint->allowed().contains('}'));
  EXPECT_FALSE(constraint->allowed().contains(tokenizer_.vocab_size() + 1));
}

/// Without a byte a text that needs it cannot be written, but no place is without a way on.
TEST_F(GrammarTest, TokenizerWithoutSomeBytesHasNoDeadEnds) {
  std::vector<std::string> tokens;
  for (const char c : std::string("{}[]\":,0123456789abcdefghijklmnopqrstuvwxyz")) {
    tokens.emplace_back(1, c);
  }
  for (const char* more : {"\\u", "-5", "你", "true", "Z"}) tokens.emplace_back(more);
  tokens.pop_back();
  const ListTokenizer few(tokens);
  GrammarCompiler compiler(few, few.vocab_size(), {few.stop_id()});
  const auto grammar = *compiler.json_object();
  Sampler sampler(few, few.stop_id(), 5);
  for (int i = 0; i < 100; ++i) {
    const auto text = sampler.sample(compiler, grammar, 40);
    ASSERT_TRUE(text.has_value());
    (void)parsed(*text);
  }
  EXPECT_EQ(compiler.choice({"你"}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(compiler.regex("[A-Y]").error().code, ErrorCode::kInvalidArgument);
  const auto only_lower = *compiler.regex("[A-Y]|x");
  EXPECT_TRUE(accepts(compiler, only_lower, few, few.stop_id(), "x"));
}

TEST_F(GrammarTest, EqualPlacesShareMasksAndThreadsAgree) {
  const auto grammar = *compiler_.json_object();
  const std::string text = R"({"a":[1,{"b":"x"},[true,null]],"c":{"d":[{}]}})";
  std::vector<std::vector<std::uint64_t>> masks[4];
  std::vector<std::thread> threads;
  for (auto& own : masks) {
    threads.emplace_back([&own, &text, this, grammar] {
      const auto constraint = compiler_.begin(grammar);
      for (const std::int32_t id : tokenizer_.encode(text)) {
        own.push_back(constraint->allowed().words());
        constraint->accept(id);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& own : masks) EXPECT_EQ(own, masks[0]);
}

/// A cache of almost nothing changes what it costs, not what it is.
TEST_F(GrammarTest, MasksAreTheSameWithoutACache) {
  GrammarLimits limits;
  limits.cache_bytes = 1000;
  GrammarCompiler small(tokenizer_, tokenizer_.vocab_size() + 3, {tokenizer_.stop_id()}, limits);
  const auto cached = compiler_.begin(*compiler_.json_object());
  const auto afresh = small.begin(*small.json_object());
  for (int round = 0; round < 2; ++round) {
    for (const std::int32_t id : tokenizer_.encode(R"({"a":[1,{"b":"x\n"},[true]],"c":{}})")) {
      ASSERT_EQ(cached->allowed().words(), afresh->allowed().words());
      if (round == 1) break;
      cached->accept(id);
      afresh->accept(id);
    }
  }
}

TEST(Glm4GrammarTest, AllowsADocumentAndPrintsItsTimes) {
  const auto tokenizer = grammar_test::glm4_tokenizer();
  if (tokenizer == nullptr) GTEST_SKIP() << "no GLM-4 tokenizer beside the sources";
  const std::int32_t stop_id = *tokenizer->special_id("<|user|>");
  using Clock = std::chrono::steady_clock;
  const auto micros = [](Clock::time_point begin) {
    return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
  };
  const auto at_start = Clock::now();
  GrammarCompiler compiler(*tokenizer, 151552, {stop_id});
  std::printf("trie: %.1f ms\n", micros(at_start) / 1000);
  const auto at_compile = Clock::now();
  const auto grammar = *compiler.json_object();
  std::printf("compile json_object: %.2f ms\n", micros(at_compile) / 1000);
  const std::string text = "{\"name\": \"你好, world\", \"list\": [1, 2.5, {\"x\": null}]}";
  for (int round = 0; round < 2; ++round) {
    const auto constraint = compiler.begin(grammar);
    double worst = 0;
    double sum = 0;
    int count = 0;
    for (const std::int32_t id : tokenizer->encode(text)) {
      const auto begin = Clock::now();
      ASSERT_TRUE(constraint->allowed().contains(id));
      const double time = micros(begin);
      worst = std::max(worst, time);
      sum += time;
      ++count;
      constraint->accept(id);
    }
    std::printf("%s masks: mean %.1f us, worst %.1f us, of %d\n", round == 0 ? "new" : "cached",
                sum / count, worst, count);
    EXPECT_TRUE(constraint->allowed().contains(stop_id));
  }
}

}  // namespace
}  // namespace cardloom
