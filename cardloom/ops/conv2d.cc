#include "cardloom/ops/conv2d.h"

#include <fmt/format.h>

#include "cardloom/ops/matmul_rules.h"
#include "cardloom/ops/reference/reference.h"

namespace cardloom::ops {

void conv2d(Stream& stream, const TensorView& image, const PackedMatrix& w,
            const TensorView& out_view, const Conv2dOptions& options, Location caller) {
  OpLaunch launch(stream, OpId::kConv2d,
                  {in(image), weight(w), in(options.bias), in(options.residual), out(out_view)},
                  caller);
  const std::int64_t patch = options.patch;
  launch.require(w.num_leaves == 0, "w must not be cut along K");
  launch.require(image.rank == 3 && (image.dtype == DType::kF32 || image.dtype == DType::kBF16),
                 "image must be f32 or bf16 [C, Y, X]");
  if (patch < 1 || image.shape[1] % patch != 0 || image.shape[2] % patch != 0) {
    launch.refuse(
        fmt::format("patch {} does not divide {} x {}", patch, image.shape[1], image.shape[2]));
  }
  const std::int64_t rows = (image.shape[1] / patch) * (image.shape[2] / patch);
  TensorView patches =
      make_view(nullptr, activation_dtype(w.format), {rows, image.shape[0] * patch * patch});
  require_product(launch, patches, w, options.bias, out_view);
  require_residual(launch, options.residual, out_view);
  launch.require_apart(out_view, image, "image");
  launch.enqueue(activation_dtype(w.format), reference::conv2d,
                 Conv2dArgs{image, w, options.bias, options.residual, out_view, patch});
}

}  // namespace cardloom::ops
