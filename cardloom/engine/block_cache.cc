#include "cardloom/engine/block_cache.h"

#include <fmt/format.h>

#include "cardloom/base/error.h"

namespace cardloom {

BlockCache::BlockCache(std::int64_t num_blocks, Location caller) : allocator_(num_blocks, caller) {}

std::optional<std::int32_t> BlockCache::allocate() {
  if (allocator_.num_free() == 0 && !idle_.empty()) {
    const std::int32_t block = idle_.front();
    idle_.pop_front();
    const auto entry = published_.find(block);
    blocks_.erase(entry->second.key);
    published_.erase(entry);
    allocator_.release(block);
  }
  return allocator_.allocate();
}

std::optional<std::int32_t> BlockCache::find(const ContentHash& key) const {
  const auto entry = blocks_.find(key);
  if (entry == blocks_.end()) return std::nullopt;
  return entry->second;
}

std::optional<std::int32_t> BlockCache::share(const ContentHash& key) {
  const std::optional<std::int32_t> block = find(key);
  if (!block) return std::nullopt;
  Published& published = published_.at(*block);
  if (published.is_idle) idle_.erase(published.place);
  published.is_idle = false;
  allocator_.share(*block);
  return block;
}

void BlockCache::add_user(std::int32_t block, Location caller) {
  require_used(block, caller);
  allocator_.share(block, caller);
}

void BlockCache::publish(std::int32_t block, const ContentHash& key, Location caller) {
  require_used(block, caller);
  const auto [entry, is_new] = blocks_.try_emplace(key, block);
  if (!is_new) return;
  if (!published_.try_emplace(block, Published{key}).second) {
    blocks_.erase(entry);
    throw_error(ErrorCode::kInternal, fmt::format("block {} is published under another key", block),
                {}, {}, caller);
  }
  allocator_.share(block);
}

void BlockCache::forget(std::int32_t block, Location caller) {
  require_used(block, caller);
  const auto entry = published_.find(block);
  if (entry == published_.end()) return;
  blocks_.erase(entry->second.key);
  published_.erase(entry);
  allocator_.release(block);
}

void BlockCache::release(std::int32_t block, Location caller) {
  require_used(block, caller);
  allocator_.release(block);
  const auto entry = published_.find(block);
  if (entry == published_.end() || num_users(block) > 0) return;
  entry->second.is_idle = true;
  entry->second.place = idle_.insert(idle_.end(), block);
}

std::int32_t BlockCache::num_users(std::int32_t block) const {
  return allocator_.num_references(block) - (published_.contains(block) ? 1 : 0);
}

void BlockCache::require_used(std::int32_t block, Location caller) const {
  if (num_users(block) > 0) return;
  throw_error(
      ErrorCode::kInternal, fmt::format("block {} is not in use", block),
      fmt::format("{} of {} blocks are free, {} idle", num_free(), num_blocks(), num_idle()), {},
      caller);
}

}  // namespace cardloom
