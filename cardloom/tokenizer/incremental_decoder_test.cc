#include "cardloom/tokenizer/incremental_decoder.h"

#include <gtest/gtest.h>

#include <random>

#include "cardloom/base/utf8.h"

namespace cardloom {
namespace {

class IncrementalDecoderTest : public testing::Test {
 protected:
  void SetUp() override {
    auto loaded = load_tokenizer(CARDLOOM_SOURCE_DIR "/tests/golden/tiny/ckpt");
    ASSERT_TRUE(loaded) << loaded.error().describe();
    tokenizer_ = *std::move(loaded);
  }

  void expect_same(const std::vector<std::int32_t>& ids) {
    IncrementalDecoder decoder(*tokenizer_);
    std::string text;
    for (const std::int32_t id : ids) {
      const std::string more = decoder.append(id);
      ASSERT_TRUE(is_valid_utf8(more));
      text += more;
    }
    text += decoder.finish();
    ASSERT_EQ(text, tokenizer_->decode(ids)) << testing::PrintToString(ids);
    ASSERT_EQ(decoder.finish(), "");
  }

  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_F(IncrementalDecoderTest, HoldsBackHalfACharacter) {
  IncrementalDecoder decoder(*tokenizer_);
  EXPECT_EQ(decoder.append(0xE4), "");
  EXPECT_EQ(decoder.append(*tokenizer_->special_id("<|user|>")), "") << "special: no bytes";
  EXPECT_EQ(decoder.append(0xBD), "");
  EXPECT_EQ(decoder.append(0xA0), "你");
  EXPECT_EQ(decoder.append(0xF0), "");
  EXPECT_EQ(decoder.append('a'), "\uFFFDa");
  EXPECT_EQ(decoder.append(0x80), "\uFFFD") << "never valid: no reason to wait";
  EXPECT_EQ(decoder.append(0xE4), "");
  EXPECT_EQ(decoder.finish(), "\uFFFD");
  EXPECT_EQ(decoder.append('b'), "b");
}

TEST_F(IncrementalDecoderTest, EqualsDecodeOnRandomIds) {
  std::mt19937 random(3);
  // Lead bytes, continuation bytes at the borders of table 3-7, and any token at all.
  const std::vector<std::int32_t> nasty = {0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0,
                                           0xBF, 0xC1, 0xC2, 0xDF, 0xE0, 0xE4, 0xED,
                                           0xEF, 0xF0, 0xF3, 0xF4, 0xF5, 0xFF};
  for (int i = 0; i < 200000; ++i) {
    std::vector<std::int32_t> ids(random() % 10);
    for (std::int32_t& id : ids) {
      id = random() % 4 == 0 ? static_cast<std::int32_t>(random() % 440) - 5
                             : nasty[random() % nasty.size()];
    }
    expect_same(ids);
  }
}

TEST_F(IncrementalDecoderTest, EqualsDecodeOnAllTriplesOfBorderBytes) {
  const std::vector<std::int32_t> bytes = {0x41, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC2,
                                           0xE0, 0xE1, 0xED, 0xF0, 0xF1, 0xF4, 0xFF};
  for (const std::int32_t a : bytes) {
    for (const std::int32_t b : bytes) {
      for (const std::int32_t c : bytes) {
        for (const std::int32_t d : bytes) expect_same({a, b, c, d});
      }
    }
  }
}

}  // namespace
}  // namespace cardloom
