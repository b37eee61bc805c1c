#pragma once

#include <stdint.h>

namespace cardloom::cpu {

enum class Isa;

/// Rows that one micro-kernel call takes at the most: 12 rows x 2 registers of 16 f32 sums, with 2
/// for the weights and the rest for broadcasts, fill the 32 registers of AVX-512.
inline constexpr int64_t kMicroRows = 12;

/// c[rows][width] = sum over steps of a . b, overwriting c (row stride 32), sums sequential in
/// steps.
///
/// a      packed activations, [num_steps][rows] of one step each (f32, or 2 neighbouring bf16)
/// b      one panel, [num_steps][width] of one step each
/// width  16 or 32
struct GemmKernels {
  void (*f32)(const float* a, const float* b, int64_t num_steps, int64_t rows, int64_t width,
              float* c);
  void (*bf16)(const uint16_t* a, const uint16_t* b, int64_t num_steps, int64_t rows, int64_t width,
               float* c);
};

const GemmKernels& gemm_kernels(Isa isa);

}  // namespace cardloom::cpu
