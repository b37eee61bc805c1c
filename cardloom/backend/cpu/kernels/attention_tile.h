#pragma once

#include <cstddef>
#include <cstdint>

#include "cardloom/backend/cpu/cpu_device.h"
#include "cardloom/backend/cpu/kernels/attention_kernels.h"
#include "cardloom/backend/cpu/kernels/runs.h"
#include "cardloom/ops/paged_attention.h"
#include "cardloom/ops/reference/element.h"

/// Attention of a tile of queries: what the workers of attention.cc do.
namespace cardloom::cpu {

/// Queries (row, head) that share a pass over packed keys: so many that a block of keys and values
/// (256 KB as bf16 at D = 128), fetched from the L3 cache, serves 30 times the time of its fetch;
/// they and their sums are 190 KB beside it in L2.
inline constexpr std::int64_t kTileQueries = 256;

/// Packed keys and values that are in memory at once, unless one source alone is more: what a
/// core's L2 and its share of L3 hold, and little beside a model.
inline constexpr std::int64_t kMostPackedBytes = std::int64_t{16} << 20;
/// Memory that the parts of tiles may take; with more, the tiles alone are shared out.
inline constexpr std::int64_t kMostPartBytes = std::int64_t{64} << 20;

/// All keys or all values of a cache.
struct CachePart {
  TensorView rows;
  TensorView scales;  ///< rank 0 unless i8
};

/// Both operators are one: full attention reads one sequence whose only block is all of k and v.
struct Attention {
  TensorView q;
  TensorView out;
  KvLayer cache;
  TensorView block_tables;  ///< rank 0: one block, the whole cache
  TensorView context_lens;  ///< rank 0: `num_keys` for every row
  std::int64_t num_keys = 0;
  float scale = 0;

  [[nodiscard]] CachePart keys() const { return {cache.keys, cache.key_scales}; }
  [[nodiscard]] CachePart values() const { return {cache.values, cache.value_scales}; }
  [[nodiscard]] std::int64_t keys_of(std::int64_t row) const {
    if (context_lens.rank == 0) return num_keys;
    return reference::load_index<std::int32_t>(context_lens, row);
  }
  [[nodiscard]] std::int64_t block_of(std::int64_t sequence, std::int64_t index) const {
    if (block_tables.rank == 0) return 0;
    return reference::load_index<std::int32_t>(block_tables, sequence, index);
  }
};

/// Keys and values that a query may read.
struct KeySource {
  std::int64_t sequence = 0;
  std::int64_t group = 0;
};

/// Rows x heads that read the same source.
struct Tile {
  KeySource source;
  std::int64_t first_row = 0;
  std::int64_t num_rows = 0;
  std::int64_t first_head = 0;
  std::int64_t num_heads = 0;

  [[nodiscard]] std::int64_t num_queries() const { return num_rows * num_heads; }
};

/// A tile's part of one block of keys.
struct TilePart {
  const Tile* tile = nullptr;
  float* out = nullptr;  ///< [num_queries][part_size]
};
/// Parts that one worker takes together: GLM-4's two groups, which are neighbours in the cache.
inline constexpr int kMostTogether = 2;

/// Of one problem on one path: the kernels, and the sizes of what they work on.
struct TileShape {
  TileShape(const Attention& attention, CpuDevice& device);

  const AttentionKernels& kernels;
  std::int64_t D;
  std::int64_t depth;              ///< D as kernels pad it
  std::int64_t num_panels;         ///< of values
  std::int64_t row_size;           ///< floats of a row of products
  std::int64_t key_panel_bytes;    ///< kPanel keys
  std::int64_t value_panel_bytes;  ///< kPanel elements of kAttentionKeyBlock values
  std::int64_t key_bytes;          ///< of a packed block
  std::int64_t value_bytes;

  [[nodiscard]] std::int64_t block_bytes() const { return key_bytes + value_bytes; }
  /// Floats of one query's part of one block: its products, their max and their total.
  [[nodiscard]] std::int64_t part_size() const { return row_size + kPanel; }
};

/// A block of keys and values as the kernels read it: keys, then values.
struct PackedBlock {
  std::byte* data = nullptr;
  bool is_finite = false;  ///< the values: then what a query does not see may be multiplied by 0
};

/// One worker's memory and steps. All of its results are the same for whatever tile a query is in.
class TileRunner {
 public:
  TileRunner(const Attention& attention, const TileShape& shape, CpuDevice& device, int worker);

  /// Packs keys [block * kAttentionKeyBlock, ...) that are below num_keys; pads with 0.
  void pack(const KeySource& source, std::int64_t block, std::int64_t num_keys,
            PackedBlock& packed) const;

  /// The tile from begin to end; `blocks` are packed ones, or null to pack in own memory.
  void run(const Tile& tile, const PackedBlock* blocks);

  /// The same block of up to kMostTogether tiles, whose keys and values are read side by side.
  void run_parts(const TilePart* parts, int count, std::int64_t block);
  /// What run() does, from the parts of all blocks, `stride` floats apart.
  void merge_parts(const Tile& tile, const float* parts, std::int64_t stride);

  /// The most keys that a query of the tile sees.
  [[nodiscard]] static std::int64_t most_keys(const Attention& attention, const Tile& tile);

 private:
  void load_queries(const Tile& tile);
  void reset(std::int64_t num_queries);
  [[nodiscard]] const void* operand_row(const Run& run, std::byte* staging) const;
  [[nodiscard]] const void* operand_row(const Run& run, float scale, std::byte* staging) const;
  void pack_step(const CachePart& part, const KeySource& source, std::int64_t first,
                 std::int64_t count, const void** rows) const;
  void pack_own_values(const KeySource& source, std::int64_t first, std::int64_t count);
  void pack_keys_and_values(const KeySource& source, std::int64_t first, std::int64_t end,
                            PackedBlock& packed) const;
  template <class Deliver>
  void for_each_product(const Tile& tile, std::int64_t block, const PackedBlock& packed,
                        const std::byte* next, Deliver deliver);
  void multiply_values(const Tile& tile, std::int64_t block, const PackedBlock& packed,
                       std::int64_t first, std::int64_t count);
  void merge(std::int64_t query, const float* products, float max, float total);
  void finish(const Tile& tile);

  /// Keys of a query that are in the block.
  [[nodiscard]] std::int64_t keys_in_block(std::int64_t query, std::int64_t block) const;

  const Attention& attention_;
  const TileShape& shape_;
  const RowKernels& rows_;
  std::byte* queries_ = nullptr;     ///< operands [kTileQueries][depth]
  float* sums_ = nullptr;            ///< [kTileQueries][row_size]
  float* scores_ = nullptr;          ///< [2 * kRowStep][kScoreRow]
  std::byte* weights_ = nullptr;     ///< operands [2 * kRowStep][kWeightRow]; or the scores
  float* products_ = nullptr;        ///< [2 * kRowStep][row_size]
  std::byte* staging_ = nullptr;     ///< operands [kDepthStep][depth]
  std::byte* zeros_ = nullptr;       ///< operands [depth]
  std::byte* numbers_ = nullptr;     ///< i8 [depth]
  std::byte* own_values_ = nullptr;  ///< value_bytes
  PackedBlock own_blocks_[kMostTogether];
  std::int64_t num_keys_[kTileQueries] = {};
  float max_[kTileQueries];
  float total_[kTileQueries];
  float block_max_[2 * kRowStep] = {};
  float block_total_[2 * kRowStep] = {};
};

}  // namespace cardloom::cpu
