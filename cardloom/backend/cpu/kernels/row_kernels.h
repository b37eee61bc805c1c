#pragma once

#include <stdint.h>

namespace cardloom::cpu {

enum class Isa;

/// Kernels on contiguous runs of n numbers; the drivers gather and scatter other layouts.
struct RowKernels {
  void (*bf16_to_f32)(const uint16_t* x, float* out, int64_t n);
  void (*f32_to_bf16)(const float* x, uint16_t* out, int64_t n);  ///< nearest even; NaN stays NaN
};

const RowKernels& row_kernels(Isa isa);

}  // namespace cardloom::cpu
