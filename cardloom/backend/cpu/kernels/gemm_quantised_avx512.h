// The quantised kernels of gemm_avx512.cc, which includes this inside its unnamed namespace: with
// VNNI for "avx512_bf16", without for "avx512".
//
// The dot instructions take unsigned times signed bytes. Weights are made the unsigned operand:
// q4 and q4z are unsigned as stored, q8 + 128 is; what that adds is `offset` times the sum of the
// group's activations, which the caller has, and which the integer sums start from, negated.

enum class Numbers { kQ8, kQ4, kQ4Z };

/// 64 bytes of weights, ready for dot().
struct WeightLine {
  __m512i bytes;
#ifndef CARDLOOM_BF16_DOT
  __mmask64 negative;  ///< q8 only: `bytes` are magnitudes
#endif
};

inline WeightLine q8_line(const std::byte* from) {
  const __m512i w = _mm512_load_si512(from);
#ifdef CARDLOOM_BF16_DOT
  return {_mm512_xor_si512(w, _mm512_set1_epi8(static_cast<char>(0x80)))};
#else
  return {_mm512_abs_epi8(w), _mm512_movepi8_mask(w)};
#endif
}

inline WeightLine low_nibbles(__m512i w) {
  WeightLine line = {};
  line.bytes = _mm512_and_si512(w, _mm512_set1_epi8(15));
  return line;
}

inline WeightLine high_nibbles(__m512i w) { return low_nibbles(_mm512_srli_epi16(w, 4)); }

