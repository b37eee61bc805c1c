// Paths "avx512" and, compiled again with CARDLOOM_BF16_DOT and -mavx512bf16 -mavx512vnni,
// "avx512_bf16". No std:: templates and everything in the unnamed namespace (the linker must not
// pick these bodies for everybody).
#include <immintrin.h>
#include <stdint.h>

#include "cardloom/backend/cpu/kernels/gemm_kernels.h"
#include "cardloom/backend/cpu/kernels/gemm_tables.h"

namespace cardloom::cpu {
namespace {

// 12 rows x 2 registers of sums leave 8 of the 32 registers for weights and broadcasts.
constexpr int kRows = 12;

// How far ahead of the weights to read. One core's stream at full speed has about latency (100 ns
// and more) x bandwidth (16 to 30 GB/s) under way; past the end of a panel lies the next one.
constexpr int64_t kAhead = 4096;

inline void prefetch_lines(const std::byte* from, int lines) {
  for (int line = 0; line < lines; ++line) {
    _mm_prefetch(reinterpret_cast<const char*>(from + kAhead + line * 64), _MM_HINT_T0);
  }
}

/// 4 bytes of a row in every lane.
inline __m512i broadcast(const std::byte* from) {
  int value;
  __builtin_memcpy(&value, from, sizeof value);
  return _mm512_set1_epi32(value);
}

template <int rows>
inline void load_sums(const float* c, bool add, __m512 (&sums)[rows][2]) {
  for (int row = 0; row < rows; ++row) {
    for (int part = 0; part < 2; ++part) {
      sums[row][part] = add ? _mm512_load_ps(c + row * 32 + part * 16) : _mm512_setzero_ps();
    }
  }
}

template <int rows>
inline void store_sums(const __m512 (&sums)[rows][2], float* c) {
  for (int row = 0; row < rows; ++row) {
    for (int part = 0; part < 2; ++part) {
      _mm512_store_ps(c + row * 32 + part * 16, sums[row][part]);
    }
  }
}

template <int rows>
void f32_rows(const GemmRows& x, const std::byte* panel, int64_t num_blocks, bool add, float* c) {
  __m512 sums[rows][2];
  load_sums<rows>(c, add, sums);
  const std::byte* values = x.values;
  for (int64_t block = 0; block < num_blocks; ++block) {
    for (int step = 0; step < 16; ++step) {
      prefetch_lines(panel, 2);
      const __m512 w0 = _mm512_load_ps(panel);
      const __m512 w1 = _mm512_load_ps(panel + 64);
      for (int row = 0; row < rows; ++row) {
        const __m512 a = _mm512_castsi512_ps(broadcast(values + row * 64 + step * 4));
        sums[row][0] = _mm512_fmadd_ps(a, w0, sums[row][0]);
        sums[row][1] = _mm512_fmadd_ps(a, w1, sums[row][1]);
      }
      panel += 128;
    }
    values += x.padded_rows * 64;
  }
  store_sums<rows>(sums, c);
}

template <int rows>
void bf16_rows(const GemmRows& x, const std::byte* panel, int64_t num_blocks, bool add, float* c) {
  __m512 sums[rows][2];
  load_sums<rows>(c, add, sums);
  const std::byte* values = x.values;
#ifndef CARDLOOM_BF16_DOT
  const __m512i high_half = _mm512_set1_epi32(static_cast<int>(0xffff0000U));
#endif
  for (int64_t block = 0; block < num_blocks; ++block) {
    for (int step = 0; step < 16; ++step) {
      prefetch_lines(panel, 2);
      const __m512i w[2] = {_mm512_load_si512(panel), _mm512_load_si512(panel + 64)};
#ifdef CARDLOOM_BF16_DOT
      for (int row = 0; row < rows; ++row) {
        const __m512i a = broadcast(values + row * 64 + step * 4);
        for (int part = 0; part < 2; ++part) {
          sums[row][part] = _mm512_dpbf16_ps(sums[row][part], reinterpret_cast<__m512bh>(a),
                                             reinterpret_cast<__m512bh>(w[part]));
        }
      }
#else
      // A 32-bit lane holds (k, k + 1) of one column: the low half is k and comes first.
      __m512 low[2];
      __m512 high[2];
      for (int part = 0; part < 2; ++part) {
        low[part] = _mm512_castsi512_ps(_mm512_slli_epi32(w[part], 16));
        high[part] = _mm512_castsi512_ps(_mm512_and_si512(w[part], high_half));
      }
      for (int row = 0; row < rows; ++row) {
        const __m512i a = broadcast(values + row * 64 + step * 4);
        const __m512 a_low = _mm512_castsi512_ps(_mm512_slli_epi32(a, 16));
        const __m512 a_high = _mm512_castsi512_ps(_mm512_and_si512(a, high_half));
        for (int part = 0; part < 2; ++part) {
          sums[row][part] = _mm512_fmadd_ps(a_low, low[part], sums[row][part]);
          sums[row][part] = _mm512_fmadd_ps(a_high, high[part], sums[row][part]);
        }
      }
#endif
      panel += 128;
    }
    values += x.padded_rows * 64;
  }
  store_sums<rows>(sums, c);
}

using DenseRows = void (*)(const GemmRows&, const std::byte*, int64_t, bool, float*);

// [rows - 1]
constexpr DenseRows kF32Rows[kRows] = {f32_rows<1>, f32_rows<2>,  f32_rows<3>,  f32_rows<4>,
                                       f32_rows<5>, f32_rows<6>,  f32_rows<7>,  f32_rows<8>,
                                       f32_rows<9>, f32_rows<10>, f32_rows<11>, f32_rows<12>};
constexpr DenseRows kBf16Rows[kRows] = {bf16_rows<1>, bf16_rows<2>,  bf16_rows<3>,  bf16_rows<4>,
                                        bf16_rows<5>, bf16_rows<6>,  bf16_rows<7>,  bf16_rows<8>,
                                        bf16_rows<9>, bf16_rows<10>, bf16_rows<11>, bf16_rows<12>};

void gemm_f32(const GemmRows& x, const std::byte* panel, int64_t num_blocks, int64_t, bool add,
              float* c) {
  kF32Rows[x.rows - 1](x, panel, num_blocks, add, c);
}

void gemm_bf16(const GemmRows& x, const std::byte* panel, int64_t num_blocks, int64_t, bool add,
               float* c) {
  kBf16Rows[x.rows - 1](x, panel, num_blocks, add, c);
}

#include "cardloom/backend/cpu/kernels/gemm_quantised_avx512.h"

void no_set_up() {}

}  // namespace

#ifdef CARDLOOM_BF16_DOT
extern const GemmKernels kGemmAvx512Bf16 = {
#else
extern const GemmKernels kGemmAvx512 = {
#endif
    .block_rows = kRows,
    .row_granule = 1,
    .f32 = gemm_f32,
    .bf16 = gemm_bf16,
    .q8 = gemm_quantised<Numbers::kQ8>,
    .q4 = gemm_quantised<Numbers::kQ4>,
    .q4z = gemm_quantised<Numbers::kQ4Z>,
    .quantise_row = quantise_row,
    .begin = no_set_up,
    .end = no_set_up};

}  // namespace cardloom::cpu
