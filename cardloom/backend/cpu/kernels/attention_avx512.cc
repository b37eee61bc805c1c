// Path "avx512", and with CARDLOOM_BF16_DOT "avx512_bf16" and "amx": no std:: templates and
// everything in the unnamed namespace (the linker must not pick these bodies for everybody).
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "cardloom/backend/cpu/kernels/attention_kernels.h"

namespace cardloom::cpu {
namespace {

#include "cardloom/backend/cpu/kernels/vector_avx512.h"

constexpr int kRows = 8;  // x 3 panels: 24 sums, 3 columns, 1 element of 32 registers
constexpr int kPanels = 3;

inline Vector load_bytes(const int8_t* from) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
}

inline float sum_of(Vector a) { return _mm512_reduce_add_ps(a); }
inline float max_of(Vector a) { return _mm512_reduce_max_ps(a); }

inline Vector low_bits_as_exponent(Vector a) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(a), 23));
}

/// To nearest even; NaN stays NaN.
inline Vector round_to_bf16(Vector a) {
  const __m512i bits = _mm512_castps_si512(a);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i up = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
  const __m512i rounded = _mm512_and_si512(up, _mm512_set1_epi32(-65536));
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), _mm512_castsi512_ps(rounded),
                              a);
}

#include "cardloom/backend/cpu/kernels/attention_generic.h"

#if defined(CARDLOOM_BF16_DOT)

/// bf16 operands go by pairs, a pair of neighbours in depth in 32 bits.
inline __m512i load_pairs(const void* from) { return _mm512_loadu_si512(from); }

inline __mmask16 first_lanes(int64_t n) {
  return n < 16 ? static_cast<__mmask16>((1U << n) - 1U) : static_cast<__mmask16>(0xffff);
}

/// Rows of 16 pairs to columns: pairs of neighbours, of twos, of fours, of eights.
inline void transpose_pairs(__m512i* r) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 8; ++i) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
  }
}

/// The conversion instruction flushes subnormals; there are none.
void dequantise_pairs(const int8_t* numbers, float scale, int64_t n, void* out) {
  const Vector factor = set1(scale);
  const auto convert = [&](const int8_t* from, int64_t i) {
    const Vector low = mul(load_bytes(from), factor);
    const Vector high = mul(load_bytes(from + kWidth), factor);
    const __m512bh rounded = _mm512_cvtne2ps_pbh(high, low);
    _mm512_storeu_si512(static_cast<uint16_t*>(out) + i, (__m512i)rounded);
  };
  int64_t i = 0;
  for (; i + kDepthStep <= n; i += kDepthStep) convert(numbers + i, i);
  if (i == n) return;
  int8_t rest[kDepthStep] = {};
  memcpy(rest, numbers + i, static_cast<size_t>(n - i));
  convert(rest, i);
}

void pack_key_pairs(const void* const* rows, int64_t D, void* panel) {
  char* out = static_cast<char*>(panel);
  for (int64_t d = 0; d < D; d += kDepthStep) {
    __m512i r[16];
    const int64_t count = D - d < kDepthStep ? D - d : kDepthStep;
    const __mmask32 mask = static_cast<__mmask32>((uint64_t{1} << count) - 1);
    for (int i = 0; i < 16; ++i) {
      r[i] = _mm512_maskz_loadu_epi16(mask, static_cast<const uint16_t*>(rows[i]) + d);
    }
    transpose_pairs(r);
    for (int i = 0; i < 16; ++i) _mm512_storeu_si512(out + (d / 2 + i) * 64, r[i]);
  }
}

bool pack_value_pairs(const void* const* rows, int64_t D, int64_t panel_bytes, void* panels) {
  const __m512i exponent = _mm512_set1_epi16(0x7f80);  // all ones in inf and NaN
  __m512i highest = _mm512_setzero_si512();
  for (int64_t d = 0; d < D; d += kPanel) {
    char* out = static_cast<char*>(panels) + d / kPanel * panel_bytes;
    const __mmask16 mask = first_lanes(D - d);
    for (int64_t j = 0; j < kDepthStep; j += 2) {
      const __m256i even =
          _mm256_maskz_loadu_epi16(mask, static_cast<const uint16_t*>(rows[j]) + d);
      const __m256i odd =
          _mm256_maskz_loadu_epi16(mask, static_cast<const uint16_t*>(rows[j + 1]) + d);
      const __m512i pairs = _mm512_or_si512(_mm512_cvtepu16_epi32(even),
                                            _mm512_slli_epi32(_mm512_cvtepu16_epi32(odd), 16));
      highest = _mm512_max_epu16(highest, _mm512_and_si512(pairs, exponent));
      _mm512_storeu_si512(out + j / 2 * 64, pairs);
    }
  }
  return _mm512_cmpeq_epi16_mask(highest, exponent) == 0;
}

