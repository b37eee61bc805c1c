// Path "plain": any x86-64.
#include <stdint.h>
#include <string.h>

#include "cardloom/backend/cpu/kernels/row_kernels.h"
#include "cardloom/backend/cpu/kernels/row_tables.h"

namespace cardloom::cpu {
namespace {

void bf16_to_f32(const uint16_t* x, float* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t wide = static_cast<uint32_t>(x[i]) << 16;
    memcpy(out + i, &wide, sizeof wide);
  }
}

void f32_to_bf16(const float* x, uint16_t* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    uint32_t bits;
    memcpy(&bits, x + i, sizeof bits);
    const bool is_nan = (bits & 0x7fffffffU) > 0x7f800000U;
    const uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
    out[i] = static_cast<uint16_t>(is_nan ? (bits >> 16) | 0x40U : rounded);
  }
}

}  // namespace

const RowKernels kRowPlain = {bf16_to_f32, f32_to_bf16};

}  // namespace cardloom::cpu
