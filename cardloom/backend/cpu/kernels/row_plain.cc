// Path "plain": any x86-64, which always has SSE2.
#include <emmintrin.h>
#include <stdint.h>
#include <string.h>
#include <xmmintrin.h>

#include "cardloom/backend/cpu/kernels/row_kernels.h"
#include "cardloom/backend/cpu/kernels/row_tables.h"

namespace cardloom::cpu {
namespace {

#include "cardloom/backend/cpu/kernels/vector_plain.h"

inline Vector div(Vector a, Vector b) { return _mm_div_ps(a, b); }
// b if either is NaN, here and in the other paths.
inline Vector min(Vector a, Vector b) { return _mm_min_ps(a, b); }
inline Vector abs(Vector a) { return _mm_andnot_ps(_mm_set1_ps(-0.0F), a); }

inline Vector select_greater(Vector a, Vector b, Vector yes, Vector no) {
  const Vector greater = _mm_cmpgt_ps(a, b);
  return _mm_or_ps(_mm_and_ps(greater, yes), _mm_andnot_ps(greater, no));
}

/// a * 2^n for integers n in [-252, 254], in two steps, so that subnormals are rounded once.
inline Vector times_power(Vector a, Vector n) {
  const __m128i power = _mm_cvtps_epi32(n);
  const __m128i half = _mm_srai_epi32(power, 1);
  const __m128i bias = _mm_set1_epi32(127);
  const __m128i first = _mm_slli_epi32(_mm_add_epi32(half, bias), 23);
  const __m128i second = _mm_slli_epi32(_mm_add_epi32(_mm_sub_epi32(power, half), bias), 23);
  return mul(mul(a, _mm_castsi128_ps(first)), _mm_castsi128_ps(second));
}

inline Vector load_first(const float* from, int64_t n) {
  float padded[kWidth] = {};
  memcpy(padded, from, static_cast<size_t>(n) * sizeof(float));
  return load(padded);
}

inline void store_first(float* to, Vector a, int64_t n) {
  float padded[kWidth];
  store(padded, a);
  memcpy(to, padded, static_cast<size_t>(n) * sizeof(float));
}

#include "cardloom/backend/cpu/kernels/row_generic.h"

}  // namespace

const RowKernels kRowPlain = kTable;

}  // namespace cardloom::cpu
