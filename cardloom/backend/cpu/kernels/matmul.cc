#include "cardloom/backend/cpu/kernels/matmul.h"

#include <algorithm>

#include "cardloom/backend/cpu/kernels/gemm_driver.h"
#include "cardloom/base/integer_math.h"

namespace cardloom::cpu {
namespace {

struct PanelRange {
  int piece;
  std::int64_t first;
  std::int64_t end;
};

/// The panels of all pieces in tasks of a few; a task never crosses a piece's border.
std::vector<PanelRange> list_tasks(const PackedMatrix& w, std::int64_t panels) {
  std::vector<PanelRange> tasks;
  for (int piece = 0; piece < w.num_pieces; ++piece) {
    const std::int64_t total = num_panels(w.pieces[piece].num_columns);
    for (std::int64_t first = 0; first < total; first += panels) {
      tasks.push_back({piece, first, std::min(first + panels, total)});
    }
  }
  return tasks;
}

void product(CpuDevice& device, const ActivationSource& all, const PackedMatrix& w,
             const Epilogue& epilogue) {
  const std::int64_t M = epilogue.out.shape[0];
  for (std::int64_t row = 0; row < M; row += kProductRowsAtOnce) {
    const ActivationLayout layout(device.gemm(), w, std::min(kProductRowsAtOnce, M - row));
    const std::vector<PanelRange> tasks = list_tasks(w, panels_per_task(layout));
    std::byte* packed = device.scratch(CpuDevice::kShared, layout.bytes());
    ActivationSource source = all;
    source.first_row = row;
    pack_activations(device, source, layout, packed);
    const std::int64_t blocks = std::min(blocks_per_task(layout), layout.num_blocks());
    const std::int64_t row_groups = ceil_div(layout.num_blocks(), blocks);
    // Neighbouring tasks share their panels: one brings them to the shared cache for the other.
    const auto count = row_groups * static_cast<std::int64_t>(tasks.size());
    device.pool().parallel_for(count, [&](std::int64_t task, int worker) {
      const KernelUse use(device);
      const PanelRange& range = tasks[static_cast<std::size_t>(task / row_groups)];
      const PackedPiece& piece = w.pieces[range.piece];
      TileGrid grid;
      grid.first_block = task % row_groups * blocks;
      grid.end_block = std::min(grid.first_block + blocks, layout.num_blocks());
      grid.first_panel = range.first;
      grid.end_panel = range.end;
      grid = grid.in(reinterpret_cast<float*>(
          device.scratch(worker, blocks * kPanelsPerTask * kTileElements * 4)));
      segment_sums(device, layout, packed, 0, piece, grid);
      store_grid(device, layout, epilogue, row, piece, grid);
    });
  }
}

}  // namespace

void matmul(const KernelContext& context, const MatmulArgs& args) {
  product(cpu_device(context), {.x = args.x}, args.w, {args.out, args.bias, TensorView{}});
}

void conv2d(const KernelContext& context, const Conv2dArgs& args) {
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(args.w.K));
  for (std::int64_t k = 0; k < args.w.K; ++k) {
    offsets[static_cast<std::size_t>(k)] = k / (args.patch * args.patch) * args.image.stride[0] +
                                           k / args.patch % args.patch * args.image.stride[1] +
                                           k % args.patch * args.image.stride[2];
  }
  product(cpu_device(context),
          {.x = args.image, .patch = args.patch, .patch_offsets = offsets.data()}, args.w,
          {args.out, args.bias, args.residual});
}

}  // namespace cardloom::cpu