/// sums + the products of 4 neighbouring k.
template <Numbers numbers>
inline __m512i dot(__m512i sums, const WeightLine& w, __m512i x) {
#ifdef CARDLOOM_BF16_DOT
  return _mm512_dpbusd_epi32(sums, w.bytes, x);
#else
  // 16-bit pairs do not saturate: at most 2 * 127 * 127.
  if (numbers == Numbers::kQ8) {
    x = _mm512_mask_sub_epi8(x, w.negative, _mm512_setzero_si512(), x);
  }
  const __m512i pairs = _mm512_maddubs_epi16(w.bytes, x);
  return _mm512_add_epi32(sums, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
#endif
}

/// -offset * sum for 12 rows, where the offset is a power of two.
template <Numbers numbers, int rows>
inline void start_values(const int32_t* sums, int32_t (&starts)[16]) {
  const auto mask = static_cast<__mmask16>((1U << rows) - 1U);
  const __m512i values = _mm512_maskz_loadu_epi32(mask, sums);
  const __m512i products = _mm512_slli_epi32(values, numbers == Numbers::kQ8 ? 7 : 3);
  _mm512_store_si512(starts, _mm512_sub_epi32(_mm512_setzero_si512(), products));
}

/// What the integer sums of a block start from.
template <Numbers numbers, int rows>
inline void begin_block(const std::byte* panel, const int32_t* x_sums, __m512i (&sums)[rows][2]) {
  if constexpr (numbers == Numbers::kQ4Z) {
    // Lanes of (zero, 0) times (low, high half of the sum): |sum| <= 128 * 127 fits the low half.
    __m512i zeros[2];
    for (int part = 0; part < 2; ++part) {
      const __m512i wide = _mm512_cvtepi16_epi32(
          _mm256_load_si256(reinterpret_cast<const __m256i*>(panel + 64 + part * 32)));
      zeros[part] = _mm512_and_si512(_mm512_sub_epi32(_mm512_setzero_si512(), wide),
                                     _mm512_set1_epi32(0xffff));
    }
    for (int row = 0; row < rows; ++row) {
      const __m512i sum = _mm512_set1_epi32(x_sums[row]);
      sums[row][0] = _mm512_madd_epi16(zeros[0], sum);
      sums[row][1] = _mm512_madd_epi16(zeros[1], sum);
    }
    return;
  }
#ifndef CARDLOOM_BF16_DOT
  if constexpr (numbers == Numbers::kQ8) {
    for (int row = 0; row < rows; ++row) sums[row][0] = sums[row][1] = _mm512_setzero_si512();
    return;
  }
#endif
  alignas(64) int32_t starts[16];
  start_values<numbers, rows>(x_sums, starts);
  for (int row = 0; row < rows; ++row) sums[row][0] = sums[row][1] = _mm512_set1_epi32(starts[row]);
}

/// 32 k of a group: 2 lines at a time are one step of all 32 columns.
template <Numbers numbers, int rows, int group>
inline void add_products(const std::byte* w, const std::byte* values, __m512i (&sums)[rows][2]) {
  if constexpr (numbers == Numbers::kQ8) {
    for (int step = 0; step < group / 4; ++step, w += 128) {
      prefetch_lines(w, 2);
      const WeightLine w0 = q8_line(w);
      const WeightLine w1 = q8_line(w + 64);
      for (int row = 0; row < rows; ++row) {
        const __m512i x = broadcast(values + row * group + step * 4);
        sums[row][0] = dot<numbers>(sums[row][0], w0, x);
        sums[row][1] = dot<numbers>(sums[row][1], w1, x);
      }
    }
    return;
  }
  for (int step = 0; step < group / 8; ++step, w += 128) {
    prefetch_lines(w, 2);
    const __m512i line0 = _mm512_load_si512(w);
    const __m512i line1 = _mm512_load_si512(w + 64);
    WeightLine w0 = low_nibbles(line0);
    WeightLine w1 = low_nibbles(line1);
    for (int row = 0; row < rows; ++row) {
      const __m512i x = broadcast(values + row * group + step * 8);
      sums[row][0] = dot<numbers>(sums[row][0], w0, x);
      sums[row][1] = dot<numbers>(sums[row][1], w1, x);
    }
    w0 = high_nibbles(line0);
    w1 = high_nibbles(line1);
    for (int row = 0; row < rows; ++row) {
      const __m512i x = broadcast(values + row * group + step * 8 + 4);
      sums[row][0] = dot<numbers>(sums[row][0], w0, x);
      sums[row][1] = dot<numbers>(sums[row][1], w1, x);
    }
  }
}

/// Up to 6 rows keep c in registers beside the integer sums; more rows keep it in L1.
template <Numbers numbers, int rows, int group>
void quantised_rows(const GemmRows& x, const std::byte* panel, int64_t num_blocks, bool add,
                    float* c) {
  constexpr int64_t kHeader = numbers == Numbers::kQ4Z ? 128 : 64;
  constexpr int64_t kBlockBytes = kHeader + 32 * group / (numbers == Numbers::kQ8 ? 1 : 2);
  constexpr bool kInRegisters = rows <= 6;
  __m512 totals[kInRegisters ? rows : 1][2];
  if constexpr (kInRegisters) {
    load_sums<rows>(c, add, totals);
  } else if (!add) {
    for (int i = 0; i < rows * 2; ++i) _mm512_store_ps(c + i * 16, _mm512_setzero_ps());
  }
  for (int64_t block = 0; block < num_blocks; ++block, panel += kBlockBytes) {
    const int64_t at = block * x.padded_rows;
    __m512i sums[rows][2];
    prefetch_lines(panel, kHeader / 64);
    begin_block<numbers, rows>(panel, x.sums + at, sums);
    add_products<numbers, rows, group>(panel + kHeader, x.values + at * group, sums);
    const auto* scales = reinterpret_cast<const __m256i*>(panel);
    const __m512 w_scale[2] = {_mm512_cvtph_ps(_mm256_load_si256(scales)),
                               _mm512_cvtph_ps(_mm256_load_si256(scales + 1))};
    for (int row = 0; row < rows; ++row) {
      const __m512 x_scale = _mm512_set1_ps(x.scales[at + row]);
      for (int part = 0; part < 2; ++part) {
        const __m512 sum = _mm512_cvtepi32_ps(sums[row][part]);
        const __m512 scale = _mm512_mul_ps(x_scale, w_scale[part]);
        if constexpr (kInRegisters) {
          totals[row][part] = _mm512_fmadd_ps(sum, scale, totals[row][part]);
        } else {
          float* to = c + row * 32 + part * 16;
          _mm512_store_ps(to, _mm512_fmadd_ps(sum, scale, _mm512_load_ps(to)));
        }
      }
    }
  }
  if constexpr (kInRegisters) store_sums<rows>(totals, c);
}

using QuantisedRows = void (*)(const GemmRows&, const std::byte*, int64_t, bool, float*);

template <Numbers numbers, int group>
inline QuantisedRows rows_kernel(int64_t rows) {
  constexpr QuantisedRows kTable[kRows] = {
      quantised_rows<numbers, 1, group>,  quantised_rows<numbers, 2, group>,
      quantised_rows<numbers, 3, group>,  quantised_rows<numbers, 4, group>,
      quantised_rows<numbers, 5, group>,  quantised_rows<numbers, 6, group>,
      quantised_rows<numbers, 7, group>,  quantised_rows<numbers, 8, group>,
      quantised_rows<numbers, 9, group>,  quantised_rows<numbers, 10, group>,
      quantised_rows<numbers, 11, group>, quantised_rows<numbers, 12, group>};
  return kTable[rows - 1];
}

template <Numbers numbers>
void gemm_quantised(const GemmRows& x, const std::byte* panel, int64_t num_blocks, int64_t group,
                    bool add, float* c) {
  const QuantisedRows kernel = group == 32   ? rows_kernel<numbers, 32>(x.rows)
                               : group == 64 ? rows_kernel<numbers, 64>(x.rows)
                                             : rows_kernel<numbers, 128>(x.rows);
  kernel(x, panel, num_blocks, add, c);
}

/// 32 bf16 at a time, those beyond `count` as zeros: [0] holds the first 16 as f32.
inline void widen(const uint16_t* x, int64_t count, __m512 (&wide)[2]) {
  const auto mask = static_cast<__mmask32>(count >= 32 ? ~0U : (1U << count) - 1U);
  const __m512i halves = _mm512_maskz_loadu_epi16(mask, x);
  wide[0] = _mm512_castsi512_ps(
      _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(halves)), 16));
  wide[1] = _mm512_castsi512_ps(
      _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(halves, 1)), 16));
}

