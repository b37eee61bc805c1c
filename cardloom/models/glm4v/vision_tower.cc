#include "cardloom/models/glm4v/vision_tower.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "cardloom/layers/trace.h"
#include "cardloom/ops/attention.h"
#include "cardloom/ops/conv2d.h"
#include "cardloom/ops/elementwise.h"
#include "cardloom/ops/layer_norm.h"
#include "cardloom/ops/matmul.h"
#include "cardloom/ops/matmul_all_reduce.h"

namespace cardloom::glm4v {

VisionTower::VisionTower(const VisionConfig& config, VisionTowerView weights)
    : config_(config),
      weights_(std::move(weights)),
      eps_(static_cast<float>(config.layer_norm_eps)),
      scale_(1.0F / std::sqrt(static_cast<float>(config.head_dim))) {}

void VisionTower::forward(const StepContext& step, const VisionStage& stage,
                          const TensorView& pixel_values, const TensorView& hidden,
                          const std::string& trace_suffix) const {
  const OpScope scope(step.stream.log(), "vision");
  if (stage.first_layer == 0) {
    embed(step, pixel_values, hidden);
    if (step.trace != nullptr) {
      step.trace->capture(step.stream, "vision.embed" + trace_suffix, hidden);
    }
  }
  for (int index = stage.first_layer; index < stage.end_layer; ++index) {
    const OpScope layer_scope(step.stream.log(), "layers", index);
    const VisionLayerView& layer = weights_.layers[static_cast<std::size_t>(index)];
    attend(step, layer, hidden);
    feed_forward(step, layer, hidden);
    if (step.trace != nullptr) {
      step.trace->capture(step.stream, fmt::format("vision.layer.{}{}", index, trace_suffix),
                          hidden);
    }
  }
}

/// hidden[0, :] = class token, hidden[1 + p, :] = patch p, each plus its position's row.
void VisionTower::embed(const StepContext& step, const TensorView& pixel_values,
                        const TensorView& hidden) const {
  ops::copy(step.stream, weights_.cls_row, hidden.slice(0, 0, 1));
  ops::conv2d(
      step.stream, pixel_values, weights_.patch.weight, hidden.slice(0, 1, hidden.shape[0]),
      {.patch = config_.patch_size, .bias = weights_.patch.bias, .residual = weights_.positions});
}

/// hidden += input_norm(attention(hidden)): every row sees every row.
void VisionTower::attend(const StepContext& step, const VisionLayerView& layer,
                         const TensorView& hidden) const {
  const OpScope scope(step.stream.log(), "attention");
  const Workspace::Scope scratch(step.workspace);
  const std::int64_t P = hidden.shape[0];
  const std::int64_t D = config_.head_dim;
  const std::int64_t heads = layer.qkv.weight.N / (3 * D);  // of this rank; may be 0

  const TensorView qkv = step.workspace.take(hidden.dtype, {P, 3 * heads * D});
  ops::matmul(step.stream, hidden, layer.qkv.weight, qkv, {.bias = layer.qkv.bias});
  const TensorView by_head = qkv.unflatten(1, D);  // [P, 3 * heads, D]
  const TensorView q = by_head.slice(1, 0, heads);
  const TensorView k = by_head.slice(1, heads, 2 * heads);
  const TensorView v = by_head.slice(1, 2 * heads, 3 * heads);

  const TensorView context = step.workspace.take(hidden.dtype, {P, heads * D});
  ops::attention(step.stream, q, k, v, context.unflatten(1, D), {.scale = scale_});

  const TensorView branch = step.workspace.take(hidden.dtype, {P, config_.hidden_size});
  ops::matmul_all_reduce(step.stream, step.comm, context, layer.dense.weight, branch,
                         {.bias = layer.dense.bias});
  ops::layer_norm(step.stream, branch, layer.input_norm.weight, layer.input_norm.bias, hidden,
                  {.eps = eps_, .residual = hidden});
}

/// hidden += post_norm(fc2(gelu(fc1(hidden)))).
void VisionTower::feed_forward(const StepContext& step, const VisionLayerView& layer,
                               const TensorView& hidden) const {
  const OpScope scope(step.stream.log(), "mlp");
  const Workspace::Scope scratch(step.workspace);
  const std::int64_t P = hidden.shape[0];

  const TensorView features = step.workspace.take(hidden.dtype, {P, layer.fc1.weight.N});
  ops::matmul(step.stream, hidden, layer.fc1.weight, features, {.bias = layer.fc1.bias});
  ops::gelu(step.stream, features, features);

  const TensorView branch = step.workspace.take(hidden.dtype, {P, config_.hidden_size});
  ops::matmul_all_reduce(step.stream, step.comm, features, layer.fc2.weight, branch,
                         {.bias = layer.fc2.bias});
  ops::layer_norm(step.stream, branch, layer.post_norm.weight, layer.post_norm.bias, hidden,
                  {.eps = eps_, .residual = hidden});
}

}  // namespace cardloom::glm4v
