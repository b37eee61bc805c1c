#include "bench/products.h"

#include "bench/support.h"
#include "cardloom/backend/cpu/kernels/matmul.h"

namespace cardloom::bench {
namespace {

/// All calls in one launch: what a launch costs is measured elsewhere.
void launch_calls(Stream& stream, int calls, const MatmulAllReduceArgs& args) {
  const Operand operands[] = {{args.x}, {args.out, OperandRole::kOutput}};
  OpRecord& record = stream.log().open(OpId::kMatmulAllReduce, operands, 2, Location::current());
  Stream* self = &stream;
  OpRecord* written = &record;
  stream.launch([self, written, calls, args] {
    OpLog::set_state(*written, OpState::kRunning);
    const KernelContext context{&self->device(), &self->log(), written};
    for (int call = 0; call < calls; ++call) cpu::matmul_all_reduce(context, args);
    OpLog::set_state(*written, OpState::kDone);
  });
}

}  // namespace

std::vector<Shape> glm4v_shapes() {
  return {{"text o", 4096, plan_head_leaves(32, 128), 512, true},
          {"text down", 4096, plan_feature_leaves(13696), 13696, true},
          {"vision fc2", 1792, plan_feature_leaves(15360), 0, false}};
}

int num_weight_copies(const Shape& shape, std::int64_t M, WeightFormat format) {
  if (M > 16) return 1;
  return static_cast<int>(kRotatedBytes / packed_bytes(format, shape.N, shape.K()) + 1);
}

Tensor random_bf16(std::initializer_list<std::int64_t> shape, std::uint32_t seed) {
  Tensor tensor(DType::kBF16, shape);
  auto* bits = tensor.view().at<std::uint16_t>();
  for (std::int64_t i = 0; i < tensor.view().num_elements(); ++i) {
    seed = seed * 1664525U + 1013904223U;
    // Sign and seven mantissa bits at exponent 2^-4: numbers of one size, none special.
    bits[i] = static_cast<std::uint16_t>(0x3d80U | ((seed >> 16) & 0x807fU));
  }
  return tensor;
}

Weights cut(const Tensor& w, WeightFormat format, const LeafPlan& plan, int tp, int num_copies) {
  Weights weights;
  for (int copy = 0; copy < num_copies; ++copy) {
    std::vector<PackedWeight>& ranks = weights.copies.emplace_back();
    for (int rank = 0; rank < tp; ++rank) {
      const IndexRange leaves = leaves_of_rank(plan.num_leaves, tp, rank);
      ranks.push_back(PackedWeight::leaves(w.view(), format, plan.border, plan.num_leaves,
                                           static_cast<int>(leaves.begin),
                                           static_cast<int>(leaves.end)));
    }
  }
  return weights;
}

double exchange_seconds(const ExchangeSize& size, cpu::Isa isa) {
  LeafPlan plan;
  plan.num_leaves = 2;
  plan.border[1] = 32;
  plan.border[2] = 64;
  const Tensor w = random_bf16({size.N, 64}, 1);
  const Weights halves = cut(w, WeightFormat::kBF16, plan, 2, 1);
  const Tensor x = random_bf16({size.M, 64}, 2);
  const Tensor out[2] = {Tensor(DType::kBF16, {size.M, size.N}),
                         Tensor(DType::kBF16, {size.M, size.N})};
  Cards cards(2, 1, isa);
  const auto all_calls = [&] {
    for (std::size_t rank = 0; rank < 2; ++rank) {
      const auto first = static_cast<std::int64_t>(rank) * 32;
      launch_calls(*cards.cards[rank].stream, size.calls(),
                   {.comm = &cards.group.communicator(static_cast<int>(rank)),
                    .x = x.view().slice(1, first, first + 32),
                    .w = halves.copies[0][rank].matrix(),
                    .bias = {},
                    .residual = {},
                    .out = out[rank].view()});
    }
    cards.synchronize();
  };
  return interleaved(9, {all_calls})[0] / size.calls();
}

}  // namespace cardloom::bench
