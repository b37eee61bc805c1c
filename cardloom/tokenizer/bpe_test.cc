#include "cardloom/tokenizer/bpe.h"

#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <string>

namespace cardloom {
namespace {

/// All single bytes, then `more`.
Vocabulary make_vocabulary(const std::vector<std::string>& more) {
  Vocabulary vocabulary;
  for (int byte = 0; byte < 256; ++byte) vocabulary.append(std::string(1, static_cast<char>(byte)));
  for (const std::string& token : more) vocabulary.append(token);
  return vocabulary;
}

std::vector<std::int32_t> encode(const Vocabulary& vocabulary, std::string_view piece) {
  std::vector<std::int32_t> ids;
  append_bpe(vocabulary, piece, ids);
  return ids;
}

/// The definition, word for word.
std::vector<std::int32_t> encode_by_definition(const Vocabulary& vocabulary,
                                               const std::string& piece) {
  if (vocabulary.find(piece) >= 0) return {vocabulary.find(piece)};
  std::vector<std::string> parts;
  for (const char c : piece) parts.emplace_back(1, c);
  while (true) {
    std::int32_t lowest = -1;
    std::size_t place = 0;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      const std::int32_t rank = vocabulary.find(parts[i] + parts[i + 1]);
      if (rank >= 0 && (lowest < 0 || rank < lowest)) {
        lowest = rank;
        place = i;
      }
    }
    if (lowest < 0) break;
    parts[place] += parts[place + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(place) + 1);
  }
  std::vector<std::int32_t> ids;
  for (const std::string& part : parts) ids.push_back(vocabulary.find(part));
  return ids;
}

TEST(Vocabulary, FindsWhatWasAppended) {
  Vocabulary vocabulary;
  EXPECT_EQ(vocabulary.find("a"), -1);
  for (int i = 0; i < 20000; ++i) ASSERT_EQ(vocabulary.append(std::to_string(i)), -1);
  EXPECT_EQ(vocabulary.append("123"), 123) << "refused: it is there";
  EXPECT_EQ(vocabulary.size(), 20000);
  EXPECT_EQ(vocabulary.max_token_bytes(), 5U);
  for (int i = 0; i < 20000; ++i) {
    ASSERT_EQ(vocabulary.find(std::to_string(i)), i);
    ASSERT_EQ(vocabulary.bytes(i), std::to_string(i));
  }
  EXPECT_EQ(vocabulary.find("20000"), -1);
  EXPECT_EQ(vocabulary.find(""), -1);
  EXPECT_EQ(vocabulary.find("0000000000000000"), -1);
}

TEST(Vocabulary, TellsBytesFromTheirPadding) {
  Vocabulary vocabulary;
  vocabulary.append(std::string("a\0", 2));
  EXPECT_EQ(vocabulary.find("a"), -1);
  EXPECT_EQ(vocabulary.append("a"), -1);
  EXPECT_EQ(vocabulary.find(std::string("a\0", 2)), 0);
}

TEST(Bpe, MergesTheLowestRankFirstAndTheLeftmostOnTies) {
  const Vocabulary vocabulary = make_vocabulary({"bc", "ab", "aa", "abc"});
  using Ids = std::vector<std::int32_t>;
  EXPECT_EQ(encode(vocabulary, ""), Ids{});
  EXPECT_EQ(encode(vocabulary, "a"), Ids{97});
  EXPECT_EQ(encode(vocabulary, "abcd"), (Ids{259, 100})) << "bc before ab, then a+bc";
  EXPECT_EQ(encode(vocabulary, "aaa"), (Ids{258, 97})) << "the left pair";
  EXPECT_EQ(encode(vocabulary, "abc"), Ids{259}) << "whole piece";
}

TEST(Bpe, AWholePieceNeedsNoMergesToReachIt) {
  const Vocabulary vocabulary = make_vocabulary({"xyz"});
  EXPECT_EQ(encode(vocabulary, "xyz"), std::vector<std::int32_t>{256});
  EXPECT_EQ(encode(vocabulary, "xyzx"), (std::vector<std::int32_t>{120, 121, 122, 120}));
}

TEST(Bpe, AgreesWithTheDefinition) {
  std::mt19937 random(42);
  for (int round = 0; round < 300; ++round) {
    const std::size_t num_letters = 2 + random() % 3;
    const auto word = [&](std::size_t size) {
      std::string text(size, ' ');
      for (char& c : text) c = "abcd"[random() % num_letters];
      return text;
    };
    std::vector<std::string> tokens;
    for (int i = 0; i < 40; ++i) tokens.push_back(word(2 + random() % 5));
    const Vocabulary vocabulary = make_vocabulary(tokens);
    for (int i = 0; i < 40; ++i) {
      // Both sides of the border between the short and the long merge.
      const std::string piece = word(i % 2 == 0 ? random() % 49 : 44 + random() % 120);
      ASSERT_EQ(encode(vocabulary, piece), encode_by_definition(vocabulary, piece)) << piece;
    }
  }
}

TEST(Bpe, AMegabyteIsNotQuadratic) {
  std::vector<std::string> tokens;
  for (std::size_t size = 2; size <= 1024; size *= 2) tokens.emplace_back(size, 'a');
  const Vocabulary vocabulary = make_vocabulary(tokens);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(encode(vocabulary, std::string(1 << 20, 'a')).size(), 1024U);
  const auto took = std::chrono::steady_clock::now() - start;
  // 0.3 s when written; quadratic would be an hour. The margin is for sanitizers.
  EXPECT_LT(std::chrono::duration<double>(took).count(), 20.0);
}

}  // namespace
}  // namespace cardloom
