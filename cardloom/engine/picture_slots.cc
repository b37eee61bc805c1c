#include "cardloom/engine/picture_slots.h"

namespace cardloom {

PictureSlots::PictureSlots(std::int64_t num_slots)
    : cache_(num_slots), ready_(static_cast<std::size_t>(num_slots)) {}

std::optional<std::int32_t> PictureSlots::acquire(const ContentHash& key) {
  if (const std::optional<std::int32_t> slot = cache_.share(key)) return slot;
  const std::optional<std::int32_t> slot = cache_.allocate();
  if (!slot) return std::nullopt;
  cache_.publish(*slot, key);
  ready_[static_cast<std::size_t>(*slot)] = false;
  return slot;
}

void PictureSlots::release(std::int32_t slot) {
  if (!is_ready(slot) && cache_.num_users(slot) == 1) cache_.forget(slot);
  cache_.release(slot);
}

void PictureSlots::set_ready(std::int32_t slot) { ready_[static_cast<std::size_t>(slot)] = true; }

}  // namespace cardloom
