#include "cardloom/engine/output_text.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <random>
#include <string>

#include "cardloom/base/error.h"
#include "cardloom/base/utf8.h"

namespace cardloom {
namespace {

using Ids = std::vector<std::int32_t>;

class OutputTextTest : public testing::Test {
 protected:
  void SetUp() override {
    auto loaded = load_tokenizer(CARDLOOM_SOURCE_DIR "/tests/golden/tiny/ckpt");
    ASSERT_TRUE(loaded) << loaded.error().describe();
    tokenizer_ = *std::move(loaded);
    user_ = *tokenizer_->special_id("<|user|>");
    for (std::int32_t id = 0; id < tokenizer_->vocab_size(); ++id) {
      const std::string_view bytes = tokenizer_->token_bytes(id);
      if (bytes.size() == 1) bytes_.push_back(id);
      if (bytes.size() > 1) longer_.push_back(id);
    }
    ASSERT_EQ(bytes_.size(), 256U);
  }

  [[nodiscard]] Ids ids_of(std::string_view text) const {  // a token a byte
    Ids ids;
    for (const char byte : text) ids.push_back(bytes_[static_cast<unsigned char>(byte)]);
    return ids;
  }

  /// All pieces together; "|" stands where one ends.
  [[nodiscard]] std::string show(const OutputTextOptions& options, const Ids& ids) const {
    OutputText output(*tokenizer_, options);
    std::string shown;
    for (const std::int32_t id : ids) {
      const OutputPiece piece = output.append(id);
      shown += piece.text + "|";
      if (piece.stopped) return shown + "stop " + piece.stop;
    }
    const OutputPiece last = output.finish();
    return shown + last.text + (last.stopped ? "|stop " + last.stop : "");
  }

