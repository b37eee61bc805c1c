#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "cardloom/backend/cpu/kernels/operator_kernels.h"
#include "cardloom/backend/cpu/kernels/runs.h"
#include "cardloom/base/integer_math.h"
#include "cardloom/ops/index_checks.h"
#include "cardloom/ops/reference/element.h"

namespace cardloom::cpu {
namespace {

static_assert(kKeyBlock == kAttentionKeyBlock);

/// Queries (row, head) that share a block of keys while it is in the cache: enough that unpacking
/// the keys costs little beside using them; 64 queries and a block of D = 128 are about 130 KB.
constexpr std::int64_t kTileQueries = 64;

/// Both operators are one: full attention reads one sequence whose only block is all of k and v.
struct Attention {
  TensorView q;
  TensorView out;
  KvLayer cache;
  TensorView block_tables;  ///< rank 0: one block, the whole cache
  TensorView context_lens;  ///< rank 0: `num_keys` for every row
  std::int64_t num_keys = 0;
  float scale = 0;

  [[nodiscard]] std::int64_t keys_of(std::int64_t row) const {
    if (context_lens.rank == 0) return num_keys;
    return reference::load_index<std::int32_t>(context_lens, row);
  }
  [[nodiscard]] std::int64_t block_of(std::int64_t sequence, std::int64_t index) const {
    if (block_tables.rank == 0) return 0;
    return reference::load_index<std::int32_t>(block_tables, sequence, index);
  }
};

/// Rows x heads that read the same group of the same sequence.
struct Tile {
  std::int64_t sequence = 0;
  std::int64_t group = 0;
  std::int64_t first_row = 0;
  std::int64_t num_rows = 0;
  std::int64_t first_head = 0;
  std::int64_t num_heads = 0;
};

/// Heads [first, first + count) of one group.
struct HeadRange {
  std::int64_t group = 0;
  std::int64_t first = 0;
  std::int64_t count = 0;
};

/// Rows [first, first + count) of one sequence.
struct RowRange {
  std::int64_t sequence = 0;
  std::int64_t first = 0;
  std::int64_t count = 0;
};

/// Cuts rows x heads into tiles, the smaller the fewer there are, so that the team is busy. How it
/// is cut changes no bits. Later rows, which see more keys, come first.
std::vector<Tile> cut(const std::vector<RowRange>& rows, const std::vector<HeadRange>& heads,
                      int num_threads) {
  std::vector<Tile> tiles;
  for (std::int64_t queries = kTileQueries;; queries /= 2) {
    tiles.clear();
    for (const HeadRange& range : heads) {
      const std::int64_t head_step = std::min(range.count, queries);
      for (const RowRange& run : rows) {
        const std::int64_t row_step = std::max<std::int64_t>(1, queries / head_step);
        for (std::int64_t row = 0; row < run.count; row += row_step) {
          for (std::int64_t head = 0; head < range.count; head += head_step) {
            tiles.push_back({run.sequence, range.group, run.first + row,
                             std::min(row_step, run.count - row), range.first + head,
                             std::min(head_step, range.count - head)});
          }
        }
      }
    }
    if (static_cast<int>(tiles.size()) >= 2 * num_threads || queries <= 4) break;
  }
  std::stable_sort(tiles.begin(), tiles.end(),
                   [](const Tile& a, const Tile& b) { return a.first_row > b.first_row; });
  return tiles;
}

/// One worker's memory for one tile; all f32.
struct TileMemory {
  float* queries;   ///< [queries][D]
  float* scores;    ///< [queries][kKeyBlock]
  float* sums;      ///< [queries][row_size]
  float* maxima;    ///< [queries]
  float* totals;    ///< [queries]
  float* factors;   ///< [queries]
  float* key_rows;  ///< [kKeyBlock][row_size]
  float* keys;      ///< [D][kKeyBlock]
  float* values;    ///< [kKeyBlock][row_size]
};

class TileRunner {
 public:
  TileRunner(const Attention& attention, CpuDevice& device, int worker)
      : attention_(attention),
        kernels_(device.rows()),
        D_(attention.q.shape[2]),
        row_size_(round_up(D_, kRowPadding)) {
    const std::int64_t per_query = D_ + kKeyBlock + row_size_ + 3;
    const std::int64_t floats = kTileQueries * per_query + kKeyBlock * (2 * row_size_ + D_);
    auto* next = reinterpret_cast<float*>(
        device.scratch(worker, floats * static_cast<std::int64_t>(sizeof(float))));
    const auto take = [&](std::int64_t count) { return std::exchange(next, next + count); };
    memory_.sums = take(kTileQueries * row_size_);
    memory_.key_rows = take(kKeyBlock * row_size_);
    memory_.values = take(kKeyBlock * row_size_);
    memory_.keys = take(kKeyBlock * D_);
    memory_.scores = take(kTileQueries * kKeyBlock);
    memory_.queries = take(kTileQueries * D_);
    memory_.maxima = take(kTileQueries);
    memory_.totals = take(kTileQueries);
    memory_.factors = take(kTileQueries);
  }

