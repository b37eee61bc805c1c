#include "cardloom/models/glm4v/decoder_layer.h"

#include <algorithm>
#include <cmath>

#include "cardloom/layers/row_selection.h"
#include "cardloom/ops/elementwise.h"
#include "cardloom/ops/matmul.h"
#include "cardloom/ops/matmul_all_reduce.h"
#include "cardloom/ops/paged_attention.h"
#include "cardloom/ops/rms_norm.h"
#include "cardloom/ops/rotary_embedding.h"

namespace cardloom::glm4v {

DecoderLayer::DecoderLayer(const Glm4vConfig& config, const RankWeights& weights,
                           std::int64_t index)
    : weights_(weights.layers[static_cast<std::size_t>(index)]),
      cos_sin_(weights.cos_sin),
      index_(index),
      heads_(weights.share.heads.size()),
      kv_heads_(weights.share.kv_groups.size()),
      head_dim_(config.head_dim),
      first_head_(weights.share.heads.begin),
      first_group_(weights.share.kv_groups.begin),
      heads_per_group_(config.num_heads / config.num_kv_heads),
      eps_(static_cast<float>(config.rms_norm_eps)),
      scale_(1.0F / std::sqrt(static_cast<float>(config.head_dim))) {}

void DecoderLayer::forward(const StepContext& step, const ModelInput& input, const KvLayer& cache,
                           const TensorView& hidden, const TensorView& wanted) const {
  const OpScope scope(step.stream.log(), "layers", index_);
  attend(step, input, cache, hidden, wanted);
  if (wanted.shape[0] > 0) feed_forward(step, wanted);
}

/// The attention's output takes the place of q in the packed qkv buffer: a row of it is read
/// whole before it is written, and nobody needs q afterwards. So o reads rows of heads * D
/// elements that lie (heads + 2 * kv_heads) * D apart.
void DecoderLayer::attend(const StepContext& step, const ModelInput& input, const KvLayer& cache,
                          const TensorView& hidden, const TensorView& wanted) const {
  const OpScope scope(step.stream.log(), "attention");
  const Workspace::Scope scratch(step.workspace);
  const std::int64_t T = hidden.shape[0];
  const std::int64_t D = head_dim_;

  const TensorView normed = step.workspace.take(hidden.dtype, {T, hidden.shape[1]});
  ops::rms_norm(step.stream, hidden, weights_.input_norm, normed, {.eps = eps_});

  const TensorView qkv = step.workspace.take(hidden.dtype, {T, (heads_ + 2 * kv_heads_) * D});
  ops::matmul(step.stream, normed, weights_.qkv.weight.matrix(), qkv, {.bias = weights_.qkv.bias});
  const TensorView by_head = qkv.unflatten(1, D);  // [T, heads + 2 * kv_heads, D]
  const TensorView k = by_head.slice(1, heads_, heads_ + kv_heads_);
  const TensorView v = by_head.slice(1, heads_ + kv_heads_, heads_ + 2 * kv_heads_);

  const TensorView q_and_k = by_head.slice(1, 0, heads_ + kv_heads_);
  ops::rotary_embedding(step.stream, input.positions, cos_sin_, q_and_k);
  ops::kv_append(step.stream, k, v, input.slot_mapping, cache);
  if (wanted.shape[0] == 0) return;

  const auto rows_of = [&](const TensorView& view) {
    return wanted.shape[0] == T ? view : select_rows(step, view, input.logits_rows);
  };
  const TensorView q = rows_of(by_head.slice(1, 0, heads_));
  ops::paged_attention(step.stream, q, cache, input.block_tables, rows_of(input.token_sequences),
                       rows_of(input.context_lens), q,
                       {.scale = scale_,
                        .first_head = first_head_,
                        .heads_per_group = heads_per_group_,
                        .first_group = first_group_});
  ops::matmul_all_reduce(step.stream, step.comm, q.flatten(1), weights_.o.weight.matrix(), wanted,
                         {.residual = wanted});
}

/// The product with `down` reads the gate half of gate_up in place: rows of I elements, 2 * I
/// apart.
void DecoderLayer::feed_forward(const StepContext& step, const TensorView& hidden) const {
  const OpScope scope(step.stream.log(), "mlp");
  const Workspace::Scope scratch(step.workspace);
  const std::int64_t T = hidden.shape[0];
  const PackedMatrix down = weights_.down.weight.matrix();
  const std::int64_t I = down.K;  // of this rank; may be 0

  const TensorView normed = step.workspace.take(hidden.dtype, {T, hidden.shape[1]});
  ops::rms_norm(step.stream, hidden, weights_.post_norm, normed, {.eps = eps_});

  const TensorView gate_up = step.workspace.take(hidden.dtype, {T, 2 * I});
  ops::matmul(step.stream, normed, weights_.gate_up.weight.matrix(), gate_up);
  const TensorView gate = gate_up.slice(1, 0, I);
  const TensorView up = gate_up.slice(1, I, 2 * I);
  ops::silu_and_mul(step.stream, gate, up, gate);
  ops::matmul_all_reduce(step.stream, step.comm, gate, down, hidden, {.residual = hidden});
}

}  // namespace cardloom::glm4v
