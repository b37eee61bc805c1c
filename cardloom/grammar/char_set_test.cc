#include "cardloom/grammar/char_set.h"

#include <gtest/gtest.h>

#include <string>

#include "cardloom/base/utf8.h"

namespace cardloom::grammar {
namespace {

bool spells(const std::vector<ByteSequence>& sequences, const std::string& bytes) {
  int count = 0;
  for (const ByteSequence& sequence : sequences) {
    bool fits = static_cast<std::size_t>(sequence.size) == bytes.size();
    for (std::size_t i = 0; fits && i < bytes.size(); ++i) {
      const auto byte = static_cast<std::uint8_t>(bytes[i]);
      fits = sequence.bytes[i].first <= byte && byte <= sequence.bytes[i].last;
    }
    count += fits ? 1 : 0;
  }
  EXPECT_LE(count, 1) << "spelled twice";
  return count == 1;
}

TEST(CharSetTest, JoinsSortsAndLeavesOutSurrogates) {
  const CharSet set({{U'c', U'f'}, {U'a', U'b'}, {U'z', U'z'}, {0xD000, 0xE001}});
  EXPECT_EQ(set.ranges(), (std::vector<CodeRange>{
                              {U'a', U'f'}, {U'z', U'z'}, {0xD000, 0xD7FF}, {0xE000, 0xE001}}));
  EXPECT_FALSE(set.contains(0xD900));
  EXPECT_TRUE(CharSet({{0xD800, 0xDFFF}}).empty());
}

TEST(CharSetTest, ComplementAndIntersectionAreThoseOfSets) {
  const CharSet set({{U'a', U'f'}, {0x400, 0x10000}});
  const CharSet other({{U'c', U'z'}, {0xFFFF, 0x10FFFF}});
  for (const char32_t c : {0u, 97u, 98u, 99u, 102u, 103u, 122u, 123u, 0x3FFu, 0x400u, 0xD7FFu,
                           0xE000u, 0xFFFFu, 0x10000u, 0x10001u, 0x10FFFFu}) {
    EXPECT_NE(set.contains(c), set.complement().contains(c)) << static_cast<unsigned>(c);
    EXPECT_EQ(set.contains(c) && other.contains(c), set.intersected(other).contains(c));
  }
  EXPECT_TRUE(CharSet::all().complement().empty());
}

TEST(CharSetTest, SequencesSpellEachCharacterOnceAndNothingElse) {
  const std::vector<CharSet> sets = {CharSet::all(), CharSet({{0x7F, 0x800}}),
                                     CharSet({{0xFFF, 0x2FFFF}, {U'a', U'a'}}),
                                     CharSet::of(U'你').complement()};
  for (const CharSet& set : sets) {
    const std::vector<ByteSequence> sequences = utf8_sequences(set);
    for (char32_t c = 0; c <= 0x10FFFF; c += c < 0x3000 ? 1 : 61) {
      if (c >= 0xD800 && c <= 0xDFFF) continue;
      std::string bytes;
      append_utf8(bytes, c);
      ASSERT_EQ(spells(sequences, bytes), set.contains(c)) << static_cast<unsigned>(c);
    }
    for (const char* bad :
         {"\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\x80", "\xE0\x80\x80"}) {
      EXPECT_FALSE(spells(sequences, bad));
    }
  }
}

}  // namespace
}  // namespace cardloom::grammar
