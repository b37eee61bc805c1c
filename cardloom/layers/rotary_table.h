#pragma once

#include "cardloom/tensor/tensor.h"

namespace cardloom {

struct RotaryTableOptions {
  std::int64_t num_positions;  ///< rows: the positions a model may use
  std::int64_t rotary_dim;     ///< rotated elements of a head; even
  double theta;                ///< base of the angles
  DType dtype;  ///< of the model: values are rounded to it, as the original code does
};

/// f32 [num_positions, rotary_dim/2, 2]: cos and sin of p * theta^(-2i / rotary_dim), as
/// ops::rotary_embedding reads them.
///
/// Angles in f64: at position 8191 an f32 angle is off by 2.4e-4, more than everything else in an
/// f32 run. Throws kInvalidArgument on an odd rotary_dim or a dtype that is neither f32 nor bf16.
/// Source: Su et al. 2021, arXiv:2104.09864, section 3.2.2.
[[nodiscard]] Tensor make_rotary_table(const RotaryTableOptions& options, DeviceId device = {});

}  // namespace cardloom
