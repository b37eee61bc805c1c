#include "cardloom/ops/attention.h"

#include "cardloom/ops/reference/element.h"
#include "cardloom/ops/reference/online_softmax.h"
#include "cardloom/ops/reference/reference.h"

namespace cardloom::reference {

void attention(const KernelContext&, const AttentionArgs& args) {
  const TensorView& q = args.q;
  for (std::int64_t p = 0; p < q.shape[0]; ++p) {
    for (std::int64_t h = 0; h < q.shape[1]; ++h) {
      attend_row(
          q.dtype, args.k.shape[0], q.shape[2], args.scale,
          [&](std::int64_t d) { return load(q, p, h, d); },
          [&](std::int64_t j, std::int64_t d) { return load(args.k, j, h, d); },
          [&](std::int64_t j, std::int64_t d) { return load(args.v, j, h, d); },
          [&](std::int64_t d, float result) { store(args.out, result, p, h, d); });
    }
  }
}

}  // namespace cardloom::reference
