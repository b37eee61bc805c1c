// Path "avx2": compiled with -mavx2 -mfma, so no std:: templates and everything in the unnamed
// namespace (the linker must not pick these bodies for everybody).
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "cardloom/backend/cpu/kernels/row_kernels.h"
#include "cardloom/backend/cpu/kernels/row_tables.h"

namespace cardloom::cpu {
namespace {

#include "cardloom/backend/cpu/kernels/vector_avx2.h"

inline Vector div(Vector a, Vector b) { return _mm256_div_ps(a, b); }
inline Vector min(Vector a, Vector b) { return _mm256_min_ps(a, b); }
inline Vector abs(Vector a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0F), a); }

inline Vector select_greater(Vector a, Vector b, Vector yes, Vector no) {
  return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_GT_OQ));
}

/// a * 2^n for integers n in [-252, 254], in two steps, so that subnormals are rounded once.
inline Vector times_power(Vector a, Vector n) {
  const __m256i power = _mm256_cvtps_epi32(n);
  const __m256i half = _mm256_srai_epi32(power, 1);
  const __m256i bias = _mm256_set1_epi32(127);
  const __m256i first = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
  const __m256i second =
      _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(power, half), bias), 23);
  return mul(mul(a, _mm256_castsi256_ps(first)), _mm256_castsi256_ps(second));
}

inline __m256i first_lanes(int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline Vector load_first(const float* from, int64_t n) {
  return _mm256_maskload_ps(from, first_lanes(n));
}
inline void store_first(float* to, Vector a, int64_t n) {
  _mm256_maskstore_ps(to, first_lanes(n), a);
}

#include "cardloom/backend/cpu/kernels/row_generic.h"

}  // namespace

extern const RowKernels kRowAvx2 = kTable;

}  // namespace cardloom::cpu
