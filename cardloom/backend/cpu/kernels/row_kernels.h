#pragma once

#include <stdint.h>

namespace cardloom::cpu {

enum class Isa;

/// Kernels on contiguous runs of n numbers; the drivers gather and scatter other layouts.
///
/// An element-wise result depends on its own inputs only, wherever in a run it stands; a sum
/// depends on (n, the numbers) only. f32 pointers may be unaligned, 16-bit ones not. An output may
/// be an input itself.
struct RowKernels {
  void (*bf16_to_f32)(const uint16_t* x, float* out, int64_t n);
  void (*f32_to_bf16)(const float* x, uint16_t* out, int64_t n);  ///< nearest even; NaN stays NaN
  void (*f16_to_f32)(const uint16_t* x, float* out, int64_t n);
  void (*f32_to_f16)(const float* x, uint16_t* out, int64_t n);  ///< nearest even; NaN stays NaN

  float (*sum)(const float* x, int64_t n);
  float (*sum_squares)(const float* x, float mean, int64_t n);  ///< of x - mean
  float (*largest)(const float* x, int64_t n);  ///< -inf if there is none; NaN is passed over
  /// out[i][j] = bf16((sums[i][j] + bias[j]) + residual[i][j]) for j < n <= 32; row strides in
  /// elements, sums' is 32; bias and residual may be null, residual may be out
  void (*store_bf16_tile)(const float* sums, const float* bias, const uint16_t* residual,
                          int64_t residual_stride, uint16_t* out, int64_t out_stride, int64_t rows,
                          int64_t n);
  /// out = (x - mean) * inverse * weight [+ bias] [+ residual]; the last two may be null
  void (*normalise)(const float* x, float mean, float inverse, const float* weight,
                    const float* bias, const float* residual, float* out, int64_t n);

  void (*silu_and_mul)(const float* gate, const float* up, float* out, int64_t n);
  void (*gelu)(const float* x, float* out, int64_t n);
  void (*add)(const float* a, const float* b, float* out, int64_t n);
  void (*scale)(const float* x, float factor, float* out, int64_t n);
  void (*exp)(const float* x, float* out, int64_t n);
  /// (x[2i], x[2i+1]) turned by the angle of (cos, sin) = cos_sin[2i], cos_sin[2i+1]; no FMA
  void (*rotate_pairs)(const float* x, const float* cos_sin, float* out, int64_t num_pairs);
};

const RowKernels& row_kernels(Isa isa);

}  // namespace cardloom::cpu
