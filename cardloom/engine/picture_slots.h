#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "cardloom/engine/block_cache.h"

namespace cardloom {

/// The places of encoded pictures on every rank, found again by the hash of their pixels. A slot
/// has a picture from the moment somebody wants it, and is ready once that has been encoded:
/// whoever comes meanwhile waits for it instead of encoding it again.
class PictureSlots {
 public:
  /// Throws as BlockAllocator does.
  explicit PictureSlots(std::int64_t num_slots);

  /// The slot of the picture `key`, with one more user; nothing if all slots are used.
  [[nodiscard]] std::optional<std::int32_t> acquire(const ContentHash& key);
  /// One more user of a slot that is used: who writes to it.
  void hold(std::int32_t slot) { cache_.add_user(slot); }
  /// One user fewer. A picture that nobody uses stays until its slot is needed, if it is ready.
  void release(std::int32_t slot);

  /// What lies in the slot is its picture.
  void set_ready(std::int32_t slot);
  [[nodiscard]] bool is_ready(std::int32_t slot) const {
    return ready_[static_cast<std::size_t>(slot)];
  }

  [[nodiscard]] const BlockCache& cache() const { return cache_; }

 private:
  BlockCache cache_;
  std::vector<bool> ready_;  ///< [slot]
};

}  // namespace cardloom