  void run(const Tile& tile) {
    const std::int64_t most_keys = begin(tile);
    for (std::int64_t first = 0; first < most_keys; first += kKeyBlock) {
      unpack(tile, first, std::min(kKeyBlock, most_keys - first));
      add_block(first);
    }
    finish(tile);
  }

 private:
  /// Keys of a query that are in the block from `first` on.
  [[nodiscard]] std::int64_t keys_in_block(std::int64_t query, std::int64_t first) const {
    return std::clamp<std::int64_t>(num_keys_[query] - first, 0, kKeyBlock);
  }

  /// Loads the queries. Returns the most keys that any of them sees.
  std::int64_t begin(const Tile& tile) {
    num_queries_ = tile.num_rows * tile.num_heads;
    std::int64_t most_keys = 0;
    for (std::int64_t query = 0; query < num_queries_; ++query) {
      const std::int64_t row = tile.first_row + query / tile.num_heads;
      const std::int64_t head = tile.first_head + query % tile.num_heads;
      load_run(kernels_, row_of(attention_.q, row, head), D_, memory_.queries + query * D_);
      num_keys_[query] = attention_.keys_of(row);
      most_keys = std::max(most_keys, num_keys_[query]);
      memory_.maxima[query] = -std::numeric_limits<float>::infinity();
      memory_.totals[query] = 0;
    }
    std::memset(memory_.sums, 0,
                static_cast<std::size_t>(num_queries_ * row_size_) * sizeof(float));
    return most_keys;
  }

  /// Keys and values of positions [first, first + count) as f32, keys transposed.
  void unpack(const Tile& tile, std::int64_t first, std::int64_t count) {
    const std::int64_t block_size = attention_.cache.keys.shape[1];
    for (std::int64_t j = 0; j < count; ++j) {
      const std::int64_t block = attention_.block_of(tile.sequence, (first + j) / block_size);
      const std::int64_t place = (first + j) % block_size;
      const auto row = [&](const TensorView& part) {
        return row_of(part, block, place, tile.group);
      };
      float* value = memory_.values + j * row_size_;
      load_run(kernels_, row(attention_.cache.keys), D_, memory_.key_rows + j * row_size_);
      load_run(kernels_, row(attention_.cache.values), D_, value);
      std::fill(value + D_, value + row_size_, 0.0F);
    }
    kernels_.transpose_keys(memory_.key_rows, row_size_, count, D_, memory_.keys);
  }

