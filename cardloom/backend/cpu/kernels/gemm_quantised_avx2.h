// The quantised kernels of gemm_avx2.cc, which includes this inside its unnamed namespace.
//
// vpmaddubsw takes unsigned times signed bytes and adds pairs in 16 bits. q8: the weight's
// magnitude times the activation with the weight's sign, at most 2 * 127 * 127. Nibbles are
// unsigned as stored: at most 2 * 15 * 127, so 16 bits hold 8 of these sums, which are 32 k.

enum class Numbers { kQ8, kQ4, kQ4Z };

/// 8 f16 that are finite, without F16C: shifted to where f32 has its fields, they are 2^112 too
/// small.
inline __m256 widen_f16(const std::byte* from) {
  const __m256i bits =
      _mm256_cvtepi16_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(from)));
  const __m256i sign = _mm256_and_si256(bits, _mm256_set1_epi32(static_cast<int>(0x80000000U)));
  const __m256i rest = _mm256_slli_epi32(_mm256_and_si256(bits, _mm256_set1_epi32(0x7fff)), 13);
  const __m256 value = _mm256_mul_ps(_mm256_castsi256_ps(rest), _mm256_set1_ps(0x1p112F));
  return _mm256_or_ps(value, _mm256_castsi256_ps(sign));
}

/// What the integer sums of a group start from: -zero point x sum of the activations.
template <Numbers numbers, int rows>
inline void begin_block(const std::byte* panel, const int32_t* x_sums, __m256i (&sums)[rows][4]) {
  for (int part = 0; part < 4; ++part) {
    __m256i zeros = _mm256_setzero_si256();
    if constexpr (numbers == Numbers::kQ4) zeros = _mm256_set1_epi32(0xffff & -8);
    if constexpr (numbers == Numbers::kQ4Z) {
      const __m256i wide = _mm256_cvtepi16_epi32(
          _mm_load_si128(reinterpret_cast<const __m128i*>(panel + 64 + part * 16)));
      zeros = _mm256_and_si256(_mm256_sub_epi32(zeros, wide), _mm256_set1_epi32(0xffff));
    }
    for (int row = 0; row < rows; ++row) {
      // Lanes of (-zero, 0) times (low, high half of the sum): |sum| <= 128 * 127 fits the low one.
      sums[row][part] = numbers == Numbers::kQ8
                            ? zeros
                            : _mm256_madd_epi16(zeros, _mm256_set1_epi32(x_sums[row]));
    }
  }
}

template <int rows>
inline void add_q8(const std::byte* w, const std::byte* values, int64_t group,
                   __m256i (&sums)[rows][4]) {
  const __m256i ones = _mm256_set1_epi16(1);
  for (int64_t step = 0; step < group / 4; ++step, w += 128) {
    for (int part = 0; part < 4; ++part) {
      const __m256i line = load(w + part * 32);
      const __m256i magnitude = _mm256_abs_epi8(line);
      for (int row = 0; row < rows; ++row) {
        const __m256i x = _mm256_sign_epi8(broadcast(values + row * group + step * 4), line);
        const __m256i pairs = _mm256_maddubs_epi16(magnitude, x);
        sums[row][part] = _mm256_add_epi32(sums[row][part], _mm256_madd_epi16(pairs, ones));
      }
    }
  }
}

template <int rows>
inline void add_q4(const std::byte* w, const std::byte* values, int64_t group,
                   __m256i (&sums)[rows][4]) {
  const __m256i mask = _mm256_set1_epi8(15);
  for (int64_t k = 0; k < group; k += 32) {
    __m256i pairs[rows][4];
    for (int row = 0; row < rows; ++row) {
      for (int part = 0; part < 4; ++part) pairs[row][part] = _mm256_setzero_si256();
    }
    for (int64_t step = 0; step < 4; ++step, w += 128) {
      for (int part = 0; part < 4; ++part) {
        const __m256i line = load(w + part * 32);
        const __m256i low = _mm256_and_si256(line, mask);
        const __m256i high = _mm256_and_si256(_mm256_srli_epi16(line, 4), mask);
        for (int row = 0; row < rows; ++row) {
          const std::byte* x = values + row * group + k + step * 8;
          pairs[row][part] =
              _mm256_add_epi16(pairs[row][part], _mm256_maddubs_epi16(low, broadcast(x)));
          pairs[row][part] =
              _mm256_add_epi16(pairs[row][part], _mm256_maddubs_epi16(high, broadcast(x + 4)));
        }
      }
    }
    for (int row = 0; row < rows; ++row) {
      for (int part = 0; part < 4; ++part) {
        sums[row][part] = _mm256_add_epi32(
            sums[row][part], _mm256_madd_epi16(pairs[row][part], _mm256_set1_epi16(1)));
      }
    }
  }
}

