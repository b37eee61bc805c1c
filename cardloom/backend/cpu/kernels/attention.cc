#include <algorithm>
#include <utility>
#include <vector>

#include "cardloom/backend/cpu/kernels/attention_tile.h"
#include "cardloom/backend/cpu/kernels/operator_kernels.h"
#include "cardloom/base/integer_math.h"
#include "cardloom/ops/index_checks.h"

namespace cardloom::cpu {
namespace {

/// Below this many tiles a thread, the blocks of keys are shared out too.
constexpr std::int64_t kTilesPerThread = 2;
/// Tiles become no smaller than one product of kernels.
constexpr std::int64_t kFewestQueries = kRowStep;

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

void add_tiles(const RowRange& rows, const HeadRange& heads, std::int64_t queries,
               std::vector<Tile>& tiles) {
  const std::int64_t head_step = std::min(heads.count, queries);
  const std::int64_t row_step = std::max<std::int64_t>(1, queries / head_step);
  for (std::int64_t row = 0; row < rows.count; row += row_step) {
    for (std::int64_t head = 0; head < heads.count; head += head_step) {
      tiles.push_back({{rows.sequence, heads.group},
                       rows.first + row,
                       std::min(row_step, rows.count - row),
                       heads.first + head,
                       std::min(head_step, heads.count - head)});
    }
  }
}

/// Neighbours with the same source.
std::vector<Tile> cut(const std::vector<RowRange>& rows, const std::vector<HeadRange>& heads,
                      std::int64_t fewest_tiles) {
  std::vector<Tile> tiles;
  for (std::int64_t queries = kTileQueries; queries >= kFewestQueries; queries /= 2) {
    tiles.clear();
    for (const HeadRange& range : heads) {
      for (const RowRange& run : rows) add_tiles(run, range, queries, tiles);
    }
    if (static_cast<std::int64_t>(tiles.size()) >= fewest_tiles) break;
  }
  return tiles;
}

bool same_source(const Tile& a, const Tile& b) {
  return a.source.sequence == b.source.sequence && a.source.group == b.source.group;
}

/// Whether packed keys would serve more than one tile; not so in a step that only decodes.
bool has_shared_source(const std::vector<Tile>& tiles) {
  return std::adjacent_find(tiles.begin(), tiles.end(), same_source) != tiles.end();
}

/// Tiles that read the same source, and what they share of it.
struct Share {
  KeySource source;
  std::int64_t num_keys = 0;
  std::vector<PackedBlock> blocks;  ///< empty: a single tile packs for itself
};

/// How the work is shared out. It changes no bits.
class Plan {
 public:
  Plan(const Attention& attention, CpuDevice& device)
      : attention_(attention), shape_(attention, device), device_(device) {}

  void run(const std::vector<RowRange>& rows, const std::vector<HeadRange>& heads) {
    const std::int64_t fewest = kTilesPerThread * device_.pool().size();
    const std::vector<Tile> tiles = cut(rows, heads, fewest);
    const bool few = static_cast<std::int64_t>(tiles.size()) < fewest;
    if ((few || !has_shared_source(tiles)) && run_parts(tiles)) return;
    for (std::size_t begin = 0; begin < tiles.size();) begin = run_shared(tiles, begin);
  }

 private:
  template <class Body>  // body(runner, index)
  void for_each(std::int64_t count, Body body) {
    device_.pool().parallel_for(count, [&](std::int64_t index, int worker) {
      TileRunner runner(attention_, shape_, device_, worker);
      body(runner, static_cast<std::size_t>(index));
    });
  }

  struct Part {
    std::size_t tile;
    std::int64_t block;
    std::int64_t offset;  ///< in floats
  };

  /// Few tiles, or none with shared keys: every (tile, block of keys) is a part, and then every
  /// tile's sum over blocks. Returns false, having done nothing, if that would take too much
  /// memory.
  bool run_parts(const std::vector<Tile>& tiles) {
    std::vector<Part> parts;
    std::vector<std::int64_t> offsets;
    std::int64_t floats = 0;
    for (std::size_t tile = 0; tile < tiles.size(); ++tile) {
      offsets.push_back(floats);
      const std::int64_t blocks =
          ceil_div(TileRunner::most_keys(attention_, tiles[tile]), kAttentionKeyBlock);
      for (std::int64_t block = 0; block < blocks; ++block) {
        parts.push_back({tile, block, floats});
        floats += tiles[tile].num_queries() * shape_.part_size();
      }
    }
    const std::int64_t bytes = floats * static_cast<std::int64_t>(sizeof(float));
    if (bytes > kMostPartBytes) return false;
    auto* memory = reinterpret_cast<float*>(device_.scratch(CpuDevice::kShared, bytes));
    const std::vector<std::size_t> tasks = put_together(tiles, parts);
    for_each(static_cast<std::int64_t>(tasks.size()) - 1,
             [&](TileRunner& runner, std::size_t index) {
               TilePart together[kMostTogether];
               int count = 0;
               for (std::size_t i = tasks[index]; i < tasks[index + 1]; ++i) {
                 together[count++] = {&tiles[parts[i].tile], memory + parts[i].offset};
               }
               runner.run_parts(together, count, parts[tasks[index]].block);
             });
    for_each(static_cast<std::int64_t>(tiles.size()), [&](TileRunner& runner, std::size_t tile) {
      runner.merge_parts(tiles[tile], memory + offsets[tile],
                         tiles[tile].num_queries() * shape_.part_size());
    });
    return true;
  }

