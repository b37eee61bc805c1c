#include "cardloom/backend/cpu/scratch_plan.h"

#include <algorithm>
#include <bit>

#include "cardloom/backend/cpu/kernels/attention_kernels.h"
#include "cardloom/backend/cpu/kernels/attention_tile.h"
#include "cardloom/backend/cpu/kernels/gemm_driver.h"
#include "cardloom/backend/cpu/kernels/gemm_kernels.h"
#include "cardloom/backend/cpu/kernels/operator_kernels.h"
#include "cardloom/base/integer_math.h"

namespace cardloom::cpu {
namespace {

constexpr std::int64_t kFloat = 4;

/// Rows as pack_activations lays them out. A quantised element takes a byte and a 16th of one at
/// the least: less than the bf16 that it is made of. Every leaf is padded by less than a group.
std::int64_t packed_activations(const ScratchNeeds::Product& product, DType dtype) {
  constexpr std::int64_t kMostGroup = 128;
  const std::int64_t rows = round_up(std::min(product.rows, kProductRowsAtOnce), kMaxBlockRows);
  return rows * (product.depth + kMaxLeaves * kMostGroup) * size_of(dtype);
}

/// Of packed keys and values of one block, as TileShape has it for operands of f32.
std::int64_t block_bytes(std::int64_t head_dim) {
  const std::int64_t depth = round_up(head_dim, kDepthStep);
  const std::int64_t row = round_up(head_dim, kPanel);
  return kAttentionKeyBlock * (depth + row) * kFloat;
}

std::int64_t attention_team(const ScratchNeeds::Attention& call) {
  const std::int64_t blocks = ceil_div(call.keys, kAttentionKeyBlock);
  const std::int64_t part = (round_up(call.head_dim, kPanel) + kPanel) * kFloat;
  const std::int64_t parts = std::min(kMostPartBytes, call.rows * call.heads * blocks * part);
  const std::int64_t source = blocks * block_bytes(call.head_dim);
  return std::max(parts, std::min(kMostPackedBytes + source, call.rows * call.groups * source));
}

std::int64_t attention_worker(const ScratchNeeds::Attention& call) {
  const std::int64_t width = round_up(call.head_dim, kDepthStep);
  const std::int64_t rows = kTileQueries * 2 + kRowStep * 2 + kDepthStep + 2;
  const std::int64_t scores = 2 * (2 * kRowStep) * (kAttentionKeyBlock + 64);
  return 3 * block_bytes(call.head_dim) + (rows * width + scores) * kFloat;
}

}  // namespace

ScratchBytes scratch_bytes(const ScratchNeeds& needs, Isa isa) {
  ScratchBytes bytes;
  const GemmKernels& gemm = gemm_kernels(isa);
  bytes.team = 2 * needs.width * kFloat;
  bytes.worker = 3 * needs.width * kFloat;
  for (const ScratchNeeds::Product& product : needs.products) {
    bytes.team = std::max(bytes.team, packed_activations(product, needs.dtype));
    const std::int64_t blocks = std::min(std::max<std::int64_t>(kRowsPerTask / gemm.block_rows, 1),
                                         ceil_div(product.rows, gemm.block_rows));
    constexpr std::int64_t kOwnAndTree = 4;  // spare_elements has 3 levels
    const std::int64_t sums = kOwnAndTree * blocks * kPanelsPerTask * kTileElements * kFloat;
    bytes.worker = std::max({bytes.worker, sums, product.depth * kFloat});
  }
  for (const ScratchNeeds::Attention& call : needs.attentions) {
    bytes.team = std::max(bytes.team, attention_team(call));
    bytes.worker = std::max(bytes.worker, attention_worker(call));
  }
  const std::int64_t lists = needs.candidate_rows * ceil_div(needs.vocabulary, kTopKColumns) + 1;
  constexpr std::int64_t kEntryBytes = 16;
  bytes.team = std::max(bytes.team, lists * (needs.candidates + 1) * kEntryBytes);
  return bytes;
}

std::int64_t exchange_bytes(const ScratchNeeds& needs, int world_size, std::int64_t buffer_bytes) {
  if (world_size == 1) return 0;
  const std::int64_t columns = round_up(needs.exchanged_columns, kPanelColumns);
  const std::int64_t roots = std::has_single_bit(static_cast<unsigned>(world_size)) ? 1 : kMaxRoots;
  const std::int64_t rows = round_up(needs.exchanged_rows, kMaxBlockRows);
  const std::int64_t sums = rows * columns * (roots * kFloat + size_of(needs.dtype));
  // A buffer lies in huge pages, as large tensors do: the first byte of one takes it whole.
  constexpr std::int64_t kHugePage = std::int64_t{2} << 20;
  return std::min(buffer_bytes, round_up(std::max(sums, needs.gathered_bytes), kHugePage));
}

}  // namespace cardloom::cpu
