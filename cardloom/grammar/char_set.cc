#include "cardloom/grammar/char_set.h"

#include <algorithm>
#include <string>

#include "cardloom/base/utf8.h"

namespace cardloom::grammar {
namespace {

constexpr char32_t kLastCodePoint = 0x10FFFF;
constexpr CodeRange kSurrogates = {0xD800, 0xDFFF};

void append_sequences(char32_t first, char32_t last, std::vector<ByteSequence>& out) {
  for (const char32_t last_of_length : {0x7Fu, 0x7FFu, 0xFFFFu}) {
    if (first <= last_of_length && last_of_length < last) {
      append_sequences(first, last_of_length, out);
      append_sequences(last_of_length + 1, last, out);
      return;
    }
  }
  // Ends that differ in a leading byte must cover all of what follows it.
  for (int bits = 6; last > 0x7F && bits <= 18; bits += 6) {
    const char32_t low = (char32_t{1} << bits) - 1;
    if ((first & ~low) == (last & ~low)) continue;
    if ((first & low) != 0) {
      append_sequences(first, first | low, out);
      append_sequences((first | low) + 1, last, out);
      return;
    }
    if ((last & low) != low) {
      append_sequences(first, (last & ~low) - 1, out);
      append_sequences(last & ~low, last, out);
      return;
    }
  }
  std::string from;
  std::string to;
  append_utf8(from, first);
  append_utf8(to, last);
  ByteSequence sequence;
  sequence.size = static_cast<int>(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    sequence.bytes[i] = {static_cast<std::uint8_t>(from[i]), static_cast<std::uint8_t>(to[i])};
  }
  out.push_back(sequence);
}

}  // namespace

CharSet::CharSet(std::vector<CodeRange> ranges) {
  std::vector<CodeRange> parts;
  for (const CodeRange& range : ranges) {  // without the surrogates
    const CodeRange below = {range.first, std::min(range.last, char32_t{kSurrogates.first - 1})};
    const CodeRange above = {std::max(range.first, char32_t{kSurrogates.last + 1}),
                             std::min(range.last, kLastCodePoint)};
    if (below.first <= below.last) parts.push_back(below);
    if (above.first <= above.last) parts.push_back(above);
  }
  std::sort(parts.begin(), parts.end(),
            [](const CodeRange& a, const CodeRange& b) { return a.first < b.first; });
  for (const CodeRange& part : parts) {
    if (!ranges_.empty() && part.first <= ranges_.back().last + 1) {
      ranges_.back().last = std::max(ranges_.back().last, part.last);
    } else {
      ranges_.push_back(part);
    }
  }
}

bool CharSet::contains(char32_t c) const {
  return std::any_of(ranges_.begin(), ranges_.end(),
                     [c](const CodeRange& range) { return range.first <= c && c <= range.last; });
}

CharSet CharSet::complement() const {
  std::vector<CodeRange> gaps;
  char32_t next = 0;
  for (const CodeRange& range : ranges_) {
    if (next < range.first) gaps.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kLastCodePoint) gaps.push_back({next, kLastCodePoint});
  return CharSet(std::move(gaps));
}

CharSet CharSet::intersected(const CharSet& other) const {
  std::vector<CodeRange> common;
  auto a = ranges_.begin();
  auto b = other.ranges_.begin();
  while (a != ranges_.end() && b != other.ranges_.end()) {
    const CodeRange part = {std::max(a->first, b->first), std::min(a->last, b->last)};
    if (part.first <= part.last) common.push_back(part);
    a->last < b->last ? ++a : ++b;
  }
  return CharSet(std::move(common));
}

std::vector<ByteSequence> utf8_sequences(const CharSet& set) {
  std::vector<ByteSequence> sequences;
  for (const CodeRange& range : set.ranges()) append_sequences(range.first, range.last, sequences);
  return sequences;
}

}  // namespace cardloom::grammar
