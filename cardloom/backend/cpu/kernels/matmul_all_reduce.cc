#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <vector>

#include "cardloom/backend/cpu/kernels/gemm_driver.h"
#include "cardloom/backend/cpu/kernels/matmul.h"
#include "cardloom/backend/cpu/kernels/row_kernels.h"
#include "cardloom/base/error.h"
#include "cardloom/base/integer_math.h"
#include "cardloom/ops/reference/element.h"
#include "cardloom/ops/reference/reference.h"

namespace cardloom::cpu {
namespace {

/// Up to here every rank reduces everything itself (one shot): the exchange is latency, not bytes.
constexpr std::int64_t kOneShotRows = 24;
/// One call's rows at the most: sums and results of 640 rows at N = 4,096 are 15 MiB, which the
/// communicator's buffer holds.
constexpr std::int64_t kMaxChunkRows = 640;

/// Columns of a row that a small exchange finishes at once: 8 sources of them fit L1.
constexpr std::int64_t kColumnsAtOnce = 512;
static_assert(kColumnsAtOnce <= kTileElements, "add_sources takes so many");

/// How many subtree roots any rank may own under the usual cut; the same on every rank.
int roots_bound(int num_leaves, int world_size) {
  const bool aligned = std::has_single_bit(static_cast<unsigned>(num_leaves)) &&
                       std::has_single_bit(static_cast<unsigned>(world_size)) &&
                       world_size <= num_leaves;
  return aligned ? 1 : kMaxRoots;
}

/// One call: some rows of the product, from this rank's view.
class Exchange {
 public:
  Exchange(const KernelContext& context, const MatmulAllReduceArgs& args, std::int64_t first_row,
           std::int64_t rows, std::byte* packed);

  void one_shot();
  void two_shot();
  /// No other rank: products straight to the output.
  void alone();

 private:
  void enter(std::uint64_t algorithm);
  void expect_peers();
  void plan_sources();
  /// Tile `index` of the exchange; its micro tiles in root 0's area of this rank.
  [[nodiscard]] TileGrid tile(std::int64_t index) const;
  [[nodiscard]] int owner(std::int64_t tile) const {
    return static_cast<int>(tile % comm_.world_size());
  }
  /// Two shots: elements before the micro tile (block, panel) in one root's area, and in the result
  /// area.
  [[nodiscard]] std::int64_t offset(std::int64_t block, std::int64_t panel) const {
    return layout_.block_rows() * (block * padded_columns_ + panel * kPanelColumns);
  }
  [[nodiscard]] float* sums(int rank, int root) const {
    return reinterpret_cast<float*>(comm_.buffer(rank, call_)) + root * area_elements_;
  }
  [[nodiscard]] std::byte* results(int rank) const {
    return comm_.buffer(rank, call_) + roots_bound_ * area_elements_ * 4;
  }
  void multiply(const TileGrid& tile, int worker);
  void multiply_rows(const TileGrid& tile, int worker);
  void finish_row(std::int64_t row, std::int64_t first, std::int64_t count) const;
  void add_sources(std::int64_t at, std::int64_t count, float* sum) const;
  void reduce_into_result(const TileGrid& tile);
  void copy_result(int from, const TileGrid& tile);
  void work(int worker);
  bool try_reduce_next();
  void reduce_owned(std::int64_t position);
  /// This worker's memory for `own` f32 and the tree's levels behind them.
  [[nodiscard]] float* spare(int worker, std::int64_t own = 0) const {
    return reinterpret_cast<float*>(device_.scratch(worker, (own + spare_elements(layout_)) * 4));
  }
  void run(void (Exchange::*body)(int));

