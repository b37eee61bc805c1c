#include "cardloom/models/glm4v/projector.h"

#include <algorithm>

#include "cardloom/layers/trace.h"
#include "cardloom/ops/conv2d.h"
#include "cardloom/ops/elementwise.h"
#include "cardloom/ops/layer_norm.h"
#include "cardloom/ops/matmul.h"
#include "cardloom/ops/matmul_all_reduce.h"

namespace cardloom::glm4v {
namespace {

/// torch.nn.LayerNorm's default: the original builds this one norm without the config's
/// layer_norm_eps.
constexpr float kNormEps = 1e-5F;

/// Kernel and stride of the convolution that joins patches.
constexpr std::int64_t kJoinedPatches = 2;

}  // namespace

Projector::Projector(const VisionConfig& config, ProjectorView weights)
    : config_(config), weights_(weights) {}

void Projector::forward(const StepContext& step, const TensorView& hidden, const TensorView& embeds,
                        const std::string& trace_suffix) const {
  const OpScope scope(step.stream.log(), "projector");
  const Workspace::Scope scratch(step.workspace);
  const std::int64_t R = config_.num_projected();

  const TensorView projected = step.workspace.take(hidden.dtype, {R, embeds.shape[1]});
  project(step, hidden, projected, trace_suffix);
  const TensorView patches = embeds.slice(0, 1, R + 1);
  feed_forward(step, projected, patches);
  ops::scale(step.stream, patches, static_cast<float>(1.0 / config_.scaling_factor), patches);

  ops::copy(step.stream, weights_.boi, embeds.slice(0, 0, 1));
  ops::copy(step.stream, weights_.eoi, embeds.slice(0, R + 1, R + 2));
}

/// projected = gelu(norm(linear(conv(patches)))); the class token's row is dropped.
void Projector::project(const StepContext& step, const TensorView& hidden,
                        const TensorView& projected, const std::string& trace_suffix) const {
  const Workspace::Scope scratch(step.workspace);
  const TensorView joined =
      step.workspace.take(hidden.dtype, {projected.shape[0], weights_.conv.weight.N});
  const TensorView rows = hidden.slice(0, 1, hidden.shape[0]);  // row y * grid + x
  const TensorView image = rows.unflatten(0, config_.grid()).permute({2, 0, 1});  // [W, y, x]
  ops::conv2d(step.stream, image, weights_.conv.weight, joined,
              {.patch = kJoinedPatches, .bias = weights_.conv.bias});
  if (step.trace != nullptr) step.trace->capture(step.stream, "vision.conv" + trace_suffix, joined);

  ops::matmul(step.stream, joined, weights_.linear.weight, projected);
  ops::layer_norm(step.stream, projected, weights_.norm.weight, weights_.norm.bias, projected,
                  {.eps = kNormEps});
  ops::gelu(step.stream, projected, projected);
}

/// patches = down(silu(gate(projected)) * up(projected)). The product with `down` reads the gate
/// half of gate_up in place: rows of I elements, 2 * I apart.
void Projector::feed_forward(const StepContext& step, const TensorView& projected,
                             const TensorView& patches) const {
  const OpScope scope(step.stream.log(), "mlp");
  const Workspace::Scope scratch(step.workspace);
  const std::int64_t I = weights_.down.weight.K;  // of this rank; may be 0

  const TensorView gate_up = step.workspace.take(projected.dtype, {projected.shape[0], 2 * I});
  ops::matmul(step.stream, projected, weights_.gate_up.weight, gate_up);
  const TensorView gate = gate_up.slice(1, 0, I);
  const TensorView up = gate_up.slice(1, I, 2 * I);
  ops::silu_and_mul(step.stream, gate, up, gate);
  ops::matmul_all_reduce(step.stream, step.comm, gate, weights_.down.weight, patches);
}

}  // namespace cardloom::glm4v