  /// Sorts the parts so that those of one sequence's block are neighbours, and returns where each
  /// task begins, then their end. Groups of a token are neighbours in memory: read together they
  /// are one stream (1.6 times the bandwidth), which pays where there are tasks enough for the
  /// team.
  std::vector<std::size_t> put_together(const std::vector<Tile>& tiles, std::vector<Part>& parts) {
    const auto place = [&](const Part& part) {
      return std::pair(tiles[part.tile].source.sequence, part.block);
    };
    std::stable_sort(parts.begin(), parts.end(),
                     [&](const Part& a, const Part& b) { return place(a) < place(b); });
    const bool enough =
        parts.size() >= 2 * kMostTogether * static_cast<std::size_t>(device_.pool().size());
    std::vector<std::size_t> begins;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const bool joins = enough && i > 0 && place(parts[i]) == place(parts[i - 1]) &&
                         i - begins.back() < kMostTogether;
      if (!joins) begins.push_back(i);
    }
    begins.push_back(parts.size());
    return begins;
  }

  /// Tiles from `begin` on until packed keys fill kMostPackedBytes. Returns the first one left.
  std::size_t run_shared(const std::vector<Tile>& tiles, std::size_t begin) {
    std::vector<Share> shares;
    std::vector<std::size_t> share_of;
    std::int64_t packed_bytes = 0;
    std::size_t end = begin;
    while (end < tiles.size()) {
      Share share = next_share(tiles, end, share_of, shares.size());
      const auto blocks = static_cast<std::int64_t>(share.blocks.size());
      packed_bytes += blocks * shape_.block_bytes();
      shares.push_back(std::move(share));
      if (packed_bytes >= kMostPackedBytes) break;
    }
    pack(shares, packed_bytes);
    for_each(static_cast<std::int64_t>(end - begin), [&](TileRunner& runner, std::size_t index) {
      const std::size_t last_first = share_of.size() - 1 - index;  // later rows see more keys
      const Share& share = shares[share_of[last_first]];
      runner.run(tiles[begin + last_first], share.blocks.empty() ? nullptr : share.blocks.data());
    });
    return end;
  }

  /// The tiles with the source of tiles[end]; moves `end` behind them.
  Share next_share(const std::vector<Tile>& tiles, std::size_t& end,
                   std::vector<std::size_t>& share_of, std::size_t index) {
    Share share{tiles[end].source, 0, {}};
    const std::size_t first = end;
    for (; end < tiles.size(); ++end) {
      if (!same_source(tiles[end], tiles[first])) break;
      share.num_keys = std::max(share.num_keys, TileRunner::most_keys(attention_, tiles[end]));
      share_of.push_back(index);
    }
    if (end - first > 1) {
      share.blocks.resize(static_cast<std::size_t>(ceil_div(share.num_keys, kAttentionKeyBlock)));
    }
    return share;
  }

  void pack(std::vector<Share>& shares, std::int64_t packed_bytes) {
    struct Task {
      Share* share;
      std::size_t block;
    };
    std::vector<Task> tasks;
    if (packed_bytes == 0) return;
    std::byte* next = device_.scratch(CpuDevice::kShared, packed_bytes);
    for (Share& share : shares) {
      for (std::size_t block = 0; block < share.blocks.size(); ++block) {
        share.blocks[block].data = next;
        next += shape_.block_bytes();
        tasks.push_back({&share, block});
      }
    }
    for_each(static_cast<std::int64_t>(tasks.size()), [&](TileRunner& runner, std::size_t index) {
      const Task& task = tasks[index];
      runner.pack(task.share->source, static_cast<std::int64_t>(task.block), task.share->num_keys,
                  task.share->blocks[task.block]);
    });
  }

  const Attention& attention_;
  TileShape shape_;
  CpuDevice& device_;
};

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
  Plan(attention, cpu_device(context)).run(row_ranges(args.token_sequences), head_ranges(args));
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
  Plan(whole, cpu_device(context)).run({{0, 0, args.q.shape[0]}}, heads);
}

}  // namespace cardloom::cpu
