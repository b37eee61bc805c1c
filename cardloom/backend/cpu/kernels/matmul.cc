#include "cardloom/backend/cpu/kernels/matmul.h"

#include <algorithm>

#include "cardloom/backend/cpu/kernels/gemm_driver.h"

namespace cardloom::cpu {
namespace {

/// Rows packed at once: 512 rows of K = 13,696 are 14 MB, which the last-level cache holds; and a
/// panel group is read again only every 512 rows.
constexpr std::int64_t kRowsAtOnce = 512;
/// A task: 8 blocks = 96 rows of a K = 4,096 product are 0.8 MB of activations, in L2 with a panel.
constexpr std::int64_t kBlocksPerTask = 8;
/// With so few rows weights dominate: a task is a panel group over all rows.
constexpr std::int64_t kPanelsPerTask = 4;

struct PanelRef {
  int piece;
  std::int64_t index;
};

/// All panels of all pieces in order; piece borders never share a panel.
std::vector<PanelRef> list_panels(const PackedMatrix& w) {
  std::vector<PanelRef> panels;
  for (int piece = 0; piece < w.num_pieces; ++piece) {
    for (std::int64_t index = 0; index < num_panels(w.pieces[piece]); ++index) {
      panels.push_back({piece, index});
    }
  }
  return panels;
}

void product(CpuDevice& device, const ActivationSource& all, const PackedMatrix& w,
             const Epilogue& epilogue) {
  const std::int64_t M = epilogue.out.shape[0];
  const std::vector<PanelRef> panels = list_panels(w);
  const auto num_panels_total = static_cast<std::int64_t>(panels.size());
  for (std::int64_t row = 0; row < M; row += kRowsAtOnce) {
    const ActivationLayout layout(w, std::min(kRowsAtOnce, M - row));
    std::byte* packed = device.scratch(CpuDevice::kShared, layout.bytes());
    ActivationSource source = all;
    source.first_row = row;
    pack_activations(device, source, layout, packed);
    const std::int64_t block_groups = (layout.num_blocks() + kBlocksPerTask - 1) / kBlocksPerTask;
    const std::int64_t panel_groups = (num_panels_total + kPanelsPerTask - 1) / kPanelsPerTask;
    // Neighbouring tasks share their panels: those are still in this core's L2.
    device.pool().parallel_for(block_groups * panel_groups, [&](std::int64_t task, int) {
      alignas(64) float tile[kTileElements];
      const std::int64_t first_block = task % block_groups * kBlocksPerTask;
      const std::int64_t first_panel = task / block_groups * kPanelsPerTask;
      const std::int64_t end_block = std::min(first_block + kBlocksPerTask, layout.num_blocks());
      const std::int64_t end_panel = std::min(first_panel + kPanelsPerTask, num_panels_total);
      for (std::int64_t index = first_panel; index < end_panel; ++index) {
        const PackedPiece& piece = w.pieces[panels[static_cast<std::size_t>(index)].piece];
        const Panel panel = panel_of(piece, panels[static_cast<std::size_t>(index)].index);
        for (std::int64_t block = first_block; block < end_block; ++block) {
          segment_tile(device, layout, packed, block, 0, piece, panel, tile);
          store_sums(device, epilogue, row + block * kMicroRows, piece.out_begin + panel.first,
                     layout.rows_of(block), panel.columns, tile);
        }
      }
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
