#include "cardloom/ops/rotary_embedding.h"

#include "cardloom/ops/index_checks.h"
#include "cardloom/ops/reference/element.h"
#include "cardloom/ops/reference/reference.h"

namespace cardloom::reference {

void rotary_embedding(const KernelContext&, const RotaryEmbeddingArgs& args) {
  const TensorView& x = args.x;
  check_positions(args);
  for (std::int64_t t = 0; t < x.shape[0]; ++t) {
    const auto position = load_index<std::int32_t>(args.positions, t);
    for (std::int64_t h = 0; h < x.shape[1]; ++h) {
      for (std::int64_t i = 0; i < args.cos_sin.shape[1]; ++i) {
        const float c = load(args.cos_sin, position, i, 0);
        const float s = load(args.cos_sin, position, i, 1);
        const float even = load(x, t, h, 2 * i);
        const float odd = load(x, t, h, 2 * i + 1);
        store(x, even * c - odd * s, t, h, 2 * i);
        store(x, odd * c + even * s, t, h, 2 * i + 1);
      }
    }
  }
}

}  // namespace cardloom::reference