  const KernelContext& context_;
  const MatmulAllReduceArgs& args_;
  CpuDevice& device_;
  Communicator& comm_;
  ActivationLayout layout_;
  std::byte* packed_;
  std::int64_t first_row_;
  std::int64_t num_panels_;
  std::int64_t padded_columns_;
  int roots_bound_;
  std::int64_t
      area_elements_;  ///< one root's area: rows (two shots: whole blocks) x padded columns
  LeafRange roots_[kMaxRoots];
  int num_roots_ = 0;
  std::uint64_t call_ = 0;

  int num_sources_ = 0;  ///< subtree roots of all ranks, left to right
  const float* sources_[kMaxLeaves] = {};
  TreeProgram program_;

  // Two-shot bookkeeping of the team.
  std::int64_t num_tiles_ = 0;
  std::int64_t row_groups_ = 0;
  std::vector<std::int64_t> product_order_;
  std::vector<std::int64_t> owned_;
  std::atomic<std::int64_t> next_product_{0};
  std::atomic<std::int64_t> next_owned_{0};
  std::atomic<std::int64_t> next_copy_{0};
  std::atomic<bool> peers_checked_{false};
};

Exchange::Exchange(const KernelContext& context, const MatmulAllReduceArgs& args,
                   std::int64_t first_row, std::int64_t rows, std::byte* packed)
    : context_(context),
      args_(args),
      device_(cpu_device(context)),
      comm_(*args.comm),
      layout_(device_.gemm(), args.w, rows),
      packed_(packed),
      first_row_(first_row),
      num_panels_(num_panels(args.w.N)),
      padded_columns_(num_panels_ * kPanelColumns),
      roots_bound_(roots_bound(args.w.num_leaves, args.comm->world_size())),
      area_elements_(layout_.num_blocks() == 1 ? rows * padded_columns_
                                               : offset(layout_.num_blocks(), 0)) {
  const int end_leaf = args.w.first_leaf + args.w.num_pieces;
  num_roots_ = subtree_roots(args.w.num_leaves, {args.w.first_leaf, end_leaf}, roots_);
  if (num_roots_ > roots_bound_ && comm_.world_size() > 1) {
    throw_error(ErrorCode::kInvalidArgument,
                fmt::format("rank {} owns leaves [{}, {}) of {}, which is not the even cut over {}",
                            comm_.rank(), args.w.first_leaf, end_leaf, args.w.num_leaves,
                            comm_.world_size()));
  }
  if (num_roots_ > 0)
    pack_activations(device_, {.x = args.x, .first_row = first_row}, layout_, packed_);
}

void Exchange::enter(std::uint64_t algorithm) {
  CallDescriptor descriptor = describe_call(context_, OpId::kMatmulAllReduce, args_.out);
  descriptor.num_leaves = args_.w.num_leaves;
  descriptor.first_leaf = args_.w.first_leaf;
  descriptor.end_leaf = args_.w.first_leaf + args_.w.num_pieces;
  descriptor.row = first_row_;
  descriptor.layout = algorithm;
  call_ = comm_.enter(descriptor, *context_.log, *context_.record);
}

void Exchange::expect_peers() {
  for (int peer = 0; peer < comm_.world_size(); ++peer) comm_.expect(peer, call_);
  plan_sources();
}

void Exchange::plan_sources() {
  LeafRange nodes[kMaxLeaves];
  num_sources_ = 0;
  for (int peer = 0; peer < comm_.world_size(); ++peer) {
    const CallDescriptor& theirs = comm_.descriptor(peer, call_);
    LeafRange roots[kMaxRoots];
    const int count = subtree_roots(theirs.num_leaves, {theirs.first_leaf, theirs.end_leaf}, roots);
    for (int root = 0; root < count; ++root) {
      nodes[num_sources_] = roots[root];
      sources_[num_sources_++] = sums(peer, root);
    }
  }
  program_ = make_tree_program(args_.w.num_leaves, nodes, num_sources_);
}

TileGrid Exchange::tile(std::int64_t index) const {
  const std::int64_t blocks = blocks_per_task(layout_);
  TileGrid grid;
  grid.first_block = index % row_groups_ * blocks;
  grid.end_block = std::min(grid.first_block + blocks, layout_.num_blocks());
  grid.first_panel = index / row_groups_ * panels_per_task(layout_);
  grid.end_panel = std::min(grid.first_panel + panels_per_task(layout_), num_panels_);
  grid.block_stride = layout_.block_rows() * padded_columns_;
  grid.panel_stride = layout_.block_rows() * kPanelColumns;
  return grid;
}

/// This rank's subtree roots of a tile, straight into its shared buffer.
void Exchange::multiply(const TileGrid& tile, int worker) {
  const KernelUse use(device_);
  float* others = spare(worker);
  for (int root = 0; root < num_roots_; ++root) {
    TileGrid part = tile;
    part.tiles = sums(comm_.rank(), root) + offset(tile.first_block, tile.first_panel);
    node_sums(device_, layout_, packed_, args_.w, roots_[root], part, others);
  }
}

/// sum[i] = the whole tree over element at + i of all ranks' roots, i < count <= kTileElements;
/// empty contributions are not added.
void Exchange::add_sources(std::int64_t at, std::int64_t count, float* sum) const {
  const auto bytes = static_cast<std::size_t>(count) * 4;
  if (num_sources_ == 0) {
    std::memset(sum, 0, bytes);
    return;
  }
  if (num_sources_ == 2) {
    device_.rows().add(sources_[0] + at, sources_[1] + at, sum, count);
    return;
  }
  alignas(64) float values[kMaxLeaves - 1][kTileElements];  // of sources 1..; source 0 is `sum`
  const auto value = [&](int source) { return source == 0 ? sum : values[source - 1]; };
  for (int source = 0; source < num_sources_; ++source) {
    std::memcpy(value(source), sources_[source] + at, bytes);
  }
  for (int add = 0; add < program_.num_adds; ++add) {
    float* into = value(program_.adds[add].into);
    device_.rows().add(into, value(program_.adds[add].from), into, count);
  }
}

/// This rank's subtree roots of some panels, as rows of the shared buffer [root][row][padded N]:
/// dense, so that the few bytes of a small exchange are few lines.
void Exchange::multiply_rows(const TileGrid& tile, int worker) {
  const KernelUse use(device_);
  float* memory = spare(worker, kTileElements);
  for (std::int64_t panel = tile.first_panel; panel < tile.end_panel; ++panel) {
    TileGrid part = tile;
    part.first_panel = panel;
    part.end_panel = panel + 1;
    for (int root = 0; root < num_roots_; ++root) {
      for (std::int64_t block = 0; block < layout_.num_blocks(); ++block) {
        part.first_block = block;
        part.end_block = block + 1;
        const TileGrid micro = part.in(memory);
        node_sums(device_, layout_, packed_, args_.w, roots_[root], micro, memory + kTileElements);
        float* to = sums(comm_.rank(), root) + block * layout_.block_rows() * padded_columns_ +
                    panel * kPanelColumns;
        for (std::int64_t i = 0; i < layout_.rows_of(block); ++i) {
          std::memcpy(to + i * padded_columns_, memory + i * kPanelColumns, kPanelColumns * 4);
        }
      }
    }
  }
}

/// out[row, first ..) = the whole tree over all ranks' roots, bias and residual, of one row.
void Exchange::finish_row(std::int64_t row, std::int64_t first, std::int64_t count) const {
  alignas(64) float sum[kColumnsAtOnce];
  add_sources(row * padded_columns_ + first, count, sum);
  store_row_sums(device_, {args_.out, args_.bias, args_.residual}, first_row_ + row, first, count,
                 sum);
}

void Exchange::one_shot() {
  enter(1);
  row_groups_ = 1;
  num_tiles_ = ceil_div(num_panels_, panels_per_task(layout_));
  device_.pool().parallel_for(
      num_tiles_, [&](std::int64_t index, int worker) { multiply_rows(tile(index), worker); });
  comm_.post(call_, 0);
  expect_peers();
  for (int peer = 0; peer < comm_.world_size(); ++peer) comm_.wait(peer, call_, 0);
  const std::int64_t runs = ceil_div(args_.w.N, kColumnsAtOnce);
  const auto finish = [&](std::int64_t task, int) {
    const std::int64_t first = task % runs * kColumnsAtOnce;
    finish_row(task / runs, first, std::min(kColumnsAtOnce, args_.w.N - first));
  };
  const std::int64_t num_tasks = layout_.rows() * runs;
  if (layout_.rows() == 1) {  // sooner done than a team is woken
    for (std::int64_t task = 0; task < num_tasks; ++task) finish(task, 0);
  } else {
    device_.pool().parallel_for(num_tasks, finish);
  }
}

/// Owner's part of a tile: sums, bias and residual once, one rounding; the result goes where every
/// rank reads it.
void Exchange::reduce_into_result(const TileGrid& tile) {
  alignas(64) float sum[kTileElements];
  const DType dtype = args_.out.dtype;
  for (std::int64_t index = tile.first_panel; index < tile.end_panel; ++index) {
    const std::int64_t first = index * kPanelColumns;
    const std::int64_t columns = panel_columns(args_.w.N, index);
    for (std::int64_t block = tile.first_block; block < tile.end_block; ++block) {
      const std::int64_t rows = layout_.rows_of(block);
      const std::int64_t row = first_row_ + block * layout_.block_rows();
      add_sources(offset(block, index), rows * kPanelColumns, sum);
      Epilogue epilogue;
      epilogue.out = make_view(results(comm_.rank()) + offset(block, index) * size_of(dtype), dtype,
                               {rows, kPanelColumns});
      if (args_.bias.rank == 1) {
        epilogue.bias = args_.bias.slice(0, first, first + columns);
      }
      if (args_.residual.rank == 2) {
        epilogue.residual =
            args_.residual.slice(0, row, row + rows).slice(1, first, first + columns);
      }
      store_sums(device_, epilogue, 0, 0, rows, columns, sum);
    }
  }
}

void Exchange::copy_result(int from, const TileGrid& tile) {
  const std::int64_t size = size_of(args_.out.dtype);
  for (std::int64_t block = tile.first_block; block < tile.end_block; ++block) {
    for (std::int64_t i = 0; i < layout_.rows_of(block); ++i) {
      const std::int64_t row = first_row_ + block * layout_.block_rows() + i;
      for (std::int64_t panel = tile.first_panel; panel < tile.end_panel; ++panel) {
        const std::int64_t first = panel * kPanelColumns;
        const std::int64_t columns = panel_columns(args_.w.N, panel);
        const std::byte* values = results(from) + (offset(block, panel) + i * kPanelColumns) * size;
        if (args_.out.stride[1] == 1) {
          std::memcpy(reference::address(args_.out, row, first), values,
                      static_cast<std::size_t>(columns * size));
          continue;
        }
        for (std::int64_t j = 0; j < columns; ++j) {
          std::memcpy(reference::address(args_.out, row, first + j), values + j * size,
                      static_cast<std::size_t>(size));
        }
      }
    }
  }
}

void Exchange::reduce_owned(std::int64_t position) {
  const std::int64_t index = owned_[static_cast<std::size_t>(position)];
  for (int peer = 0; peer < comm_.world_size(); ++peer) {
    comm_.wait(peer, call_, static_cast<int>(1 + index));
  }
  const TileGrid mine = tile(index);
  reduce_into_result(mine);
  comm_.post(call_, static_cast<int>(1 + num_tiles_ + index));
  copy_result(comm_.rank(), mine);  // while it is in L1
}

/// Reduces the next owned tile if every rank has delivered its part; never waits.
bool Exchange::try_reduce_next() {
  if (!peers_checked_.load(std::memory_order_acquire)) return false;
  std::int64_t position = next_owned_.load(std::memory_order_relaxed);
  if (position >= static_cast<std::int64_t>(owned_.size())) return false;
  const auto flag = static_cast<int>(1 + owned_[static_cast<std::size_t>(position)]);
  for (int peer = 0; peer < comm_.world_size(); ++peer) {
    if (!comm_.ready(peer, call_, flag)) return false;
  }
  if (!next_owned_.compare_exchange_strong(position, position + 1)) return false;
  reduce_owned(position);
  return true;
}

void Exchange::work(int worker) {
  const auto num_owned = static_cast<std::int64_t>(owned_.size());
  for (bool first = true;; first = false) {
    const std::int64_t position = next_product_.fetch_add(1, std::memory_order_relaxed);
    if (position >= num_tiles_) break;
    const std::int64_t index = product_order_[static_cast<std::size_t>(position)];
    multiply(tile(index), worker);
    comm_.post(call_, static_cast<int>(1 + index));
    if (first && worker == 0) {  // by now the peers are here too: the check costs no wait
      expect_peers();
      peers_checked_.store(true, std::memory_order_release);
    }
    while (try_reduce_next()) {
    }
  }
  if (worker == 0 && !peers_checked_.load(std::memory_order_acquire)) {
    expect_peers();
    peers_checked_.store(true, std::memory_order_release);
  }
  while (!peers_checked_.load(std::memory_order_acquire)) {
    comm_.throw_if_aborted();  // worker 0 is inside expect(), whose deadline bounds this
    __builtin_ia32_pause();
  }
  for (std::int64_t position = next_owned_.fetch_add(1); position < num_owned;
       position = next_owned_.fetch_add(1)) {
    reduce_owned(position);
  }
  for (std::int64_t index = next_copy_.fetch_add(1); index < num_tiles_;
       index = next_copy_.fetch_add(1)) {
    if (owner(index) == comm_.rank()) continue;
    comm_.wait(owner(index), call_, static_cast<int>(1 + num_tiles_ + index));
    copy_result(owner(index), tile(index));
  }
}

/// Runs `body` on the team; whoever fails ends the others' waits.
void Exchange::run(void (Exchange::*body)(int)) {
  device_.pool().run_team([&](int worker) {
    try {
      (this->*body)(worker);
    } catch (const GroupFailure&) {
      throw;
    } catch (const Exception& failure) {
      comm_.abort(failure.error());
      throw;
    } catch (const std::exception& failure) {  // out of memory, say: the team must not wait for us
      comm_.abort(context_.log->make_error(*context_.record, ErrorCode::kInternal, failure.what()));
      throw;
    }
  });
}

void Exchange::two_shot() {
  row_groups_ = ceil_div(layout_.num_blocks(), blocks_per_task(layout_));
  num_tiles_ = row_groups_ * ceil_div(num_panels_, panels_per_task(layout_));
  enter(2);
  // Tiles of the next rank first, own tiles last: ranks finish tiles of different owners at the
  // same time, and nobody's reduce waits for the end.
  for (int distance = 1; distance <= comm_.world_size(); ++distance) {
    const int whose = (comm_.rank() + distance) % comm_.world_size();
    for (std::int64_t index = whose; index < num_tiles_; index += comm_.world_size()) {
      product_order_.push_back(index);
      if (whose == comm_.rank()) owned_.push_back(index);
    }
  }
  run(&Exchange::work);
}

void Exchange::alone() {
  row_groups_ = ceil_div(layout_.num_blocks(), blocks_per_task(layout_));
  num_tiles_ = row_groups_ * ceil_div(num_panels_, panels_per_task(layout_));
  const Epilogue epilogue{args_.out, args_.bias, args_.residual};
  PackedPiece all_columns;  // every leaf has them
  all_columns.num_columns = args_.w.N;
  device_.pool().parallel_for(num_tiles_, [&](std::int64_t index, int worker) {
    const KernelUse use(device_);
    const TileGrid whole = tile(index);
    const std::int64_t own = whole.num_tiles() * kTileElements;
    float* memory = spare(worker, own);
    // One row block: panel by panel, as the leaves of a panel lie one after another. Else all
    // panels of a leaf, whose activations then stay in L2.
    const std::int64_t width = layout_.num_blocks() == 1 ? 1 : kPanelsPerTask;
    for (std::int64_t first = whole.first_panel; first < whole.end_panel; first += width) {
      TileGrid part = whole;
      part.first_panel = first;
      part.end_panel = std::min(first + width, whole.end_panel);
      part = part.in(memory);
      if (num_roots_ == 1) {
        node_sums(device_, layout_, packed_, args_.w, roots_[0], part, memory + own);
      } else {
        std::memset(memory, 0, static_cast<std::size_t>(own) * 4);
      }
      store_grid(device_, layout_, epilogue, first_row_, all_columns, part);
    }
  });
}

/// Rows of one call: what the buffer and the flags hold, cut evenly; the same on every rank.
std::int64_t chunk_rows(const MatmulAllReduceArgs& args, const GemmKernels& kernels) {
  const Communicator& comm = *args.comm;
  const std::int64_t M = args.out.shape[0];
  std::int64_t most = kMaxChunkRows;
  if (comm.world_size() > 1) {
    const std::int64_t padded = round_up(args.w.N, kPanelColumns);
    const std::int64_t row_bytes =
        padded * (4 * roots_bound(args.w.num_leaves, comm.world_size()) + size_of(args.out.dtype));
    const std::int64_t panel_groups =
        std::max<std::int64_t>(ceil_div(padded / kPanelColumns, kPanelsPerTask), 1);
    // Flags: one for small calls, then two a tile.
    const ActivationLayout layout(kernels, args.w, kMaxChunkRows);
    const std::int64_t row_groups = (Communicator::kNumFlags - 1) / 2 / panel_groups;
    most = std::min(most, row_groups * blocks_per_task(layout) * kernels.block_rows);
    most = std::min(most, comm.buffer_bytes() / std::max<std::int64_t>(row_bytes, 1));
    if (most < kernels.row_granule) {
      throw_error(ErrorCode::kResourceExhausted, "a row does not fit the communicator's buffer",
                  fmt::format("{} bytes a row, {} rows at once, {} bytes of buffer", row_bytes,
                              kernels.row_granule, comm.buffer_bytes()),
                  "make the group with a larger buffer");
    }
  }
  // Whole row blocks, but where the buffer holds less than one.
  const std::int64_t unit = most >= kernels.block_rows ? kernels.block_rows : kernels.row_granule;
  most -= most % unit;
  const std::int64_t chunks = std::max<std::int64_t>(ceil_div(M, most), 1);
  return std::min(most, round_up(std::max<std::int64_t>(ceil_div(M, chunks), 1), unit));
}

}  // namespace

void matmul_all_reduce(const KernelContext& context, const MatmulAllReduceArgs& args) {
  CpuDevice& device = cpu_device(context);
  const std::int64_t M = args.out.shape[0];
  const std::int64_t chunk = chunk_rows(args, device.gemm());
  const ActivationLayout largest(device.gemm(), args.w, std::min(M, chunk));
  std::byte* packed = device.scratch(CpuDevice::kShared, largest.bytes());
  for (std::int64_t row = 0; row < std::max<std::int64_t>(M, 1); row += chunk) {
    const std::int64_t rows = std::min(chunk, M - row);
    Exchange exchange(context, args, row, rows, packed);
    if (args.comm->world_size() == 1) {
      exchange.alone();
    } else if (rows <= std::max(kOneShotRows, device.gemm().block_rows) || args.w.N == 0) {
      exchange.one_shot();
    } else {
      exchange.two_shot();
    }
  }
}

}  // namespace cardloom::cpu
