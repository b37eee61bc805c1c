// Path "plain": any x86-64, which always has SSE2.
#include <emmintrin.h>
#include <stdint.h>
#include <string.h>
#include <xmmintrin.h>

#include "cardloom/backend/cpu/kernels/attention_kernels.h"

namespace cardloom::cpu {
namespace {

#include "cardloom/backend/cpu/kernels/vector_plain.h"

constexpr int kRows = 2;  // x 4 registers of a panel
constexpr int kPanels = 1;

inline Vector load_bytes(const int8_t* from) {
  int32_t four;
  memcpy(&four, from, sizeof four);
  const __m128i bytes = _mm_cvtsi32_si128(four);
  const __m128i words = _mm_unpacklo_epi8(bytes, bytes);  // each number in the top byte
  return _mm_cvtepi32_ps(_mm_srai_epi32(_mm_unpacklo_epi16(words, words), 24));
}

inline float sum_of(Vector a) {
  const __m128 half = _mm_add_ps(a, _mm_movehl_ps(a, a));
  return _mm_cvtss_f32(_mm_add_ss(half, _mm_shuffle_ps(half, half, 1)));
}

inline float max_of(Vector a) {
  const __m128 half = _mm_max_ps(a, _mm_movehl_ps(a, a));
  return _mm_cvtss_f32(_mm_max_ss(half, _mm_shuffle_ps(half, half, 1)));
}

inline Vector low_bits_as_exponent(Vector a) {
  return _mm_castsi128_ps(_mm_slli_epi32(_mm_castps_si128(a), 23));
}

/// To nearest even; NaN stays NaN.
inline Vector round_to_bf16(Vector a) {
  const __m128i bits = _mm_castps_si128(a);
  const __m128i odd = _mm_and_si128(_mm_srli_epi32(bits, 16), _mm_set1_epi32(1));
  const __m128i up = _mm_add_epi32(_mm_add_epi32(bits, _mm_set1_epi32(0x7fff)), odd);
  const Vector rounded = _mm_castsi128_ps(_mm_and_si128(up, _mm_set1_epi32(-65536)));
  const Vector is_nan = _mm_cmpunord_ps(a, a);
  return _mm_or_ps(_mm_and_ps(is_nan, a), _mm_andnot_ps(is_nan, rounded));
}

#include "cardloom/backend/cpu/kernels/attention_generic.h"

}  // namespace

const AttentionTable kAttentionPlain = {kF32, kWidened};

}  // namespace cardloom::cpu
