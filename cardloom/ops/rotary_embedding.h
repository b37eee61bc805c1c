#pragma once

#include "cardloom/device/stream.h"

namespace cardloom {

struct RotaryEmbeddingArgs {
  static constexpr OpId kOp = OpId::kRotaryEmbedding;
  TensorView positions;
  TensorView cos_sin;
  TensorView x;
};

namespace ops {

/// For pairs i < R/2 of the first R elements of every head, in place, with c = cos_sin[p, i, 0],
/// s = cos_sin[p, i, 1], p = positions[t]:
///   (x[t, h, 2i], x[t, h, 2i+1]) = (x[2i]*c - x[2i+1]*s, x[2i+1]*c + x[2i]*s)
/// The elements from R on stay as they are.
///
/// positions  i32           [T], any stride; 0 <= positions[t] < num_positions
/// cos_sin    f32           [num_positions, R/2, 2], any strides; R <= D
/// x          f32|bf16|f16  [T, heads, D], any strides without overlap; changed in place
///
/// Products and their sum are rounded to f32 one by one (no FMA), the result once to x's dtype.
/// A position outside the table is a kInvalidArgument (with both numbers) when the kernel runs.
/// Throws kInvalidArgument on operands that do not fit.
/// Source: Su et al. 2021, arXiv:2104.09864, eq. (34); pairs and half width as apply_rotary_pos_emb
/// in modeling_chatglm.py of glm-4v-9b.
void rotary_embedding(Stream& stream, const TensorView& positions, const TensorView& cos_sin,
                      const TensorView& x, Location caller = Location::current());

}  // namespace ops
}  // namespace cardloom