  /// One step of every query's online softmax.
  void add_block(std::int64_t first) {
    kernels_.attention_scores(memory_.queries, num_queries_, memory_.keys, D_, attention_.scale,
                              memory_.scores);
    for (std::int64_t query = 0; query < num_queries_; ++query) {
      const std::int64_t count = keys_in_block(query, first);
      if (count == 0) continue;
      memory_.factors[query] =
          kernels_.softmax_step(memory_.scores + query * kKeyBlock, count, memory_.maxima + query,
                                memory_.totals + query);
    }
    for (std::int64_t query = 0; query < num_queries_;) {  // neighbours that see as many at once
      const std::int64_t count = keys_in_block(query, first);
      std::int64_t end = query + 1;
      while (end < num_queries_ && keys_in_block(end, first) == count) ++end;
      if (count > 0) {
        kernels_.attention_values(memory_.scores + query * kKeyBlock, memory_.factors + query,
                                  end - query, count, memory_.values, row_size_,
                                  memory_.sums + query * row_size_);
      }
      query = end;
    }
  }

  void finish(const Tile& tile) {
    for (std::int64_t query = 0; query < num_queries_; ++query) {
      const Run out = row_of(attention_.out, tile.first_row + query / tile.num_heads,
                             tile.first_head + query % tile.num_heads);
      float* sums = memory_.sums + query * row_size_;
      if (num_keys_[query] > 0) {
        kernels_.scale(sums, 1.0F / memory_.totals[query], sums, D_);
      }
      write_run(kernels_, sums, out, D_);
    }
  }

  const Attention& attention_;
  const RowKernels& kernels_;
  std::int64_t D_;
  std::int64_t row_size_;
  TileMemory memory_{};
  std::int64_t num_queries_ = 0;
  std::int64_t num_keys_[kTileQueries] = {};
};

void run_tiles(const KernelContext& context, const Attention& attention,
               const std::vector<Tile>& tiles) {
  CpuDevice& device = cpu_device(context);
  device.pool().parallel_for(
      static_cast<std::int64_t>(tiles.size()), [&](std::int64_t index, int worker) {
        TileRunner(attention, device, worker).run(tiles[static_cast<std::size_t>(index)]);
      });
}

/// Neighbouring rows of one sequence.
std::vector<RowRange> row_ranges(const TensorView& token_sequences) {
  std::vector<RowRange> ranges;
  for (std::int64_t t = 0; t < token_sequences.shape[0]; ++t) {
    const std::int64_t sequence = reference::load_index<std::int32_t>(token_sequences, t);
    if (ranges.empty() || ranges.back().sequence != sequence) ranges.push_back({sequence, t, 0});
    ++ranges.back().count;
  }
  return ranges;
}

std::vector<HeadRange> head_ranges(const PagedAttentionArgs& args) {
  std::vector<HeadRange> ranges;
  for (std::int64_t h = 0; h < args.q.shape[1]; ++h) {
    const std::int64_t group = (args.first_head + h) / args.heads_per_group - args.first_group;
    if (ranges.empty() || ranges.back().group != group) ranges.push_back({group, h, 0});
    ++ranges.back().count;
  }
  return ranges;
}

}  // namespace

void paged_attention(const KernelContext& context, const PagedAttentionArgs& args) {
  if (args.out.num_elements() == 0) return;
  check_block_tables(args);
  const Attention attention{args.q, args.out,  args.cache, args.block_tables, args.context_lens,
                            0,      args.scale};
  run_tiles(
      context, attention,
      cut(row_ranges(args.token_sequences), head_ranges(args), cpu_device(context).pool().size()));
}

void attention(const KernelContext& context, const AttentionArgs& args) {
  if (args.out.num_elements() == 0) return;
  const auto one_block = [](const TensorView& view) {  // [Pk, heads, D] as [1, Pk, heads, D]
    return view.shape[0] == 0 ? TensorView{} : view.unflatten(0, view.shape[0]);
  };
  Attention whole{args.q, args.out, {one_block(args.k), one_block(args.v)}, {}, {}, 0, 0};
  whole.num_keys = args.k.shape[0];
  whole.scale = args.scale;
  std::vector<HeadRange> heads;
  for (std::int64_t h = 0; h < args.q.shape[1]; ++h) heads.push_back({h, h, 1});
  run_tiles(context, whole,
            cut({{0, 0, args.q.shape[0]}}, heads, cpu_device(context).pool().size()));
}

}  // namespace cardloom::cpu
