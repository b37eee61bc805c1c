#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "cardloom/base/location.h"

namespace cardloom {

/// Hands out the indices 0..num_blocks-1, each with a reference count: blocks of the KV cache, and
/// places for encoded pictures. Indices, not pointers: what lies there is the ranks' affair.
class BlockAllocator {
 public:
  /// Throws kInvalidArgument unless 0 <= num_blocks <= 2^31 - 1.
  explicit BlockAllocator(std::int64_t num_blocks, Location caller = Location::current());

  /// A free block, now with one reference; nothing if none is free.
  [[nodiscard]] std::optional<std::int32_t> allocate();

  /// One more, one fewer reference; a block without any is free. Throw kInternal, naming the block,
  /// if it is not in use.
  void share(std::int32_t block, Location caller = Location::current());
  void release(std::int32_t block, Location caller = Location::current());

  [[nodiscard]] std::int64_t num_blocks() const {
    return static_cast<std::int64_t>(references_.size());
  }
  [[nodiscard]] std::int64_t num_free() const { return static_cast<std::int64_t>(free_.size()); }
  /// 0 if it is free.
  [[nodiscard]] std::int32_t num_references(std::int32_t block) const;

 private:
  void require_in_use(std::int32_t block, Location caller) const;

  std::vector<std::int32_t> references_;  ///< [block]
  std::vector<std::int32_t> free_;        ///< the last is handed out next: it is warm in the caches
};

}  // namespace cardloom