/// c += one group.
template <Numbers numbers, int rows>
void quantised_rows(const GemmRows& x, int64_t at, const std::byte* panel, int64_t group, bool add,
                    float* c) {
  constexpr int64_t kHeader = numbers == Numbers::kQ4Z ? 128 : 64;
  __m256i sums[rows][4];
  begin_block<numbers, rows>(panel, x.sums + at, sums);
  if constexpr (numbers == Numbers::kQ8) {
    add_q8<rows>(panel + kHeader, x.values + at * group, group, sums);
  } else {
    add_q4<rows>(panel + kHeader, x.values + at * group, group, sums);
  }
  for (int part = 0; part < 4; ++part) {
    const __m256 w_scale = widen_f16(panel + part * 16);
    for (int row = 0; row < rows; ++row) {
      float* to = c + row * 32 + part * 8;
      const __m256 scale = _mm256_mul_ps(_mm256_set1_ps(x.scales[at + row]), w_scale);
      const __m256 before = add ? _mm256_load_ps(to) : _mm256_setzero_ps();
      _mm256_store_ps(to, _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[row][part]), scale, before));
    }
  }
}

template <Numbers numbers>
void gemm_quantised(const GemmRows& x, const std::byte* panel, int64_t num_blocks, int64_t group,
                    bool add, float* c) {
  constexpr int64_t kHeader = numbers == Numbers::kQ4Z ? 128 : 64;
  const int64_t block_bytes = kHeader + 32 * group / (numbers == Numbers::kQ8 ? 1 : 2);
  for (int64_t block = 0; block < num_blocks; ++block, panel += block_bytes) {
    prefetch_lines(panel, block_bytes / 64);
    const int64_t at = block * x.padded_rows;
    const bool more = add || block > 0;
    int64_t row = 0;
    for (; row + kRows <= x.rows; row += kRows) {
      quantised_rows<numbers, 3>(x, at + row, panel, group, more, c + row * 32);
    }
    if (x.rows - row == 2) {
      quantised_rows<numbers, 2>(x, at + row, panel, group, more, c + row * 32);
    } else if (x.rows - row == 1) {
      quantised_rows<numbers, 1>(x, at + row, panel, group, more, c + row * 32);
    }
  }
  for (int64_t i = 0; num_blocks == 0 && !add && i < x.rows * 32; ++i) c[i] = 0;
}

/// quantise_activations() of one group of bf16: the same bits. `group` of them can be read.
inline void quantise_group(const uint16_t* x, int64_t group, int8_t* values, float* scale,
                           int32_t* sum) {
  __m256 wide[16];
  __m256i largest = _mm256_setzero_si256();
  for (int64_t i = 0; i < group / 8; ++i) {
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + i * 8));
    const __m256i bits = _mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16);
    wide[i] = _mm256_castsi256_ps(bits);
    largest = _mm256_max_epi32(largest, _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff)));
  }
  alignas(32) int32_t lanes[8];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), largest);
  int32_t bits = 0;
  for (const int32_t lane : lanes) bits = lane > bits ? lane : bits;
  constexpr int32_t kInfinity = 0x7f800000;
  constexpr int32_t kSmallest = 0x0d800000;  // 2^-100, kSmallestActivation
  if (bits >= kInfinity || bits < kSmallest) {
    __builtin_memset(values, 0, static_cast<size_t>(group));
    *scale = bits >= kInfinity ? __builtin_nanf("") : 0;
    *sum = 0;
    return;
  }
  float m;
  __builtin_memcpy(&m, &bits, sizeof m);
  *scale = m / 127.0F;
  const __m256 factor = _mm256_set1_ps(127.0F / m);
  __m256i total = _mm256_setzero_si256();
  for (int64_t line = 0; line < group / 32; ++line) {
    __m256i q[4];
    for (int part = 0; part < 4; ++part) {
      q[part] = _mm256_cvtps_epi32(_mm256_mul_ps(wide[line * 4 + part], factor));
      total = _mm256_add_epi32(total, q[part]);
    }
    const __m256i bytes =
        _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
    // Packing goes half by half: 4 bytes of each q in turn.
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(values + line * 32),
                        _mm256_permutevar8x32_epi32(bytes, order));
  }
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), total);
  *sum = 0;
  for (const int32_t lane : lanes) *sum += lane;
}

void quantise_row(const uint16_t* x, int64_t k_count, int64_t group, int64_t padded_rows,
                  int8_t* values, float* scales, int32_t* sums) {
  for (int64_t begin = 0; begin < k_count; begin += group) {
    const int64_t count = k_count - begin;
    if (count >= group) {
      quantise_group(x + begin, group, values, scales, sums);
    } else {
      uint16_t last[128] = {};
      __builtin_memcpy(last, x + begin, static_cast<size_t>(count) * 2);
      quantise_group(last, group, values, scales, sums);
    }
    values += padded_rows * group;
    scales += padded_rows;
    sums += padded_rows;
  }
}
