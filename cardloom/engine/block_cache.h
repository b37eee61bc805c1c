#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <unordered_map>
#include <vector>

#include "cardloom/engine/block_allocator.h"
#include "cardloom/engine/content_hash.h"

namespace cardloom {

/// Blocks that can be found again by what lies in them. A block is free, used (by one sequence or
/// several) or idle: published, used by nobody, and kept for its content until its place is needed.
///
/// Example: a block of the KV cache is allocated, filled, published under the hash of its rows and
/// released; another sequence with the same rows shares it instead of computing them.
class BlockCache {
 public:
  /// Throws as BlockAllocator does.
  explicit BlockCache(std::int64_t num_blocks, Location caller = Location::current());

  /// A block for one user: a free one, else the one that is idle for longest, whose content is
  /// forgotten. Nothing if all are used.
  [[nodiscard]] std::optional<std::int32_t> allocate();

  /// One more user of the block published under `key`; nothing if there is none.
  [[nodiscard]] std::optional<std::int32_t> share(const ContentHash& key);
  /// One more user of a block that is used.
  void add_user(std::int32_t block, Location caller = Location::current());
  /// The block that share would give.
  [[nodiscard]] std::optional<std::int32_t> find(const ContentHash& key) const;

  /// Makes a used block findable. No effect if another block or this one already is, under `key`:
  /// the first stays. Throws kInternal if the block is not used or published under another key.
  void publish(std::int32_t block, const ContentHash& key, Location caller = Location::current());
  /// Takes that back; no effect on a block that is not published. It must be used.
  void forget(std::int32_t block, Location caller = Location::current());

  /// One user fewer. Throws kInternal if the block has none. Release a sequence's last block first:
  /// idle blocks are given up in the order they came, and one that follows another cannot be found
  /// without it.
  void release(std::int32_t block, Location caller = Location::current());

  [[nodiscard]] std::int64_t num_blocks() const { return allocator_.num_blocks(); }
  [[nodiscard]] std::int64_t num_idle() const { return static_cast<std::int64_t>(idle_.size()); }
  [[nodiscard]] std::int64_t num_free() const { return allocator_.num_free(); }
  /// That allocate() could give one after another.
  [[nodiscard]] std::int64_t num_available() const { return num_free() + num_idle(); }
  [[nodiscard]] std::int64_t num_used() const { return num_blocks() - num_available(); }
  [[nodiscard]] std::int32_t num_users(std::int32_t block) const;

 private:
  /// What the cache knows of a block that it published.
  struct Published {
    ContentHash key;
    bool is_idle = false;
    std::list<std::int32_t>::iterator place{};  ///< in idle_, if it is
  };

  void require_used(std::int32_t block, Location caller) const;

  BlockAllocator allocator_;  ///< references: users, and one of the cache's own if published
  std::unordered_map<ContentHash, std::int32_t, ContentHashHash> blocks_;
  std::unordered_map<std::int32_t, Published> published_;
  std::list<std::int32_t> idle_;  ///< the first is given up next
};

}  // namespace cardloom