void softmax_pairs(const float* scores, int64_t num_keys, int64_t padded, float factor,
                   void* weights, float* max_score, float* total) {
  float rest[kDepthStep];
  const int64_t whole = num_keys / kDepthStep * kDepthStep;
  if (whole < num_keys) scale_rest(scores, whole, num_keys, factor, rest);
  *max_score = highest_score(scores, num_keys, factor, rest);
  const Vector shift = set1(shift_of(*max_score));
  const __m512i ones = _mm512_set1_epi16(0x3f80);
  uint16_t* out = static_cast<uint16_t*>(weights);
  Vector sum = set1(0.0F);
  for_each_score(scores, num_keys, padded, factor, rest, [&](int64_t j, Vector low, Vector high) {
    low = power_of_two(sub(low, shift));
    high = power_of_two(sub(high, shift));
    const __m512bh rounded = _mm512_cvtne2ps_pbh(high, low);
    sum = _mm512_dpbf16_ps(sum, rounded, (__m512bh)ones);  // a vector type: no static_cast
    _mm512_storeu_si512(out + j, (__m512i)rounded);
  });
  *total = sum_of(sum);
}

/// kRows rows of `panels` panels.
template <int panels>
void multiply_pair_block(const uint16_t* a, int64_t a_row, const char* panel, int64_t panel_bytes,
                         int64_t depth, float* out, int64_t out_row) {
  Vector sums[kRows][panels];
  for (int i = 0; i < kRows; ++i) {
    for (int p = 0; p < panels; ++p) sums[i][p] = set1(0.0F);
  }
  for (int64_t k = 0; k < depth; k += 2) {
    __m512i column[panels];
    for (int p = 0; p < panels; ++p) column[p] = load_pairs(panel + p * panel_bytes + k / 2 * 64);
    for (int i = 0; i < kRows; ++i) {
      int32_t pair;
      memcpy(&pair, a + i * a_row + k, sizeof pair);
      const __m512i element = _mm512_set1_epi32(pair);
      for (int p = 0; p < panels; ++p) {
        sums[i][p] = _mm512_dpbf16_ps(sums[i][p], (__m512bh)element, (__m512bh)column[p]);
      }
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int p = 0; p < panels; ++p) store(out + i * out_row + p * kPanel, sums[i][p]);
  }
}

/// The largest number of panels first, then what is left.
template <int most>
void multiply_pair_panels(const uint16_t* a, int64_t a_row, int64_t num_rows, const char* panels,
                          int64_t panel_bytes, int64_t num_panels, int64_t depth, float* out,
                          int64_t out_row) {
  int64_t p = 0;
  for (; p + most <= num_panels; p += most) {
    for (int64_t i = 0; i < num_rows; i += kRows) {
      multiply_pair_block<most>(a + i * a_row, a_row, panels + p * panel_bytes, panel_bytes, depth,
                                out + i * out_row + p * kPanel, out_row);
    }
  }
  if constexpr (most > 1) {
    multiply_pair_panels<most - 1>(a, a_row, num_rows, panels + p * panel_bytes, panel_bytes,
                                   num_panels - p, depth, out + p * kPanel, out_row);
  }
}

void multiply_pairs(const void* a, int64_t a_row, int64_t num_rows, const void* panels,
                    int64_t panel_bytes, int64_t num_panels, int64_t depth, float* out,
                    int64_t out_row) {
  multiply_pair_panels<kPanels>(static_cast<const uint16_t*>(a), a_row, num_rows,
                                static_cast<const char*>(panels), panel_bytes, num_panels, depth,
                                out, out_row);
}

constexpr AttentionKernels kPairs = {
    2,     dequantise_pairs, pack_key_pairs, pack_value_pairs, multiply_pairs, softmax_pairs,
    merge, power_of_two_of};
constexpr AttentionKernels kTiles = {
    2,     dequantise_pairs, pack_key_pairs, pack_value_pairs, multiply_on_tiles, softmax_pairs,
    merge, power_of_two_of};

#endif

}  // namespace

#if defined(CARDLOOM_BF16_DOT)
extern const AttentionTable kAttentionAvx512Bf16 = {kF32, kPairs};
extern const AttentionTable kAttentionAmx = {kF32, kTiles};
#else
extern const AttentionTable kAttentionAvx512 = {kF32, kWidened};
#endif

}  // namespace cardloom::cpu
