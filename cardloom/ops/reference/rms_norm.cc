#include "cardloom/ops/rms_norm.h"

#include <cmath>

#include "cardloom/ops/reference/element.h"
#include "cardloom/ops/reference/reference.h"

namespace cardloom::reference {

void rms_norm(const KernelContext&, const RmsNormArgs& args) {
  const std::int64_t T = args.x.shape[0];
  const std::int64_t H = args.x.shape[1];
  for (std::int64_t t = 0; t < T; ++t) {
    double sum = 0;  // f64, so that it can judge any order of summing in f32
    for (std::int64_t h = 0; h < H; ++h) {
      const double value = load(args.x, t, h);
      sum += value * value;
    }
    const auto mean = static_cast<float>(sum / static_cast<double>(H));
    const float inverse = 1.0F / std::sqrt(mean + args.eps);
    for (std::int64_t h = 0; h < H; ++h) {
      store(args.out, load(args.x, t, h) * inverse * load(args.weight, h), t, h);
    }
  }
}

}  // namespace cardloom::reference
