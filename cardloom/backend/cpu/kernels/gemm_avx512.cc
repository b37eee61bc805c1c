// Paths "avx512" and, compiled again with CARDLOOM_BF16_DOT and -mavx512bf16, "avx512_bf16". No
// std:: templates and everything in the unnamed namespace (the linker must not pick these bodies
// for everybody).
#include <immintrin.h>
#include <stdint.h>

#include "cardloom/backend/cpu/kernels/gemm_kernels.h"
#include "cardloom/backend/cpu/kernels/gemm_tables.h"

namespace cardloom::cpu {
namespace {

template <int rows, int registers>
void f32_block(const float* a, const float* b, int64_t num_steps, float* c) {
  __m512 sums[rows][registers];
  for (int row = 0; row < rows; ++row) {
    for (int part = 0; part < registers; ++part) sums[row][part] = _mm512_setzero_ps();
  }
  for (int64_t step = 0; step < num_steps; ++step) {
    __m512 w[registers];
    for (int part = 0; part < registers; ++part) w[part] = _mm512_loadu_ps(b + part * 16);
    for (int row = 0; row < rows; ++row) {
      const __m512 x = _mm512_set1_ps(a[row]);
      for (int part = 0; part < registers; ++part) {
        sums[row][part] = _mm512_fmadd_ps(x, w[part], sums[row][part]);
      }
    }
    a += rows;
    b += registers * 16;
  }
  for (int row = 0; row < rows; ++row) {
    for (int part = 0; part < registers; ++part) {
      _mm512_storeu_ps(c + row * 32 + part * 16, sums[row][part]);
    }
  }
}

template <int rows, int registers>
void bf16_block(const uint16_t* a, const uint16_t* b, int64_t num_steps, float* c) {
  __m512 sums[rows][registers];
  for (int row = 0; row < rows; ++row) {
    for (int part = 0; part < registers; ++part) sums[row][part] = _mm512_setzero_ps();
  }
#ifndef CARDLOOM_BF16_DOT
  const __m512i high_half = _mm512_set1_epi32(static_cast<int>(0xffff0000U));
#endif
  for (int64_t step = 0; step < num_steps; ++step) {
    __m512i w[registers];
    for (int part = 0; part < registers; ++part) w[part] = _mm512_loadu_si512(b + part * 32);
    for (int row = 0; row < rows; ++row) {
      const __m512i x = _mm512_set1_epi32(*reinterpret_cast<const int*>(a + row * 2));
      for (int part = 0; part < registers; ++part) {
#ifdef CARDLOOM_BF16_DOT
        sums[row][part] = _mm512_dpbf16_ps(sums[row][part], reinterpret_cast<__m512bh>(x),
                                           reinterpret_cast<__m512bh>(w[part]));
#else
        // A 32-bit lane holds (k, k + 1) of one column: the low half is k and comes first.
        sums[row][part] =
            _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(x, 16)),
                            _mm512_castsi512_ps(_mm512_slli_epi32(w[part], 16)), sums[row][part]);
        sums[row][part] = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(x, high_half)),
                                          _mm512_castsi512_ps(_mm512_and_si512(w[part], high_half)),
                                          sums[row][part]);
#endif
      }
    }
    a += rows * 2;
    b += registers * 32;
  }
  for (int row = 0; row < rows; ++row) {
    for (int part = 0; part < registers; ++part) {
      _mm512_storeu_ps(c + row * 32 + part * 16, sums[row][part]);
    }
  }
}

using F32Block = void (*)(const float*, const float*, int64_t, float*);
using Bf16Block = void (*)(const uint16_t*, const uint16_t*, int64_t, float*);

// [rows - 1][registers - 1]
constexpr F32Block kF32Blocks[kMicroRows][2] = {
    {f32_block<1, 1>, f32_block<1, 2>},   {f32_block<2, 1>, f32_block<2, 2>},
    {f32_block<3, 1>, f32_block<3, 2>},   {f32_block<4, 1>, f32_block<4, 2>},
    {f32_block<5, 1>, f32_block<5, 2>},   {f32_block<6, 1>, f32_block<6, 2>},
    {f32_block<7, 1>, f32_block<7, 2>},   {f32_block<8, 1>, f32_block<8, 2>},
    {f32_block<9, 1>, f32_block<9, 2>},   {f32_block<10, 1>, f32_block<10, 2>},
    {f32_block<11, 1>, f32_block<11, 2>}, {f32_block<12, 1>, f32_block<12, 2>}};
constexpr Bf16Block kBf16Blocks[kMicroRows][2] = {
    {bf16_block<1, 1>, bf16_block<1, 2>},   {bf16_block<2, 1>, bf16_block<2, 2>},
    {bf16_block<3, 1>, bf16_block<3, 2>},   {bf16_block<4, 1>, bf16_block<4, 2>},
    {bf16_block<5, 1>, bf16_block<5, 2>},   {bf16_block<6, 1>, bf16_block<6, 2>},
    {bf16_block<7, 1>, bf16_block<7, 2>},   {bf16_block<8, 1>, bf16_block<8, 2>},
    {bf16_block<9, 1>, bf16_block<9, 2>},   {bf16_block<10, 1>, bf16_block<10, 2>},
    {bf16_block<11, 1>, bf16_block<11, 2>}, {bf16_block<12, 1>, bf16_block<12, 2>}};

void gemm_f32(const float* a, const float* b, int64_t num_steps, int64_t rows, int64_t width,
              float* c) {
  kF32Blocks[rows - 1][width / 16 - 1](a, b, num_steps, c);
}

void gemm_bf16(const uint16_t* a, const uint16_t* b, int64_t num_steps, int64_t rows, int64_t width,
               float* c) {
  kBf16Blocks[rows - 1][width / 16 - 1](a, b, num_steps, c);
}

}  // namespace

#ifdef CARDLOOM_BF16_DOT
extern const GemmKernels kGemmAvx512Bf16 = {gemm_f32, gemm_bf16};
#else
extern const GemmKernels kGemmAvx512 = {gemm_f32, gemm_bf16};
#endif

}  // namespace cardloom::cpu
