// Path "avx2": compiled with -mavx2 -mfma, so no std:: templates and everything in the unnamed
// namespace (the linker must not pick these bodies for everybody).
#include <immintrin.h>
#include <stdint.h>

#include "cardloom/backend/cpu/kernels/gemm_kernels.h"
#include "cardloom/backend/cpu/kernels/gemm_tables.h"

namespace cardloom::cpu {
namespace {

// 4 rows x 2 registers of 8 columns leave half of the 16 registers for weights and broadcasts.
constexpr int64_t kRows = 4;

template <int rows>
void f32_block(const float* a, int64_t a_rows, const float* b, int64_t num_steps, int64_t width,
               float* c) {
  __m256 sums[rows][2];
  for (int row = 0; row < rows; ++row) sums[row][0] = sums[row][1] = _mm256_setzero_ps();
  for (int64_t step = 0; step < num_steps; ++step) {
    const __m256 w0 = _mm256_loadu_ps(b + step * width);
    const __m256 w1 = _mm256_loadu_ps(b + step * width + 8);
    for (int row = 0; row < rows; ++row) {
      const __m256 x = _mm256_broadcast_ss(a + step * a_rows + row);
      sums[row][0] = _mm256_fmadd_ps(x, w0, sums[row][0]);
      sums[row][1] = _mm256_fmadd_ps(x, w1, sums[row][1]);
    }
  }
  for (int row = 0; row < rows; ++row) {
    _mm256_storeu_ps(c + row * 32, sums[row][0]);
    _mm256_storeu_ps(c + row * 32 + 8, sums[row][1]);
  }
}

template <int rows>
void bf16_block(const uint16_t* a, int64_t a_rows, const uint16_t* b, int64_t num_steps,
                int64_t width, float* c) {
  const __m256i high_half = _mm256_set1_epi32(static_cast<int>(0xffff0000U));
  __m256 sums[rows][2];
  for (int row = 0; row < rows; ++row) sums[row][0] = sums[row][1] = _mm256_setzero_ps();
  for (int64_t step = 0; step < num_steps; ++step) {
    // A 32-bit lane holds (k, k + 1) of one column: the low half is k.
    const __m256i pair0 =
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b + step * width * 2));
    const __m256i pair1 =
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b + step * width * 2 + 16));
    const __m256 even0 = _mm256_castsi256_ps(_mm256_slli_epi32(pair0, 16));
    const __m256 even1 = _mm256_castsi256_ps(_mm256_slli_epi32(pair1, 16));
    const __m256 odd0 = _mm256_castsi256_ps(_mm256_and_si256(pair0, high_half));
    const __m256 odd1 = _mm256_castsi256_ps(_mm256_and_si256(pair1, high_half));
    for (int row = 0; row < rows; ++row) {
      const __m256i x =
          _mm256_set1_epi32(*reinterpret_cast<const int*>(a + (step * a_rows + row) * 2));
      const __m256 x_even = _mm256_castsi256_ps(_mm256_slli_epi32(x, 16));
      const __m256 x_odd = _mm256_castsi256_ps(_mm256_and_si256(x, high_half));
      sums[row][0] = _mm256_fmadd_ps(x_even, even0, sums[row][0]);
      sums[row][1] = _mm256_fmadd_ps(x_even, even1, sums[row][1]);
      sums[row][0] = _mm256_fmadd_ps(x_odd, odd0, sums[row][0]);
      sums[row][1] = _mm256_fmadd_ps(x_odd, odd1, sums[row][1]);
    }
  }
  for (int row = 0; row < rows; ++row) {
    _mm256_storeu_ps(c + row * 32, sums[row][0]);
    _mm256_storeu_ps(c + row * 32 + 8, sums[row][1]);
  }
}

void gemm_f32(const float* a, const float* b, int64_t num_steps, int64_t rows, int64_t width,
              float* c) {
  for (int64_t column = 0; column < width; column += 16) {
    for (int64_t row = 0; row < rows; row += kRows) {
      const int64_t count = rows - row < kRows ? rows - row : kRows;
      const float* x = a + row;
      float* out = c + row * 32 + column;
      if (count == 4) f32_block<4>(x, rows, b + column, num_steps, width, out);
      if (count == 3) f32_block<3>(x, rows, b + column, num_steps, width, out);
      if (count == 2) f32_block<2>(x, rows, b + column, num_steps, width, out);
      if (count == 1) f32_block<1>(x, rows, b + column, num_steps, width, out);
    }
  }
}

void gemm_bf16(const uint16_t* a, const uint16_t* b, int64_t num_steps, int64_t rows, int64_t width,
               float* c) {
  for (int64_t column = 0; column < width; column += 16) {
    for (int64_t row = 0; row < rows; row += kRows) {
      const int64_t count = rows - row < kRows ? rows - row : kRows;
      const uint16_t* x = a + row * 2;
      const uint16_t* w = b + column * 2;
      float* out = c + row * 32 + column;
      if (count == 4) bf16_block<4>(x, rows, w, num_steps, width, out);
      if (count == 3) bf16_block<3>(x, rows, w, num_steps, width, out);
      if (count == 2) bf16_block<2>(x, rows, w, num_steps, width, out);
      if (count == 1) bf16_block<1>(x, rows, w, num_steps, width, out);
    }
  }
}

}  // namespace

extern const GemmKernels kGemmAvx2 = {gemm_f32, gemm_bf16};

}  // namespace cardloom::cpu