/// quantise_activations() of one group: the same bits.
inline void quantise_group(const uint16_t* x, int64_t count, int64_t group, int8_t* values,
                           float* scale, int32_t* sum) {
  const int64_t lines = group / 32;
  __m512 wide[4][2];
  __m512i largest = _mm512_setzero_si512();
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  for (int64_t line = 0; line < lines; ++line) {
    const int64_t left = count - line * 32;
    widen(x + line * 32, left < 0 ? 0 : left, wide[line]);
    for (int part = 0; part < 2; ++part) {
      largest = _mm512_max_epu32(
          largest, _mm512_and_si512(_mm512_castps_si512(wide[line][part]), magnitude));
    }
  }
  const uint32_t bits = _mm512_reduce_max_epu32(largest);
  constexpr uint32_t kInfinity = 0x7f800000;
  constexpr uint32_t kSmallest = 0x0d800000;  // 2^-100, kSmallestActivation
  if (bits >= kInfinity || bits < kSmallest) {
    for (int64_t i = 0; i < group; i += 32) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(values + i), _mm256_setzero_si256());
    }
    *scale = bits >= kInfinity ? __builtin_nanf("") : 0;
    *sum = 0;
    return;
  }
  float m;
  __builtin_memcpy(&m, &bits, sizeof m);
  *scale = m / 127.0F;
  const __m512 factor = _mm512_set1_ps(127.0F / m);
  __m512i total = _mm512_setzero_si512();
  for (int64_t line = 0; line < lines; ++line) {
    for (int part = 0; part < 2; ++part) {
      const __m512i q = _mm512_cvtps_epi32(_mm512_mul_ps(wide[line][part], factor));
      total = _mm512_add_epi32(total, q);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(values + line * 32 + part * 16),
                       _mm512_cvtepi32_epi8(q));
    }
  }
  *sum = _mm512_reduce_add_epi32(total);
}

void quantise_row(const uint16_t* x, int64_t k_count, int64_t group, int64_t padded_rows,
                  int8_t* values, float* scales, int32_t* sums) {
  for (int64_t begin = 0; begin < k_count; begin += group) {
    const int64_t count = k_count - begin < group ? k_count - begin : group;
    quantise_group(x + begin, count, group, values, scales, sums);
    values += padded_rows * group;
    scales += padded_rows;
    sums += padded_rows;
  }
}
