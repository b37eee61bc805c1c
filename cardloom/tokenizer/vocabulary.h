#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cardloom {

/// The byte strings of ordinary tokens, numbered 0, 1, 2 ... in the order they were appended; a
/// flat hash table finds the number of a string in one probe or few.
class Vocabulary {
 public:
  /// Appends `bytes` as token size(). Returns the id it already has if it is there, else -1.
  std::int32_t append(std::string_view bytes);

  /// The id of `bytes`, or -1.
  [[nodiscard]] std::int32_t find(std::string_view bytes) const;

  /// The bytes of token `id`, 0 <= id < size(); valid until the next append.
  [[nodiscard]] std::string_view bytes(std::int32_t id) const;

  [[nodiscard]] std::int32_t size() const { return static_cast<std::int32_t>(begins_.size()) - 1; }
  [[nodiscard]] std::size_t max_token_bytes() const { return max_token_bytes_; }

 private:
  struct Slot {
    std::uint32_t tag = 0;  ///< half of the hash: spares most comparisons of bytes
    std::int32_t id = -1;   ///< -1: empty
  };

  [[nodiscard]] std::size_t slot_of(std::string_view bytes, std::uint64_t hash) const;
  void grow();

  std::string blob_;  ///< all tokens end to end: token id is [begins_[id], begins_[id + 1])
  std::vector<std::uint64_t> begins_ = {0};
  std::vector<Slot> slots_;  ///< a power of two of them, at most half taken
  std::size_t max_token_bytes_ = 0;
};

}  // namespace cardloom
