#include "cardloom/backend/cpu/kernels/attention_tile.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numbers>

#include "cardloom/base/integer_math.h"

namespace cardloom::cpu {
namespace {

/// Elements between rows of scores and of weights: not a multiple of 2 KB, or the 16 rows of a tile
/// would lie in two sets of the L1 cache.
constexpr std::int64_t kScoreRow = kAttentionKeyBlock + kPanel;
constexpr std::int64_t kWeightRow = kAttentionKeyBlock + kDepthStep;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::int64_t kFloatBytes = sizeof(float);

/// Into the L2 cache.
void fetch(const std::byte* begin, std::int64_t bytes) {
  constexpr std::int64_t kLine = 64;
  for (std::int64_t offset = 0; offset < bytes; offset += kLine) {
    __builtin_prefetch(begin + offset, 0, 2);
  }
}

const AttentionKernels& kernels_of(CpuDevice& device, DType dtype) {
  const AttentionTable& table = attention_table(device.isa());
  return dtype == DType::kBF16 ? table.bf16 : table.f32;
}

}  // namespace

static_assert(kAttentionKeyBlock % kDepthStep == 0 && kDepthStep == 2 * kPanel);

TileShape::TileShape(const Attention& attention, CpuDevice& device)
    : kernels(kernels_of(device, attention.q.dtype)),
      D(attention.q.shape[2]),
      depth(round_up(D, kDepthStep)),
      num_panels(ceil_div(D, kPanel)),
      row_size(num_panels * kPanel),
      key_panel_bytes(depth * kPanel * kernels.operand_bytes),
      value_panel_bytes(kAttentionKeyBlock * kPanel * kernels.operand_bytes),
      key_bytes(kAttentionKeyBlock / kPanel * key_panel_bytes),
      value_bytes(num_panels * value_panel_bytes) {}

TileRunner::TileRunner(const Attention& attention, const TileShape& shape, CpuDevice& device,
                       int worker)
    : attention_(attention), shape_(shape), rows_(device.rows()) {
  const std::int64_t operand = shape.kernels.operand_bytes;
  const std::int64_t step_rows = 2 * kRowStep;
  const std::int64_t sizes[] = {shape.block_bytes(),
                                shape.block_bytes(),
                                shape.value_bytes,
                                kTileQueries * shape.row_size * kFloatBytes,
                                kTileQueries * shape.depth * operand,
                                step_rows * kScoreRow * kFloatBytes,
                                step_rows * kWeightRow * operand,
                                step_rows * shape.row_size * kFloatBytes,
                                kDepthStep * shape.depth * operand,
                                shape.depth * operand,
                                shape.depth};
  std::int64_t bytes = 0;
  for (const std::int64_t size : sizes) bytes += round_up(size, std::int64_t{64});
  std::byte* next = device.scratch(worker, bytes);
  const std::int64_t* size = sizes;
  const auto take = [&] {
    std::byte* const begin = next;
    next += round_up(*size++, std::int64_t{64});
    return begin;
  };
  for (PackedBlock& block : own_blocks_) block.data = take();
  own_values_ = take();
  sums_ = reinterpret_cast<float*>(take());
  queries_ = take();
  scores_ = reinterpret_cast<float*>(take());
  weights_ = take();
  products_ = reinterpret_cast<float*>(take());
  staging_ = take();
  zeros_ = take();
  numbers_ = take();
  std::memset(zeros_, 0, static_cast<std::size_t>(shape.depth * operand));
}

std::int64_t TileRunner::most_keys(const Attention& attention, const Tile& tile) {
  std::int64_t most = 0;
  for (std::int64_t row = 0; row < tile.num_rows; ++row) {
    most = std::max(most, attention.keys_of(tile.first_row + row));
  }
  return most;
}

std::int64_t TileRunner::keys_in_block(std::int64_t query, std::int64_t block) const {
  return std::clamp<std::int64_t>(num_keys_[query] - block * kAttentionKeyBlock, 0,
                                  kAttentionKeyBlock);
}

// ---- Packing.

/// A row of keys or values as D operands: where it lies, or in `staging`.
const void* TileRunner::operand_row(const Run& run, std::byte* staging) const {
  if (shape_.kernels.operand_bytes == kFloatBytes) {
    return read_run(rows_, run, shape_.D, reinterpret_cast<float*>(staging));
  }
  if (run.stride == 1 || shape_.D == 1) return run.data;
  copy_run(run, {DType::kBF16, staging, 1}, shape_.D);
  return staging;
}

/// The same of a row of i8, always in `staging`.
const void* TileRunner::operand_row(const Run& run, float scale, std::byte* staging) const {
  const bool dense = run.stride == 1 || shape_.D == 1;
  if (!dense) copy_run(run, {DType::kI8, numbers_, 1}, shape_.D);
  const auto* numbers = reinterpret_cast<const std::int8_t*>(dense ? run.data : numbers_);
  shape_.kernels.dequantise(numbers, scale, shape_.D, staging);
  return staging;
}

/// Rows of positions [first, first + count), then zeros, kDepthStep in all.
void TileRunner::pack_step(const CachePart& part, const KeySource& source, std::int64_t first,
                           std::int64_t count, const void** rows) const {
  const std::int64_t block_size = part.rows.shape[1];
  const std::int64_t row_bytes = shape_.depth * shape_.kernels.operand_bytes;
  const std::int64_t end = std::min(count, kDepthStep);
  for (std::int64_t j = 0; j < end;) {
    const std::int64_t block = attention_.block_of(source.sequence, (first + j) / block_size);
    const std::int64_t place = (first + j) % block_size;
    const std::int64_t stop = std::min(end, j + block_size - place);
    Run run = row_of(part.rows, block, place, source.group);
    for (std::int64_t at = place; j < stop; ++j, ++at) {
      std::byte* const staging = staging_ + j * row_bytes;
      rows[j] =
          part.scales.rank == 0
              ? operand_row(run, staging)
              : operand_row(run, reference::load(part.scales, block, at, source.group), staging);
      run.data += part.rows.stride[1] * size_of(run.dtype);
    }
  }
  for (std::int64_t j = end; j < kDepthStep; ++j) rows[j] = zeros_;
}

/// kDepthStep keys and values from position `first` on, those below `end`, into their place.
void TileRunner::pack_keys_and_values(const KeySource& source, std::int64_t first, std::int64_t end,
                                      PackedBlock& packed) const {
  const AttentionKernels& kernels = shape_.kernels;
  const std::int64_t offset = first % kAttentionKeyBlock;
  const void* rows[kDepthStep];
  pack_step(attention_.keys(), source, first, end - first, rows);
  std::byte* keys = packed.data + offset / kPanel * shape_.key_panel_bytes;
  kernels.pack_keys(rows, shape_.D, keys);
  kernels.pack_keys(rows + kPanel, shape_.D, keys + shape_.key_panel_bytes);
  pack_step(attention_.values(), source, first, end - first, rows);
  std::byte* values = packed.data + shape_.key_bytes + offset * kPanel * kernels.operand_bytes;
  packed.is_finite &= kernels.pack_values(rows, shape_.D, shape_.value_panel_bytes, values);
}

void TileRunner::pack(const KeySource& source, std::int64_t block, std::int64_t num_keys,
                      PackedBlock& packed) const {
  const std::int64_t first = block * kAttentionKeyBlock;
  const std::int64_t end = std::min(num_keys, first + kAttentionKeyBlock);
  packed.is_finite = true;
  for (std::int64_t j = first; j < end; j += kDepthStep) {
    pack_keys_and_values(source, j, end, packed);
  }
}

/// `count` values from position `first` on, then zeros.
void TileRunner::pack_own_values(const KeySource& source, std::int64_t first, std::int64_t count) {
  const std::int64_t step_bytes = kDepthStep * kPanel * shape_.kernels.operand_bytes;
  const void* rows[kDepthStep];
  for (std::int64_t j = 0; j < count; j += kDepthStep) {
    pack_step(attention_.values(), source, first + j, count - j, rows);
    shape_.kernels.pack_values(rows, shape_.D, shape_.value_panel_bytes,
                               own_values_ + j / kDepthStep * step_bytes);
  }
}

// ---- One block of keys.

void TileRunner::load_queries(const Tile& tile) {
  const std::int64_t row_bytes = shape_.depth * shape_.kernels.operand_bytes;
  const std::int64_t used = shape_.D * shape_.kernels.operand_bytes;
  for (std::int64_t query = 0; query < tile.num_queries(); ++query) {
    const std::int64_t row = tile.first_row + query / tile.num_heads;
    const Run run = row_of(attention_.q, row, tile.first_head + query % tile.num_heads);
    std::byte* to = queries_ + query * row_bytes;
    if (shape_.kernels.operand_bytes == kFloatBytes) {
      load_run(rows_, run, shape_.D, reinterpret_cast<float*>(to));
    } else {
      copy_run(run, {DType::kBF16, to, 1}, shape_.D);
    }
    std::memset(to + used, 0, static_cast<std::size_t>(row_bytes - used));
    num_keys_[query] = attention_.keys_of(row);
  }
}

/// Weights times values of queries [first, first + count) of the step, into products_.
void TileRunner::multiply_values(const Tile& tile, std::int64_t block, const PackedBlock& packed,
                                 std::int64_t first, std::int64_t count) {
  const auto multiply = [&](std::int64_t row, std::int64_t num_rows, const std::byte* values,
                            std::int64_t num_keys) {
    shape_.kernels.multiply(weights_ + row * kWeightRow * shape_.kernels.operand_bytes, kWeightRow,
                            num_rows, values, shape_.value_panel_bytes, shape_.num_panels, num_keys,
                            products_ + row * shape_.row_size, shape_.row_size);
  };
  const auto keys_of = [&](std::int64_t row) { return keys_in_block(first + row, block); };
  std::int64_t most = 0;
  std::int64_t least = kAttentionKeyBlock;
  for (std::int64_t row = 0; row < count; ++row) {
    most = std::max(most, keys_of(row));
    least = std::min(least, keys_of(row));
  }
  if (packed.is_finite || least == most) {
    return multiply(0, count, packed.data + shape_.key_bytes, most);
  }
  // 0 * inf is NaN: a query must not meet the values beyond its own, so those that see as many go
  // by themselves. Ascending, because a product may spill into the rows after it.
  for (std::int64_t row = 0; row < count;) {
    std::int64_t end = row + 1;
    while (end < count && keys_of(end) == keys_of(row)) ++end;
    pack_own_values(tile.source, block * kAttentionKeyBlock, keys_of(row));
    multiply(row, end - row, own_values_, keys_of(row));
    row = end;
  }
}

/// Calls deliver(query, products, max, total) for every query that sees keys of the block. `next`:
/// the packed block after it or null; it lies in L3 and is fetched meanwhile, a part with each row.
template <class Deliver>
void TileRunner::for_each_product(const Tile& tile, std::int64_t block, const PackedBlock& packed,
                                  const std::byte* next, Deliver deliver) {
  const AttentionKernels& kernels = shape_.kernels;
  // Base 2, so that no product with log2(e) is needed in the loop over scores.
  const std::int64_t fetch_bytes = shape_.block_bytes() / tile.num_queries();
  const float factor = attention_.scale * std::numbers::log2e_v<float>;
  for (std::int64_t first = 0; first < tile.num_queries(); first += kRowStep) {
    const std::int64_t count = std::min(kRowStep, tile.num_queries() - first);
    std::int64_t most = 0;
    for (std::int64_t row = 0; row < count; ++row) {
      most = std::max(most, keys_in_block(first + row, block));
    }
    if (most == 0) continue;
    const std::int64_t padded = round_up(most, kDepthStep);
    kernels.multiply(queries_ + first * shape_.depth * kernels.operand_bytes, shape_.depth, count,
                     packed.data, shape_.key_panel_bytes, padded / kPanel, shape_.D, scores_,
                     kScoreRow);
    for (std::int64_t row = 0; row < count; ++row) {
      kernels.softmax(scores_ + row * kScoreRow, keys_in_block(first + row, block), padded, factor,
                      weights_ + row * kWeightRow * kernels.operand_bytes, block_max_ + row,
                      block_total_ + row);
      if (next != nullptr) fetch(next + (first + row) * fetch_bytes, fetch_bytes);
    }
    multiply_values(tile, block, packed, first, count);
    for (std::int64_t row = 0; row < count; ++row) {
      if (keys_in_block(first + row, block) == 0) continue;
      deliver(first + row, products_ + row * shape_.row_size, block_max_[row], block_total_[row]);
    }
  }
}

// ---- Sums over blocks.

void TileRunner::reset(std::int64_t num_queries) {
  std::fill(max_, max_ + num_queries, -kInfinity);
  std::fill(total_, total_ + num_queries, 0.0F);
  std::fill(sums_, sums_ + num_queries * shape_.row_size, 0.0F);
}

/// One step of the online softmax.
void TileRunner::merge(std::int64_t query, const float* products, float max, float total) {
  const float highest = std::max(max_[query], max);
  // Nothing but -inf so far: 2^(-inf - 0) is the 0 that it weighs, 2^(-inf - -inf) would be NaN.
  const float shift = highest == -kInfinity ? 0.0F : highest;
  const float keep = shape_.kernels.power_of_two(max_[query] - shift);
  const float gain = shape_.kernels.power_of_two(max - shift);
  total_[query] = total_[query] * keep + total * gain;
  shape_.kernels.merge(products, shape_.row_size, keep, gain, sums_ + query * shape_.row_size);
  max_[query] = highest;
}

void TileRunner::finish(const Tile& tile) {
  for (std::int64_t query = 0; query < tile.num_queries(); ++query) {
    const std::int64_t row = tile.first_row + query / tile.num_heads;
    const Run out = row_of(attention_.out, row, tile.first_head + query % tile.num_heads);
    float* sums = sums_ + query * shape_.row_size;
    if (attention_.keys_of(row) > 0) rows_.scale(sums, 1.0F / total_[query], sums, shape_.D);
    write_run(rows_, sums, out, shape_.D);
  }
}

void TileRunner::run(const Tile& tile, const PackedBlock* blocks) {
  load_queries(tile);
  reset(tile.num_queries());
  const std::int64_t num_keys = most_keys(attention_, tile);
  for (std::int64_t block = 0; block * kAttentionKeyBlock < num_keys; ++block) {
    if (blocks == nullptr) pack(tile.source, block, num_keys, own_blocks_[0]);
    const bool fetches = blocks != nullptr && (block + 1) * kAttentionKeyBlock < num_keys;
    for_each_product(tile, block, blocks == nullptr ? own_blocks_[0] : blocks[block],
                     fetches ? blocks[block + 1].data : nullptr,
                     [&](std::int64_t query, const float* products, float max, float total) {
                       merge(query, products, max, total);
                     });
  }
  finish(tile);
}

void TileRunner::run_parts(const TilePart* parts, int count, std::int64_t block) {
  const std::int64_t first = block * kAttentionKeyBlock;
  std::int64_t end[kMostTogether];
  std::int64_t last = first;
  for (int i = 0; i < count; ++i) {
    own_blocks_[i].is_finite = true;
    end[i] = std::min(most_keys(attention_, *parts[i].tile), first + kAttentionKeyBlock);
    last = std::max(last, end[i]);
  }
  for (std::int64_t j = first; j < last; j += kDepthStep) {
    for (int i = 0; i < count; ++i) {
      if (j < end[i]) pack_keys_and_values(parts[i].tile->source, j, end[i], own_blocks_[i]);
    }
  }
  for (int i = 0; i < count; ++i) {
    load_queries(*parts[i].tile);
    for_each_product(*parts[i].tile, block, own_blocks_[i], nullptr,
                     [&](std::int64_t query, const float* products, float max, float total) {
                       float* part = parts[i].out + query * shape_.part_size();
                       std::copy(products, products + shape_.row_size, part);
                       part[shape_.row_size] = max;
                       part[shape_.row_size + 1] = total;
                     });
  }
}

void TileRunner::merge_parts(const Tile& tile, const float* parts, std::int64_t stride) {
  reset(tile.num_queries());
  for (std::int64_t query = 0; query < tile.num_queries(); ++query) {
    const std::int64_t num_keys = attention_.keys_of(tile.first_row + query / tile.num_heads);
    const float* part = parts + query * shape_.part_size();
    for (std::int64_t key = 0; key < num_keys; key += kAttentionKeyBlock, part += stride) {
      merge(query, part, part[shape_.row_size], part[shape_.row_size + 1]);
    }
  }
  finish(tile);
}

}  // namespace cardloom::cpu
