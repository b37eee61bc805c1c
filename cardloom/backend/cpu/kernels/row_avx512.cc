// Paths "avx512" and "avx512_bf16": no std:: templates and everything in the unnamed namespace (the
// linker must not pick these bodies for everybody).
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "cardloom/backend/cpu/kernels/row_kernels.h"
#include "cardloom/backend/cpu/kernels/row_tables.h"

namespace cardloom::cpu {
namespace {

#include "cardloom/backend/cpu/kernels/vector_avx512.h"

inline Vector div(Vector a, Vector b) { return _mm512_div_ps(a, b); }
inline Vector min(Vector a, Vector b) { return _mm512_min_ps(a, b); }
inline Vector abs(Vector a) { return _mm512_abs_ps(a); }

inline Vector select_greater(Vector a, Vector b, Vector yes, Vector no) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), no, yes);
}

/// a * 2^n for integers n in [-252, 254], in two steps, so that subnormals are rounded once.
inline Vector times_power(Vector a, Vector n) {
  const __m512i power = _mm512_cvtps_epi32(n);
  const __m512i half = _mm512_srai_epi32(power, 1);
  const __m512i bias = _mm512_set1_epi32(127);
  const __m512i first = _mm512_slli_epi32(_mm512_add_epi32(half, bias), 23);
  const __m512i second =
      _mm512_slli_epi32(_mm512_add_epi32(_mm512_sub_epi32(power, half), bias), 23);
  return mul(mul(a, _mm512_castsi512_ps(first)), _mm512_castsi512_ps(second));
}

inline __mmask16 first_lanes(int64_t n) { return static_cast<__mmask16>((1U << n) - 1U); }
inline Vector load_first(const float* from, int64_t n) {
  return _mm512_maskz_loadu_ps(first_lanes(n), from);
}
inline void store_first(float* to, Vector a, int64_t n) {
  _mm512_mask_storeu_ps(to, first_lanes(n), a);
}

#include "cardloom/backend/cpu/kernels/row_generic.h"

}  // namespace

extern const RowKernels kRowAvx512 = kTable;

}  // namespace cardloom::cpu
