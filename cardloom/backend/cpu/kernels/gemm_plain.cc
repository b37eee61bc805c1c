// Path "plain": any x86-64. The compiler may vectorise across columns; along k the order is the
// source's, product and sum rounded one by one (-ffp-contract=off).
#include <stdint.h>
#include <string.h>

#include "cardloom/backend/cpu/kernels/gemm_kernels.h"
#include "cardloom/backend/cpu/kernels/gemm_tables.h"

namespace cardloom::cpu {
namespace {

float widen(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value;
  memcpy(&value, &wide, sizeof value);
  return value;
}

void gemm_f32(const float* a, const float* b, int64_t num_steps, int64_t rows, int64_t width,
              float* c) {
  for (int64_t row = 0; row < rows; ++row) {
    float sums[32] = {};
    for (int64_t step = 0; step < num_steps; ++step) {
      const float x = a[step * rows + row];
      const float* w = b + step * width;
      for (int64_t column = 0; column < width; ++column) sums[column] += x * w[column];
    }
    memcpy(c + row * 32, sums, sizeof sums);
  }
}

void gemm_bf16(const uint16_t* a, const uint16_t* b, int64_t num_steps, int64_t rows, int64_t width,
               float* c) {
  for (int64_t row = 0; row < rows; ++row) {
    float sums[32] = {};
    for (int64_t step = 0; step < num_steps; ++step) {
      const uint16_t* x = a + (step * rows + row) * 2;
      const uint16_t* w = b + step * width * 2;
      const float x0 = widen(x[0]);
      const float x1 = widen(x[1]);
      for (int64_t column = 0; column < width; ++column) {
        sums[column] += x0 * widen(w[2 * column]);
        sums[column] += x1 * widen(w[2 * column + 1]);
      }
    }
    memcpy(c + row * 32, sums, sizeof sums);
  }
}

}  // namespace

const GemmKernels kGemmPlain = {gemm_f32, gemm_bf16};

}  // namespace cardloom::cpu
