#include "cardloom/ops/index_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "cardloom/base/error.h"
#include "cardloom/base/integer_math.h"
#include "cardloom/ops/reference/element.h"

namespace cardloom {
namespace {

[[noreturn]] void refuse(std::string message, std::string detail) {
  throw_error(ErrorCode::kInvalidArgument, std::move(message), std::move(detail));
}

/// Slots mostly ascend (blocks are handed out in order), which proves them distinct without
/// sorting.
void check_distinct(const TensorView& slot_mapping) {
  const std::int64_t T = slot_mapping.shape[0];
  std::vector<std::int64_t> slots(static_cast<std::size_t>(T));
  bool ascending = true;
  for (std::int64_t t = 0; t < T; ++t) {
    const auto slot = reference::load_index<std::int64_t>(slot_mapping, t);
    ascending = ascending && (t == 0 || slots[static_cast<std::size_t>(t) - 1] < slot);
    slots[static_cast<std::size_t>(t)] = slot;
  }
  if (ascending) return;
  std::sort(slots.begin(), slots.end());
  const auto twice = std::adjacent_find(slots.begin(), slots.end());
  if (twice != slots.end()) {
    refuse(fmt::format("slot {} is in slot_mapping twice", *twice), "no two tokens share a slot");
  }
}

}  // namespace

void check_positions(const RotaryEmbeddingArgs& args) {
  const std::int64_t num_positions = args.cos_sin.shape[0];
  for (std::int64_t t = 0; t < args.positions.shape[0]; ++t) {
    const auto position = reference::load_index<std::int32_t>(args.positions, t);
    if (position >= 0 && position < num_positions) continue;
    refuse(fmt::format("positions[{}] is {}, but cos_sin has {} positions", t, position,
                       num_positions),
           "a position is an index of cos_sin's first axis");
  }
}

void check_slots(const KvAppendArgs& args) {
  const std::int64_t num_slots = args.cache.keys.shape[0] * args.cache.keys.shape[1];
  for (std::int64_t t = 0; t < args.slot_mapping.shape[0]; ++t) {
    const auto slot = reference::load_index<std::int64_t>(args.slot_mapping, t);
    if (slot >= 0 && slot < num_slots) continue;
    refuse(
        fmt::format("slot_mapping[{}] is {}, but the cache has {} slots", t, slot, num_slots),
        fmt::format("{} blocks of {} tokens", args.cache.keys.shape[0], args.cache.keys.shape[1]));
  }
  check_distinct(args.slot_mapping);
}

void check_block_tables(const PagedAttentionArgs& args) {
  const std::int64_t S = args.block_tables.shape[0];
  const std::int64_t max_blocks = args.block_tables.shape[1];
  const std::int64_t num_blocks = args.cache.keys.shape[0];
  const std::int64_t block_size = args.cache.keys.shape[1];
  std::vector<std::int64_t> needed(static_cast<std::size_t>(S));  // blocks read of each sequence
  for (std::int64_t t = 0; t < args.context_lens.shape[0]; ++t) {
    const auto n = reference::load_index<std::int32_t>(args.context_lens, t);
    const auto sequence = reference::load_index<std::int32_t>(args.token_sequences, t);
    if (sequence < 0 || sequence >= S) {
      refuse(fmt::format("token_sequences[{}] is {}, but block_tables has {} sequences", t,
                         sequence, S),
             {});
    }
    if (n < 0 || n > max_blocks * block_size) {
      refuse(fmt::format("context_lens[{}] is {}, but a row of block_tables holds {} tokens", t, n,
                         max_blocks * block_size),
             fmt::format("{} blocks of {} tokens", max_blocks, block_size));
    }
    std::int64_t& blocks = needed[static_cast<std::size_t>(sequence)];
    blocks = std::max(blocks, ceil_div(n, block_size));
  }
  for (std::int64_t s = 0; s < S; ++s) {
    for (std::int64_t b = 0; b < needed[static_cast<std::size_t>(s)]; ++b) {
      const auto block = reference::load_index<std::int32_t>(args.block_tables, s, b);
      if (block >= 0 && block < num_blocks) continue;
      refuse(fmt::format("block_tables[{}, {}] is {}, but the cache has {} blocks", s, b, block,
                         num_blocks),
             {});
    }
  }
}

}  // namespace cardloom