  std::unique_ptr<Tokenizer> tokenizer_;
  std::int32_t user_ = 0;
  Ids bytes_;
  Ids longer_;
};

TEST_F(OutputTextTest, ShowsWholeCharactersAtOnce) {
  EXPECT_EQ(show({}, ids_of("ab你c")), "a|b|||你|c|");
  EXPECT_EQ(show({}, ids_of("a\xE4\xBD")), "a|||\uFFFD");
  EXPECT_EQ(show({}, {}), "");
}

TEST_F(OutputTextTest, HoldsBackOnlyWhatMayBeginAStop) {
  EXPECT_EQ(show({.stop = {"bcd"}}, ids_of("abcabcbx")), "a|||bca|||bc|bx|");
  EXPECT_EQ(show({.stop = {"bcd"}}, ids_of("abc")), "a|||bc") << "the end is no stop";
  EXPECT_EQ(show({.stop = {"bcd"}}, ids_of("abcd")), "a||||stop bcd");
  EXPECT_EQ(show({.stop = {"bcd"}, .include_stop = true}, ids_of("abcd")), "a|||bcd|stop bcd");
  EXPECT_EQ(show({.stop = {"aab"}}, ids_of("aaaab")), "||a|a||stop aab") << "overlaps itself";
  EXPECT_EQ(show({.stop = {"abcx", "bcd"}}, ids_of("abcd")), "|||a|stop bcd");
}

TEST_F(OutputTextTest, TheStopThatIsCompleteFirstCounts) {
  EXPECT_EQ(show({.stop = {"abcd", "bc"}}, ids_of("abcd")), "||a|stop bc");
  EXPECT_EQ(show({.stop = {"bc", "abc"}}, ids_of("abc")), "||a|stop bc");
  EXPECT_EQ(show({.stop = {"abc", "bc"}}, ids_of("abc")), "|||stop abc");
}

TEST_F(OutputTextTest, AStopMayHaveCharactersAndBytesOfOthersInCommon) {
  // 你 and 佢 begin with the same two bytes.
  EXPECT_EQ(show({.stop = {"你"}}, ids_of("佢a")), "||佢|a|");
  EXPECT_EQ(show({.stop = {"x你"}}, ids_of("x佢")), "|||x佢|");
  EXPECT_EQ(show({.stop = {"\uFFFD"}}, ids_of("a\xE4")), "a|||stop \uFFFD");
}

TEST_F(OutputTextTest, NothingComesAfterAStop) {
  OutputText output(*tokenizer_, {.stop = {"b"}});
  EXPECT_TRUE(output.append(bytes_['b']).stopped);
  for (const OutputPiece& piece : {output.append(bytes_['a']), output.finish()}) {
    EXPECT_EQ(piece.text, "");
    EXPECT_EQ(piece.num_tokens, 0);
    EXPECT_TRUE(piece.stopped);
    EXPECT_EQ(piece.stop, "b");
  }
}

TEST_F(OutputTextTest, SpecialTokensAreShownIfAskedFor) {
  const Ids ids = {bytes_['a'], user_, bytes_['b'], -1, 1 << 20};
  EXPECT_EQ(show({}, ids), "a||b|||");
  EXPECT_EQ(show({.skip_special_tokens = false}, ids), "a|<|user|>|b|||");
  EXPECT_EQ(show({.stop = {"a<|u"}, .skip_special_tokens = false}, ids), "||stop a<|u");
  // A character's bytes go on behind a token that is skipped, not behind one that is shown.
  const Ids split = {bytes_[0xE4], user_, bytes_[0xBD], bytes_[0xA0]};
  EXPECT_EQ(show({}, split), "|||你|");
  EXPECT_EQ(show({.skip_special_tokens = false}, split), "|\uFFFD<|user|>|\uFFFD|\uFFFD|");
}

TEST_F(OutputTextTest, NewlinesAtTheBeginningAreLeftOut) {
  const OutputTextOptions options{.stop = {"\n"}, .trim_leading_newline = true};
  EXPECT_EQ(show(options, ids_of("\n\na\nb")), "||a||stop \n") << "they are no stop either";
  EXPECT_EQ(show({.trim_leading_newline = true}, ids_of("a\nb")), "a|\n|b|");
  EXPECT_EQ(show({}, ids_of("\na")), "\n|a|");
}

TEST_F(OutputTextTest, RefusesStopsThatCannotBe) {
  for (const std::string stop : {"", "\xE4"}) {
    try {
      const OutputText output(*tokenizer_, {.stop = {"a", stop}});
      FAIL();
    } catch (const Exception& failure) {
      EXPECT_EQ(failure.error().message,
                stop.empty() ? "stop string 2 of 2 is empty" : "stop string 2 of 2 is no UTF-8");
    }
  }
}

TEST_F(OutputTextTest, TokensAreToldWithTheLastOfTheirText) {
  const auto told = [&](const OutputTextOptions& options, const Ids& ids) {
    OutputText output(*tokenizer_, options);
    std::string counts;
    for (const std::int32_t id : ids) counts += std::to_string(output.append(id).num_tokens);
    return counts + "," + std::to_string(output.finish().num_tokens);
  };
  EXPECT_EQ(told({}, ids_of("a你b")), "10031,0");
  EXPECT_EQ(told({}, ids_of("\xE4\xBD")), "00,2");
  EXPECT_EQ(told({}, {bytes_['a'], user_, 1 << 20}), "111,0");
  EXPECT_EQ(told({.stop = {"bcd"}}, ids_of("abcx")), "1003,0");
  EXPECT_EQ(told({.stop = {"bcd"}}, {bytes_['b'], user_, bytes_['x']}), "003,0");
  EXPECT_EQ(told({.stop = {"bcd"}}, ids_of("abcd")), "1000,0") << "the stop's are not told";
  EXPECT_EQ(told({.stop = {"bcd"}, .include_stop = true}, ids_of("abcd")), "1003,0");
  EXPECT_EQ(told({.trim_leading_newline = true}, ids_of("\n\na")), "111,0");
}

TEST_F(OutputTextTest, ATokenThatTheStopCutsIsTold) {
  std::int32_t cut = -1;  // a token whose stop is in its midst
  for (const std::int32_t id : longer_) {
    const std::string_view bytes = tokenizer_->token_bytes(id);
    if (is_valid_utf8(bytes) && bytes[0] != bytes[1] && bytes[0] > 0 && bytes[1] > 0) cut = id;
  }
  ASSERT_GE(cut, 0);
  const std::string bytes(tokenizer_->token_bytes(cut));
  OutputText output(*tokenizer_, {.stop = {bytes.substr(1, 1)}});
  const OutputPiece piece = output.append(cut);
  EXPECT_EQ(piece.text, bytes.substr(0, 1));
  EXPECT_EQ(piece.num_tokens, 1);
  EXPECT_TRUE(piece.stopped);
}

/// The definition: where the text ends, by looking at all of it.
struct Ending {
  std::size_t shown = 0;
  std::optional<std::string> stop;
};
Ending ending_of(std::string_view text, const OutputTextOptions& options) {
  for (std::size_t end = 1; end <= text.size(); ++end) {
    for (const std::string& stop : options.stop) {
      if (!text.substr(0, end).ends_with(stop)) continue;
      return {options.include_stop ? end : end - stop.size(), stop};
    }
  }
  return {text.size(), {}};
}

/// How much of a text that goes on no stop can cut any more.
std::size_t safe_size(std::string_view text, const OutputTextOptions& options) {
  for (std::size_t begin = 0; begin < text.size(); ++begin) {
    for (const std::string& stop : options.stop) {
      if (stop.size() > text.size() - begin && stop.starts_with(text.substr(begin))) return begin;
    }
  }
  return text.size();
}

/// What the tokens before the end show, without any stop.
std::string plain_text(const Tokenizer& tokenizer, const OutputTextOptions& options,
                       std::span<const std::int32_t> ids, bool is_end) {
  std::string text;
  std::string bytes;
  const auto flush = [&] {
    text += replace_invalid_utf8(bytes);
    bytes.clear();
  };
  for (const std::int32_t id : ids) {
    bytes += tokenizer.token_bytes(id);
    if (options.skip_special_tokens || !tokenizer.is_special(id)) continue;
    flush();
    text += tokenizer.special_spelling(id);
  }
  if (!is_end) bytes.resize(bytes.size() - num_truncated_bytes(bytes));
  flush();
  if (options.trim_leading_newline) text.erase(0, text.find_first_not_of('\n'));
  return text;
}

TEST_F(OutputTextTest, IsTheDefinitionForAnyTokensAndStops) {
  std::mt19937 random(5);
  const auto any = [&](std::size_t below) { return static_cast<std::size_t>(random() % below); };
  const std::vector<std::string> letters = {"a", "b", "ab", "\n", "你", "佢", "\uFFFD", "<|"};
  const Ids nasty = {bytes_['a'],  bytes_['a'],  bytes_['b'],  bytes_['b'], bytes_['\n'],
                     bytes_[0xE4], bytes_[0xBD], bytes_[0xA0], user_,       bytes_[0xA2]};
  int num_stopped = 0;
  for (int round = 0; round < 60'000; ++round) {
    OutputTextOptions options{.include_stop = any(2) == 0,
                              .skip_special_tokens = any(2) == 0,
                              .trim_leading_newline = any(3) == 0};
    for (std::size_t count = any(5); options.stop.size() < count;) {
      std::string stop;
      for (std::size_t size = 1 + any(5); size > 0; --size) stop += letters[any(letters.size())];
      options.stop.push_back(stop);
    }
    Ids ids(any(20));
    for (std::int32_t& id : ids) {
      id = any(8) == 0 ? longer_[any(longer_.size())] : nasty[any(nasty.size())];
    }

    OutputText output(*tokenizer_, options);
    std::string shown;
    std::int64_t num_told = 0;
    std::optional<std::string> stop;
    for (std::size_t count = 1; count <= ids.size() && !stop; ++count) {
      const OutputPiece piece = output.append(ids[count - 1]);
      ASSERT_TRUE(is_valid_utf8(piece.text));
      shown += piece.text;
      num_told += piece.num_tokens;
      if (piece.stopped) stop = piece.stop;
      const std::string known = plain_text(*tokenizer_, options, {ids.data(), count}, false);
      const Ending ending = ending_of(known, options);
      ASSERT_EQ(stop, ending.stop) << testing::PrintToString(ids);
      ASSERT_EQ(shown.size(), stop ? ending.shown : safe_size(known, options));
      ASSERT_LE(num_told, static_cast<std::int64_t>(count));
    }
    const OutputPiece last = output.finish();
    shown += last.text;
    num_told += last.num_tokens;
    if (last.stopped) stop = last.stop;
    const std::string text = plain_text(*tokenizer_, options, ids, true);
    const Ending ending = ending_of(text, options);
    ASSERT_EQ(shown, text.substr(0, ending.shown)) << testing::PrintToString(ids);
    ASSERT_EQ(stop, ending.stop);
    ASSERT_LE(num_told, static_cast<std::int64_t>(ids.size()));
    ASSERT_TRUE(stop || num_told == static_cast<std::int64_t>(ids.size()));
    if (stop) ++num_stopped;
  }
  EXPECT_GT(num_stopped, 5'000);
}

TEST_F(OutputTextTest, LongSelfSimilarStopsCostLittle) {
  // 16 stops of 128 bytes, each nearly a suffix of what the text repeats.
  OutputTextOptions options;
  for (int number = 0; number < 16; ++number) {
    options.stop.push_back(std::string(127, 'a') + static_cast<char>('c' + number));
  }
  OutputText output(*tokenizer_, options);
  std::size_t shown = 0;
  for (int count = 0; count < 100'000; ++count) shown += output.append(bytes_['a']).text.size();
  EXPECT_EQ(shown, 100'000U - 127U);
  EXPECT_EQ(output.append(bytes_['d']).stop, options.stop[1]);
}

}  // namespace
}  // namespace cardloom
