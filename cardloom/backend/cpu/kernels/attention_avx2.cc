// Path "avx2": no std:: templates and everything in the unnamed namespace (the linker must not pick
// these bodies for everybody).
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "cardloom/backend/cpu/kernels/attention_kernels.h"

namespace cardloom::cpu {
namespace {

#include "cardloom/backend/cpu/kernels/vector_avx2.h"

constexpr int kRows = 4;  // x 2 registers of a panel: 8 sums hide the latency of an FMA
constexpr int kPanels = 1;

inline Vector load_bytes(const int8_t* from) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
}

inline float sum_of(Vector a) {
  const __m128 half = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 quarter = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(quarter, _mm_movehdup_ps(quarter)));
}

inline float max_of(Vector a) {
  const __m128 half = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 quarter = _mm_max_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_max_ss(quarter, _mm_movehdup_ps(quarter)));
}

inline Vector low_bits_as_exponent(Vector a) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a), 23));
}

/// To nearest even; NaN stays NaN.
inline Vector round_to_bf16(Vector a) {
  const __m256i bits = _mm256_castps_si256(a);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i up = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
  const Vector rounded = _mm256_castsi256_ps(_mm256_and_si256(up, _mm256_set1_epi32(-65536)));
  return _mm256_blendv_ps(rounded, a, _mm256_cmp_ps(a, a, _CMP_UNORD_Q));
}

#include "cardloom/backend/cpu/kernels/attention_generic.h"

}  // namespace

extern const AttentionTable kAttentionAvx2 = {kF32, kWidened};

}  // namespace cardloom::cpu
