#include "cardloom/ops/elementwise.h"

#include <cmath>

#include "cardloom/ops/reference/element.h"
#include "cardloom/ops/reference/reference.h"

namespace cardloom::reference {
namespace {

/// Calls visit(i, j, k, l) for every element of `view`; axes beyond its rank stay 0.
template <class Visit>
void for_each_index(const TensorView& view, Visit visit) {
  std::int64_t length[TensorView::kMaxRank] = {1, 1, 1, 1};
  for (int axis = 0; axis < view.rank; ++axis) length[axis] = view.shape[axis];
  for (std::int64_t i = 0; i < length[0]; ++i) {
    for (std::int64_t j = 0; j < length[1]; ++j) {
      for (std::int64_t k = 0; k < length[2]; ++k) {
        for (std::int64_t l = 0; l < length[3]; ++l) visit(i, j, k, l);
      }
    }
  }
}

}  // namespace

void silu_and_mul(const KernelContext&, const SiluAndMulArgs& args) {
  for_each_index(args.out, [&](std::int64_t i, std::int64_t j, std::int64_t k, std::int64_t l) {
    const float gate = load(args.gate, i, j, k, l);
    const float silu = gate / (1.0F + std::exp(-gate));
    store(args.out, silu * load(args.up, i, j, k, l), i, j, k, l);
  });
}

void gelu(const KernelContext&, const GeluArgs& args) {
  for_each_index(args.out, [&](std::int64_t i, std::int64_t j, std::int64_t k, std::int64_t l) {
    const double x = load(args.x, i, j, k, l);
    // erfc(-y) = 1 + erf(y), without cancellation for negative y.
    store(args.out, static_cast<float>(x / 2 * std::erfc(-x / std::sqrt(2.0))), i, j, k, l);
  });
}

void copy(const KernelContext&, const CopyArgs& args) {
  const bool same = args.x.dtype == args.out.dtype;
  const auto size = static_cast<std::size_t>(size_of(args.x.dtype));
  for_each_index(args.out, [&](std::int64_t i, std::int64_t j, std::int64_t k, std::int64_t l) {
    if (same) {
      std::memmove(address(args.out, i, j, k, l), address(args.x, i, j, k, l), size);
    } else {
      store(args.out, load(args.x, i, j, k, l), i, j, k, l);
    }
  });
}

void add(const KernelContext&, const AddArgs& args) {
  for_each_index(args.out, [&](std::int64_t i, std::int64_t j, std::int64_t k, std::int64_t l) {
    store(args.out, load(args.a, i, j, k, l) + load(args.b, i, j, k, l), i, j, k, l);
  });
}

void scale(const KernelContext&, const ScaleArgs& args) {
  for_each_index(args.out, [&](std::int64_t i, std::int64_t j, std::int64_t k, std::int64_t l) {
    store(args.out, load(args.x, i, j, k, l) * args.factor, i, j, k, l);
  });
}

}  // namespace cardloom::reference
