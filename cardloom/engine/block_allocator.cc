#include "cardloom/engine/block_allocator.h"

#include <fmt/format.h>

#include <limits>

#include "cardloom/base/error.h"

namespace cardloom {

BlockAllocator::BlockAllocator(std::int64_t num_blocks, Location caller) {
  if (num_blocks < 0 || num_blocks > std::numeric_limits<std::int32_t>::max()) {
    throw_error(ErrorCode::kInvalidArgument,
                fmt::format("{} blocks; 0 to {} can be numbered", num_blocks,
                            std::numeric_limits<std::int32_t>::max()),
                {}, "use larger blocks or a shorter context", caller);
  }
  references_.resize(static_cast<std::size_t>(num_blocks));
  free_.reserve(references_.size());
  for (auto block = static_cast<std::int32_t>(num_blocks); block-- > 0;) free_.push_back(block);
}

std::optional<std::int32_t> BlockAllocator::allocate() {
  if (free_.empty()) return std::nullopt;
  const std::int32_t block = free_.back();
  free_.pop_back();
  references_[static_cast<std::size_t>(block)] = 1;
  return block;
}

void BlockAllocator::share(std::int32_t block, Location caller) {
  require_in_use(block, caller);
  ++references_[static_cast<std::size_t>(block)];
}

void BlockAllocator::release(std::int32_t block, Location caller) {
  require_in_use(block, caller);
  if (--references_[static_cast<std::size_t>(block)] == 0) free_.push_back(block);
}

std::int32_t BlockAllocator::num_references(std::int32_t block) const {
  if (block < 0 || block >= num_blocks()) return 0;
  return references_[static_cast<std::size_t>(block)];
}

void BlockAllocator::require_in_use(std::int32_t block, Location caller) const {
  if (num_references(block) > 0) return;
  throw_error(ErrorCode::kInternal, fmt::format("block {} is not in use", block),
              fmt::format("{} of {} blocks are free", num_free(), num_blocks()), {}, caller);
}

}  // namespace cardloom
