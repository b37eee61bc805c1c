#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace cardloom::grammar {

/// Code points first..last, both included.
struct CodeRange {
  char32_t first = 0;
  char32_t last = 0;
  friend bool operator==(const CodeRange&, const CodeRange&) = default;
};

/// A set of Unicode scalar values: surrogates are never in it, for no UTF-8 text holds them.
class CharSet {
 public:
  CharSet() = default;
  /// Any ranges in any order.
  explicit CharSet(std::vector<CodeRange> ranges);
  [[nodiscard]] static CharSet all() { return CharSet({{0, 0x10FFFF}}); }
  [[nodiscard]] static CharSet of(char32_t c) { return CharSet({{c, c}}); }

  /// Ascending, neither overlapping nor adjacent.
  [[nodiscard]] const std::vector<CodeRange>& ranges() const { return ranges_; }
  [[nodiscard]] bool empty() const { return ranges_.empty(); }
  [[nodiscard]] bool contains(char32_t c) const;

  [[nodiscard]] CharSet complement() const;
  [[nodiscard]] CharSet intersected(const CharSet& other) const;

 private:
  std::vector<CodeRange> ranges_;
};

struct ByteRange {
  std::uint8_t first = 0;
  std::uint8_t last = 0;
};

/// Byte strings of 1..4 bytes, each byte from its own range.
struct ByteSequence {
  int size = 0;
  std::array<ByteRange, 4> bytes{};
};

/// Sequences that together spell exactly the UTF-8 forms of `set`, each form in one of them.
/// Source: Cox 2010, "Regular Expression Matching in the Wild", as in RE2's compile.cc.
[[nodiscard]] std::vector<ByteSequence> utf8_sequences(const CharSet& set);

}  // namespace cardloom::grammar
