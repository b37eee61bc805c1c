// Path "avx2": compiled with -mavx2 -mfma, so no std:: templates and everything in the unnamed
// namespace (the linker must not pick these bodies for everybody).
#include <immintrin.h>
#include <stdint.h>

#include "cardloom/backend/cpu/kernels/gemm_kernels.h"
#include "cardloom/backend/cpu/kernels/gemm_tables.h"

namespace cardloom::cpu {
namespace {

constexpr int64_t kBlockRows = 12;
// 3 rows x 4 registers of sums leave 4 of the 16 registers for weights and broadcasts.
constexpr int64_t kRows = 3;
constexpr int64_t kDenseBlockBytes = 2048;
// Every 3 rows read a panel again: so many blocks of it at a time, from L1.
constexpr int64_t kChunkBlocks = 8;
constexpr int64_t kAhead = 2048;  // bytes of weights to read ahead, as gemm_avx512.cc

inline void prefetch_lines(const std::byte* from, int64_t lines) {
  for (int64_t line = 0; line < lines; ++line) {
    _mm_prefetch(reinterpret_cast<const char*>(from + kAhead + line * 64), _MM_HINT_T0);
  }
}

inline __m256i load(const std::byte* from) {
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(from));
}

/// 4 bytes of a row in every lane.
inline __m256i broadcast(const std::byte* from) {
  int value;
  __builtin_memcpy(&value, from, sizeof value);
  return _mm256_set1_epi32(value);
}

template <int rows>
inline void add_f32(const std::byte* values, const std::byte* w, __m256 (&sums)[rows][4]) {
  for (int step = 0; step < 16; ++step, w += 128) {
    __m256 x[rows];
    for (int row = 0; row < rows; ++row) {
      x[row] = _mm256_castsi256_ps(broadcast(values + row * 64 + step * 4));
    }
    for (int part = 0; part < 4; ++part) {
      const __m256 line = _mm256_castsi256_ps(load(w + part * 32));
      for (int row = 0; row < rows; ++row) {
        sums[row][part] = _mm256_fmadd_ps(x[row], line, sums[row][part]);
      }
    }
  }
}

/// A 32-bit lane holds (k, k + 1) of one column: the low half is k and comes first.
template <int rows>
inline void add_bf16(const std::byte* values, const std::byte* w, __m256 (&sums)[rows][4]) {
  const __m256i high_half = _mm256_set1_epi32(static_cast<int>(0xffff0000U));
  for (int step = 0; step < 16; ++step, w += 128) {
    __m256 x[rows];
    for (int row = 0; row < rows; ++row) {
      x[row] = _mm256_castsi256_ps(_mm256_slli_epi32(broadcast(values + row * 64 + step * 4), 16));
    }
    for (int part = 0; part < 4; ++part) {
      const __m256 line = _mm256_castsi256_ps(_mm256_slli_epi32(load(w + part * 32), 16));
      for (int row = 0; row < rows; ++row) {
        sums[row][part] = _mm256_fmadd_ps(x[row], line, sums[row][part]);
      }
    }
    for (int row = 0; row < rows; ++row) {
      x[row] =
          _mm256_castsi256_ps(_mm256_and_si256(broadcast(values + row * 64 + step * 4), high_half));
    }
    for (int part = 0; part < 4; ++part) {
      const __m256 line = _mm256_castsi256_ps(_mm256_and_si256(load(w + part * 32), high_half));
      for (int row = 0; row < rows; ++row) {
        sums[row][part] = _mm256_fmadd_ps(x[row], line, sums[row][part]);
      }
    }
  }
}

template <int rows, bool is_bf16>
void dense_rows(const std::byte* values, int64_t values_stride, const std::byte* panel,
                int64_t num_blocks, bool add, float* c) {
  __m256 sums[rows][4];
  for (int row = 0; row < rows; ++row) {
    for (int part = 0; part < 4; ++part) {
      sums[row][part] = add ? _mm256_load_ps(c + row * 32 + part * 8) : _mm256_setzero_ps();
    }
  }
  for (int64_t block = 0; block < num_blocks; ++block) {
    prefetch_lines(panel, kDenseBlockBytes / 64);
    if constexpr (is_bf16) {
      add_bf16<rows>(values, panel, sums);
    } else {
      add_f32<rows>(values, panel, sums);
    }
    values += values_stride;
    panel += kDenseBlockBytes;
  }
  for (int row = 0; row < rows; ++row) {
    for (int part = 0; part < 4; ++part) {
      _mm256_store_ps(c + row * 32 + part * 8, sums[row][part]);
    }
  }
}

template <bool is_bf16>
void gemm_dense(const GemmRows& x, const std::byte* panel, int64_t num_blocks, int64_t, bool add,
                float* c) {
  const int64_t stride = x.padded_rows * 64;
  int64_t block = 0;
  do {
    const int64_t left = num_blocks - block;
    const int64_t count = left < kChunkBlocks ? left : kChunkBlocks;
    const std::byte* values = x.values + block * stride;
    const bool more = add || block > 0;
    int64_t row = 0;
    for (; row + kRows <= x.rows; row += kRows) {
      dense_rows<3, is_bf16>(values + row * 64, stride, panel, count, more, c + row * 32);
    }
    if (x.rows - row == 2) {
      dense_rows<2, is_bf16>(values + row * 64, stride, panel, count, more, c + row * 32);
    } else if (x.rows - row == 1) {
      dense_rows<1, is_bf16>(values + row * 64, stride, panel, count, more, c + row * 32);
    }
    block += count;
    panel += count * kDenseBlockBytes;
  } while (block < num_blocks);
}

#include "cardloom/backend/cpu/kernels/gemm_quantised_avx2.h"

void no_set_up() {}

}  // namespace

extern const GemmKernels kGemmAvx2 = {.block_rows = kBlockRows,
                                      .row_granule = 1,
                                      .f32 = gemm_dense<false>,
                                      .bf16 = gemm_dense<true>,
                                      .q8 = gemm_quantised<Numbers::kQ8>,
                                      .q4 = gemm_quantised<Numbers::kQ4>,
                                      .q4z = gemm_quantised<Numbers::kQ4Z>,
                                      .quantise_row = quantise_row,
                                      .begin = no_set_up,
                                      .end = no_set_up};

}  // namespace cardloom::cpu
