// Path "plain": any x86-64. The compiler may vectorise across columns; along k the order is the
// source's, product and sum rounded one by one (-ffp-contract=off) but where the contract says fma.
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "cardloom/backend/cpu/kernels/gemm_kernels.h"
#include "cardloom/backend/cpu/kernels/gemm_tables.h"
#include "cardloom/quant/activation_group.h"
#include "cardloom/tensor/dtype.h"

namespace cardloom::cpu {
namespace {

constexpr int64_t kColumns = 32;
constexpr int64_t kMaxGroup = 128;
constexpr int64_t kDenseBlockBytes = 16 * kColumns * 4;

float widen(uint16_t bits) { return to_f32(bf16{bits}); }

/// Loads c's row, or zeros; the row's sums stay in an array that the compiler keeps in registers.
void begin_row(const float* c, bool add, float* sums) {
  if (add) {
    memcpy(sums, c, kColumns * sizeof(float));
  } else {
    memset(sums, 0, kColumns * sizeof(float));
  }
}

void gemm_f32(const GemmRows& x, const std::byte* panel, int64_t num_blocks, int64_t, bool add,
              float* c) {
  for (int64_t row = 0; row < x.rows; ++row) {
    float sums[kColumns];
    begin_row(c + row * kColumns, add, sums);
    for (int64_t block = 0; block < num_blocks; ++block) {
      const auto* values =
          reinterpret_cast<const float*>(x.values + (block * x.padded_rows + row) * 64);
      const auto* w = reinterpret_cast<const float*>(panel + block * kDenseBlockBytes);
      for (int64_t step = 0; step < 16; ++step) {
        for (int64_t n = 0; n < kColumns; ++n) sums[n] += values[step] * w[step * kColumns + n];
      }
    }
    memcpy(c + row * kColumns, sums, sizeof sums);
  }
}

void gemm_bf16(const GemmRows& x, const std::byte* panel, int64_t num_blocks, int64_t, bool add,
               float* c) {
  for (int64_t row = 0; row < x.rows; ++row) {
    float sums[kColumns];
    begin_row(c + row * kColumns, add, sums);
    for (int64_t block = 0; block < num_blocks; ++block) {
      const auto* values =
          reinterpret_cast<const uint16_t*>(x.values + (block * x.padded_rows + row) * 64);
      const auto* w = reinterpret_cast<const uint16_t*>(panel + block * kDenseBlockBytes);
      for (int64_t step = 0; step < 16; ++step) {
        const float x0 = widen(values[2 * step]);
        const float x1 = widen(values[2 * step + 1]);
        for (int64_t n = 0; n < kColumns; ++n) {
          sums[n] += x0 * widen(w[(step * kColumns + n) * 2]);
          sums[n] += x1 * widen(w[(step * kColumns + n) * 2 + 1]);
        }
      }
    }
    memcpy(c + row * kColumns, sums, sizeof sums);
  }
}

/// sums[n] += sum over a group of x[k] * w[k, n], w as i8 [group / 4][32][4].
void dot_q8(const int8_t* x, const std::byte* weights, int64_t group, int32_t* sums) {
  const auto* w = reinterpret_cast<const int8_t*>(weights);
  for (int64_t step = 0; step < group / 4; ++step) {
    for (int64_t n = 0; n < kColumns; ++n) {
      for (int64_t j = 0; j < 4; ++j) {
        sums[n] += x[step * 4 + j] * w[(step * kColumns + n) * 4 + j];
      }
    }
  }
}

/// Likewise with unsigned nibbles [group / 8][32][4].
void dot_q4(const int8_t* x, const std::byte* weights, int64_t group, int32_t* sums) {
  const auto* w = reinterpret_cast<const uint8_t*>(weights);
  for (int64_t step = 0; step < group / 8; ++step) {
    for (int64_t n = 0; n < kColumns; ++n) {
      for (int64_t j = 0; j < 4; ++j) {
        const uint8_t byte = w[(step * kColumns + n) * 4 + j];
        sums[n] += x[step * 8 + j] * (byte & 15) + x[step * 8 + 4 + j] * (byte >> 4);
      }
    }
  }
}

enum class Nibbles { kNone, kCentred, kZeroPoint };

template <Nibbles nibbles>
void gemm_quantised(const GemmRows& x, const std::byte* panel, int64_t num_blocks, int64_t group,
                    bool add, float* c) {
  const int64_t header = kColumns * (nibbles == Nibbles::kZeroPoint ? 4 : 2);
  const int64_t block_bytes = header + kColumns * group / (nibbles == Nibbles::kNone ? 1 : 2);
  for (int64_t block = 0; block < num_blocks; ++block, panel += block_bytes) {
    const auto* scales = reinterpret_cast<const f16*>(panel);
    const auto* zeros = reinterpret_cast<const int16_t*>(panel + kColumns * 2);
    for (int64_t row = 0; row < x.rows; ++row) {
      const int64_t at = block * x.padded_rows + row;
      const auto* values = reinterpret_cast<const int8_t*>(x.values) + at * group;
      int32_t sums[kColumns] = {};
      if (nibbles == Nibbles::kNone) {
        dot_q8(values, panel + header, group, sums);
      } else {
        dot_q4(values, panel + header, group, sums);
      }
      float* out = c + row * kColumns;
      for (int64_t n = 0; n < kColumns; ++n) {
        int32_t sum = sums[n];
        if (nibbles == Nibbles::kCentred) sum -= 8 * x.sums[at];
        if (nibbles == Nibbles::kZeroPoint) sum -= zeros[n] * x.sums[at];
        const float before = block == 0 && !add ? 0 : out[n];
        out[n] = fmaf(static_cast<float>(sum), x.scales[at] * to_f32(scales[n]), before);
      }
    }
  }
  for (int64_t i = 0; num_blocks == 0 && !add && i < x.rows * kColumns; ++i) c[i] = 0;
}

void quantise_row(const uint16_t* x, int64_t k_count, int64_t group, int64_t padded_rows,
                  int8_t* values, float* scales, int32_t* sums) {
  float wide[kMaxGroup];
  for (int64_t begin = 0; begin < k_count; begin += group) {
    const int64_t count = k_count - begin < group ? k_count - begin : group;
    for (int64_t i = 0; i < count; ++i) wide[i] = widen(x[begin + i]);
    const ActivationGroup result = quantise_activations(wide, count, values);
    memset(values + count, 0, static_cast<size_t>(group - count));
    *scales = result.scale;
    *sums = result.sum;
    values += padded_rows * group;
    scales += padded_rows;
    sums += padded_rows;
  }
}

void no_set_up() {}

}  // namespace

const GemmKernels kGemmPlain = {.block_rows = 12,
                                .row_granule = 1,
                                .f32 = gemm_f32,
                                .bf16 = gemm_bf16,
                                .q8 = gemm_quantised<Nibbles::kNone>,
                                .q4 = gemm_quantised<Nibbles::kCentred>,
                                .q4z = gemm_quantised<Nibbles::kZeroPoint>,
                                .quantise_row = quantise_row,
                                .begin = no_set_up,
                                .end = no_set_up};

}  // namespace cardloom::cpu
