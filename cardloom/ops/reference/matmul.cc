#include <algorithm>
#include <cmath>
#include <vector>

#include "cardloom/base/error.h"
#include "cardloom/ops/reference/element.h"
#include "cardloom/ops/reference/reference.h"
#include "cardloom/quant/activation_group.h"

namespace cardloom::reference {
namespace {

/// One group of row m's activations as int8, f32 values taken from `k_begin` on.
ActivationGroup quantise_group(const TensorView& x, std::int64_t m, std::int64_t k_begin,
                               std::int64_t count, std::int8_t* q) {
  float values[128];  // the largest group
  for (std::int64_t i = 0; i < count; ++i) values[i] = load(x, m, k_begin + i);
  return quantise_activations(values, count, q);
}

/// Group after group: exact in i32 inside, one fused multiply-add a group.
float quantised_sum(const TensorView& x, const PackedPiece& piece, WeightFormat format,
                    std::int64_t m, std::int64_t n) {
  float sum = 0;
  for (std::int64_t begin = 0; begin < piece.k_count; begin += format.group) {
    const std::int64_t count = std::min<std::int64_t>(format.group, piece.k_count - begin);
    std::int8_t q[128];
    const ActivationGroup group = quantise_group(x, m, piece.k_begin + begin, count, q);
    std::int32_t dot = 0;
    float scale = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      const QuantisedElement w = packed_quantised(piece, format, n, begin + i);
      dot += q[i] * w.q;
      scale = w.scale;
    }
    sum = std::fma(static_cast<float>(dot), group.scale * scale, sum);
  }
  return sum;
}

/// sum over k of x[m, k_begin + k] * w[n, k] of one piece, sequentially in f32.
float piece_sum(const TensorView& x, const PackedPiece& piece, WeightFormat format, std::int64_t m,
                std::int64_t n) {
  if (format.is_quantised()) return quantised_sum(x, piece, format, m, n);
  float sum = 0;
  for (std::int64_t k = 0; k < piece.k_count; ++k) {
    sum += load(x, m, piece.k_begin + k) * packed_element(piece, format, n, k);
  }
  return sum;
}

/// ((sum + bias) + residual), rounded once to out's dtype.
void finish(const TensorView& out, const TensorView& bias, const TensorView& residual,
            std::int64_t m, std::int64_t n, float sum) {
  if (bias.rank == 1) sum += load(bias, n);
  if (residual.rank == 2) sum += load(residual, m, n);
  store(out, sum, m, n);
}

void product(const TensorView& x, const PackedMatrix& w, const TensorView& bias,
             const TensorView& residual, const TensorView& out) {
  for (std::int64_t m = 0; m < out.shape[0]; ++m) {
    for (int index = 0; index < w.num_pieces; ++index) {
      const PackedPiece& piece = w.pieces[index];
      for (std::int64_t n = 0; n < piece.num_columns; ++n) {
        finish(out, bias, residual, m, piece.out_begin + n, piece_sum(x, piece, w.format, m, n));
      }
    }
  }
}

}  // namespace

void matmul(const KernelContext&, const MatmulArgs& args) {
  product(args.x, args.w, args.bias, TensorView{}, args.out);
}

void conv2d(const KernelContext&, const Conv2dArgs& args) {
  const std::int64_t patch = args.patch;
  const std::int64_t columns = args.image.shape[2] / patch;
  const std::int64_t K = args.w.K;
  std::vector<float> values(static_cast<std::size_t>(args.out.shape[0] * K));
  const TensorView patches = make_view(values.data(), DType::kF32, {args.out.shape[0], K});
  for (std::int64_t row = 0; row < args.out.shape[0]; ++row) {
    for (std::int64_t k = 0; k < K; ++k) {
      const std::int64_t c = k / (patch * patch);
      const std::int64_t y = (row / columns) * patch + (k / patch) % patch;
      const std::int64_t x = (row % columns) * patch + k % patch;
      float value = load(args.image, c, y, x);
      if (args.w.format != WeightFormat::kF32) value = to_f32(to_bf16(value));
      *patches.at<float>(row, k) = value;
    }
  }
  product(patches, args.w, args.bias, args.residual, args.out);
}

void matmul_all_reduce(const KernelContext& context, const MatmulAllReduceArgs& args) {
  Communicator& comm = *args.comm;
  const PackedMatrix& w = args.w;
  const std::int64_t N = w.N;
  const int end_leaf = w.first_leaf + w.num_pieces;
  LeafRange roots[kMaxRoots];
  const int num_roots = subtree_roots(w.num_leaves, {w.first_leaf, end_leaf}, roots);

  // One row a call: the smallest buffer serves, and who reads this sees every step.
  for (std::int64_t m = 0; m < std::max<std::int64_t>(args.out.shape[0], 1); ++m) {
    CallDescriptor descriptor = describe_call(context, OpId::kMatmulAllReduce, args.out);
    descriptor.num_leaves = w.num_leaves;
    descriptor.first_leaf = w.first_leaf;
    descriptor.end_leaf = end_leaf;
    descriptor.row = m;
    const std::uint64_t call = comm.enter(descriptor, *context.log, *context.record);
    const bool has_row = m < args.out.shape[0];
    auto* sums = reinterpret_cast<float*>(comm.buffer(comm.rank(), call));  // [root][N]
    for (int root = 0; has_row && root < num_roots; ++root) {
      for (std::int64_t n = 0; n < N; ++n) {
        float leaf_sums[kMaxLeaves];
        LeafRange leaves[kMaxLeaves];
        const int count = roots[root].end - roots[root].begin;
        for (int leaf = 0; leaf < count; ++leaf) {
          leaves[leaf] = {leaf, leaf + 1};
          leaf_sums[leaf] =
              piece_sum(args.x, w.pieces[roots[root].begin - w.first_leaf + leaf], w.format, m, n);
        }
        const TreeProgram program = make_tree_program(count, leaves, count);
        for (int add = 0; add < program.num_adds; ++add) {
          leaf_sums[program.adds[add].into] += leaf_sums[program.adds[add].from];
        }
        sums[root * N + n] = leaf_sums[0];
      }
    }
    comm.post(call, 0);

    LeafRange sources[kMaxLeaves];
    const float* source_sums[kMaxLeaves];
    int num_sources = 0;
    for (int peer = 0; peer < comm.world_size(); ++peer) {
      comm.expect(peer, call);
      comm.wait(peer, call, 0);
      const CallDescriptor& theirs = comm.descriptor(peer, call);
      LeafRange peer_roots[kMaxRoots];
      const int count =
          subtree_roots(w.num_leaves, {theirs.first_leaf, theirs.end_leaf}, peer_roots);
      for (int root = 0; root < count; ++root) {
        sources[num_sources] = peer_roots[root];
        source_sums[num_sources++] =
            reinterpret_cast<const float*>(comm.buffer(peer, call)) + root * N;
      }
    }
    const TreeProgram program = make_tree_program(w.num_leaves, sources, num_sources);
    for (std::int64_t n = 0; has_row && n < N; ++n) {
      float values[kMaxLeaves] = {};
      for (int source = 0; source < num_sources; ++source) values[source] = source_sums[source][n];
      for (int add = 0; add < program.num_adds; ++add) {
        values[program.adds[add].into] += values[program.adds[add].from];
      }
      finish(args.out, args.bias, args.residual, m, n, values[0]);
    }
  }
}

}  // namespace cardloom::reference
