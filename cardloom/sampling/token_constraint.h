#pragma once

#include <cstdint>
#include <vector>

namespace cardloom {

/// A set of token ids below `size`.
class TokenMask {
 public:
  TokenMask() = default;
  explicit TokenMask(std::int32_t size)
      : size_(size), words_((static_cast<std::size_t>(size) + 63) / 64) {}

  [[nodiscard]] std::int32_t size() const { return size_; }
  /// Ids outside [0, size) are in no mask.
  [[nodiscard]] bool contains(std::int32_t id) const {
    return id >= 0 && id < size_ &&
           ((words_[static_cast<std::size_t>(id) / 64] >> (static_cast<unsigned>(id) % 64)) & 1) !=
               0;
  }
  void insert(std::int32_t id) {
    words_[static_cast<std::size_t>(id) / 64] |= std::uint64_t{1}
                                                 << (static_cast<unsigned>(id) % 64);
  }

  /// Bit id % 64 of word id / 64; bits from size on are 0.
  [[nodiscard]] const std::vector<std::uint64_t>& words() const { return words_; }
  [[nodiscard]] std::vector<std::uint64_t>& words() { return words_; }

 private:
  std::int32_t size_ = 0;
  std::vector<std::uint64_t> words_;
};

/// Which tokens may come next in one sequence: its place in a grammar. One thread uses it at a
/// time.
class TokenConstraint {
 public:
  virtual ~TokenConstraint() = default;

  /// The ids that may come next; a stop id is among them if the text may end here. Never empty
  /// before the end. Valid until the next call of any member.
  [[nodiscard]] virtual const TokenMask& allowed() = 0;

  /// Moves on by a token of allowed(). Throws kInternal, naming it, for any other.
  virtual void accept(std::int32_t id) = 0;
};

}  // namespace cardloom
