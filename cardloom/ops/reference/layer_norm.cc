#include "cardloom/ops/layer_norm.h"

#include <cmath>

#include "cardloom/ops/reference/element.h"
#include "cardloom/ops/reference/reference.h"

namespace cardloom::reference {

void layer_norm(const KernelContext&, const LayerNormArgs& args) {
  const std::int64_t T = args.x.shape[0];
  const std::int64_t H = args.x.shape[1];
  const auto count = static_cast<double>(H);
  for (std::int64_t t = 0; t < T; ++t) {
    double sum = 0;  // f64, so that it can judge any order of summing in f32
    for (std::int64_t h = 0; h < H; ++h) sum += load(args.x, t, h);
    const double mean = sum / count;
    double squares = 0;
    for (std::int64_t h = 0; h < H; ++h) {
      const double value = load(args.x, t, h) - mean;
      squares += value * value;
    }
    const double inverse = 1.0 / std::sqrt(squares / count + static_cast<double>(args.eps));
    for (std::int64_t h = 0; h < H; ++h) {
      double value = (load(args.x, t, h) - mean) * inverse * load(args.weight, h);
      value += load(args.bias, h);
      if (args.residual.rank != 0) value += load(args.residual, t, h);
      store(args.out, static_cast<float>(value), t, h);
    }
  }
}

}  // namespace cardloom::reference
