#pragma once

#include "cardloom/layers/step_context.h"
#include "cardloom/models/glm4v/config.h"
#include "cardloom/models/glm4v/weights.h"
#include "cardloom/models/model.h"
#include "cardloom/ops/kv_append.h"

namespace cardloom::glm4v {

/// One layer of the text model, this rank's share of it: `heads` query heads, the KV groups they
/// read and I of the intermediate features. qkv and gate_up are cut by output feature, o and down
/// by input feature, so each half ends in one sum over ranks, and ranks exchange nothing else.
/// Source: Shoeybi et al. 2019, arXiv:1909.08053, section 3.
class DecoderLayer {
 public:
  /// `weights` must outlive this.
  DecoderLayer(const Glm4vConfig& config, const RankWeights& weights, std::int64_t index);

  /// wanted += attention(norm(hidden)); wanted += swiglu(norm(wanted))
  ///
  /// hidden  the model's dtype  [T, H], contiguous; the same on every rank before and after
  /// wanted  as hidden          hidden itself; or, in the last layer, rows input.logits_rows of it,
  ///                            there or elsewhere: nobody reads the others any more, so only their
  ///                            keys and values are computed. No rows are fine: the same on every
  ///                            rank, so all leave the layer without meeting
  /// cache   this layer's keys and values: those of the T rows are appended
  ///
  /// Source: GLMBlock in modeling_chatglm.py of glm-4v-9b.
  void forward(const StepContext& step, const ModelInput& input, const KvLayer& cache,
               const TensorView& hidden, const TensorView& wanted) const;

 private:
  void attend(const StepContext& step, const ModelInput& input, const KvLayer& cache,
              const TensorView& hidden, const TensorView& wanted) const;
  void feed_forward(const StepContext& step, const TensorView& hidden) const;

  const TextLayerWeights& weights_;
  const TensorView cos_sin_;
  const std::int64_t index_;
  const std::int64_t heads_;     ///< of this rank; may be 0
  const std::int64_t kv_heads_;  ///< of this rank
  const std::int64_t head_dim_;
  const std::int64_t first_head_;
  const std::int64_t first_group_;
  const std::int64_t heads_per_group_;
  const float eps_;
  const float scale_;
};

}  // namespace cardloom::glm4v
