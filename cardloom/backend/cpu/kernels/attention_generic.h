// The pieces of attention with f32 operands, and the softmax, written once over `Vector` and its
// functions. No header of its own: each attention_<path>.cc includes it inside its unnamed
// namespace, after defining Vector, kWidth, kRows, kPanels, load, store, ... for its path.

constexpr int64_t kPanelVectors = kPanel / kWidth;
constexpr float kInfinity = __builtin_huge_valf();
static_assert(kRowStep % kRows == 0);

// ---- Functions of one vector.

/// 2^y for y <= 0 within 2 units in the last place, 0 below -125.5, NaN for NaN.
///
/// y = n + f with n whole and |f| <= 1/2, both exact: the sum with 1.5 * 2^23 has no fraction bits
/// left, and n and y are so close that their difference is a float. 2^f by the polynomial of degree
/// 6 with the least relative error on [-1/2, 1/2] (Remez exchange; 0.02 units of 2^-23, 0.13 after
/// its coefficients are rounded to f32), so what counts is the rounding of its evaluation. It gives
/// twice 2^f, and the power bits hold n - 1: so 2^-126 and below, where numbers are subnormal and
/// slow, are a factor of 0.
inline Vector power_of_two(Vector y) {
  y = max(set1(-126.0F), y);  // the order of operands lets NaN through
  const Vector shifter = set1(12582912.0F + 126.0F);
  const Vector shifted = add(y, shifter);  // its low bits are n + 126
  const Vector f = sub(y, sub(shifted, shifter));
  Vector p = set1(3.06916249e-4F);
  p = madd(p, f, set1(2.67998618e-3F));
  p = madd(p, f, set1(1.92369781e-2F));
  p = madd(p, f, set1(1.11006573e-1F));
  p = madd(p, f, set1(4.80452925e-1F));
  p = madd(p, f, set1(1.38629436F));
  p = madd(p, f, set1(2.0F));
  return mul(p, low_bits_as_exponent(shifted));
}

float power_of_two_of(float x) {
  float lanes[kWidth];
  store(lanes, power_of_two(set1(x)));
  return lanes[0];
}

// ---- Softmax.

/// Scores [from, num_keys) times factor, then -inf up to a whole step.
inline void scale_rest(const float* scores, int64_t from, int64_t num_keys, float factor,
                       float* rest) {
  for (int64_t j = 0; j < kDepthStep; ++j) {
    rest[j] = from + j < num_keys ? scores[from + j] * factor : -kInfinity;
  }
}

/// The highest of scores times factor; NaN does not count. The partial step at the end of scores is
/// in `rest`, scaled.
inline float highest_score(const float* scores, int64_t num_keys, float factor, const float* rest) {
  const Vector scale = set1(factor);
  const int64_t whole = num_keys / kDepthStep * kDepthStep;
  Vector high[2] = {set1(-kInfinity), set1(-kInfinity)};
  for (int64_t j = 0; j < whole; j += 2 * kWidth) {  // max: the second operand if the first is NaN
    high[0] = max(mul(load(scores + j), scale), high[0]);
    high[1] = max(mul(load(scores + j + kWidth), scale), high[1]);
  }
  for (int64_t j = 0; whole < num_keys && j < kDepthStep; j += kWidth) {
    high[0] = max(load(rest + j), high[0]);
  }
  return max_of(max(high[0], high[1]));
}

/// What to subtract from scores. A row of -inf so far: 2^(-inf - 0) is the 0 that it weighs,
/// 2^(-inf - -inf) would be NaN.
inline float shift_of(float max_score) { return max_score == -kInfinity ? 0.0F : max_score; }

/// Calls weigh(j, t, t') for two vectors of scaled scores at a time, j < padded.
template <class Weigh>
inline void for_each_score(const float* scores, int64_t num_keys, int64_t padded, float factor,
                           const float* rest, Weigh weigh) {
  const Vector scale = set1(factor);
  const int64_t whole = num_keys / kDepthStep * kDepthStep;
  int64_t j = 0;
  for (; j < whole; j += 2 * kWidth) {
    weigh(j, mul(load(scores + j), scale), mul(load(scores + j + kWidth), scale));
  }
  for (; whole < num_keys && j < whole + kDepthStep; j += 2 * kWidth) {
    weigh(j, load(rest + j - whole), load(rest + j - whole + kWidth));
  }
  for (; j < padded; j += 2 * kWidth) weigh(j, set1(-kInfinity), set1(-kInfinity));
}

template <bool is_rounded>
void softmax(const float* scores, int64_t num_keys, int64_t padded, float factor, void* weights,
             float* max_score, float* total) {
  float rest[kDepthStep];
  const int64_t whole = num_keys / kDepthStep * kDepthStep;
  if (whole < num_keys) scale_rest(scores, whole, num_keys, factor, rest);
  *max_score = highest_score(scores, num_keys, factor, rest);
  const Vector shift = set1(shift_of(*max_score));
  float* out = static_cast<float*>(weights);
  Vector sums[2] = {set1(0.0F), set1(0.0F)};
  for_each_score(scores, num_keys, padded, factor, rest, [&](int64_t j, Vector low, Vector high) {
    low = power_of_two(sub(low, shift));
    high = power_of_two(sub(high, shift));
    if (is_rounded) {
      low = round_to_bf16(low);
      high = round_to_bf16(high);
    }
    sums[0] = add(sums[0], low);
    sums[1] = add(sums[1], high);
    store(out + j, low);
    store(out + j + kWidth, high);
  });
  *total = sum_of(add(sums[0], sums[1]));
}

void merge(const float* products, int64_t n, float keep, float gain, float* sums) {
  for (int64_t d = 0; d < n; d += kWidth) {
    const Vector product = mul(add(load(products + d), set1(0.0F)), set1(gain));
    store(sums + d, madd(load(sums + d), set1(keep), product));
  }
}

// ---- Packing.

void dequantise(const int8_t* numbers, float scale, int64_t n, void* out) {
  float* to = static_cast<float*>(out);
  const Vector factor = set1(scale);
  const auto convert = [&](const int8_t* from, int64_t i) {
    store(to + i, round_to_bf16(mul(load_bytes(from), factor)));
  };
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) convert(numbers + i, i);
  if (i == n) return;
  int8_t rest[kWidth] = {};
  memcpy(rest, numbers + i, static_cast<size_t>(n - i));
  convert(rest, i);
}

void pack_keys(const void* const* rows, int64_t D, void* panel) {
  float* out = static_cast<float*>(panel);
  const int64_t whole = D / 4 * 4;
  for (int64_t j = 0; j < kPanel; j += 4) {
    const float* from[4];
    for (int i = 0; i < 4; ++i) from[i] = static_cast<const float*>(rows[j + i]);
    for (int64_t d = 0; d < whole; d += 4) {
      __m128 a = _mm_loadu_ps(from[0] + d);
      __m128 b = _mm_loadu_ps(from[1] + d);
      __m128 c = _mm_loadu_ps(from[2] + d);
      __m128 e = _mm_loadu_ps(from[3] + d);
      _MM_TRANSPOSE4_PS(a, b, c, e);
      _mm_storeu_ps(out + d * kPanel + j, a);
      _mm_storeu_ps(out + (d + 1) * kPanel + j, b);
      _mm_storeu_ps(out + (d + 2) * kPanel + j, c);
      _mm_storeu_ps(out + (d + 3) * kPanel + j, e);
    }
    for (int64_t d = whole; d < D; ++d) {
      for (int i = 0; i < 4; ++i) out[d * kPanel + j + i] = from[i][d];
    }
  }
}

bool pack_values(const void* const* rows, int64_t D, int64_t panel_bytes, void* panels) {
  uint32_t highest = 0;  // exponent: all ones in inf and NaN
  for (int64_t j = 0; j < kDepthStep; ++j) {
    const float* from = static_cast<const float*>(rows[j]);
    for (int64_t d = 0; d < D; d += kPanel) {
      float* out = reinterpret_cast<float*>(static_cast<char*>(panels) + d / kPanel * panel_bytes) +
                   j * kPanel;
      const int64_t count = D - d < kPanel ? D - d : kPanel;
      memcpy(out, from + d, static_cast<size_t>(count) * sizeof(float));
      for (int64_t c = count; c < kPanel; ++c) out[c] = 0.0F;
      for (int64_t c = 0; c < kPanel; ++c) {
        uint32_t bits;
        memcpy(&bits, out + c, sizeof bits);
        const uint32_t exponent = bits & 0x7f800000U;
        highest = exponent > highest ? exponent : highest;
      }
    }
  }
  return highest != 0x7f800000U;
}

// ---- Products.

/// kRows rows of `panels` panels.
template <int panels>
void multiply_block(const float* a, int64_t a_row, const float* panel, int64_t panel_size,
                    int64_t depth, float* out, int64_t out_row) {
  constexpr int kVectors = panels * static_cast<int>(kPanelVectors);
  Vector sums[kRows][kVectors];
  for (int i = 0; i < kRows; ++i) {
    for (int v = 0; v < kVectors; ++v) sums[i][v] = set1(0.0F);
  }
  for (int64_t k = 0; k < depth; ++k) {
    Vector column[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      column[v] =
          load(panel + v / kPanelVectors * panel_size + k * kPanel + v % kPanelVectors * kWidth);
    }
    for (int i = 0; i < kRows; ++i) {
      const Vector element = set1(a[i * a_row + k]);
      for (int v = 0; v < kVectors; ++v) sums[i][v] = madd(element, column[v], sums[i][v]);
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int v = 0; v < kVectors; ++v) store(out + i * out_row + v * kWidth, sums[i][v]);
  }
}

/// The largest number of panels first, then what is left.
template <int most>
void multiply_panels(const float* a, int64_t a_row, int64_t num_rows, const float* panels,
                     int64_t panel_size, int64_t num_panels, int64_t depth, float* out,
                     int64_t out_row) {
  int64_t p = 0;
  for (; p + most <= num_panels; p += most) {
    for (int64_t i = 0; i < num_rows; i += kRows) {
      multiply_block<most>(a + i * a_row, a_row, panels + p * panel_size, panel_size, depth,
                           out + i * out_row + p * kPanel, out_row);
    }
  }
  if constexpr (most > 1) {
    multiply_panels<most - 1>(a, a_row, num_rows, panels + p * panel_size, panel_size,
                              num_panels - p, depth, out + p * kPanel, out_row);
  }
}

void multiply(const void* a, int64_t a_row, int64_t num_rows, const void* panels,
              int64_t panel_bytes, int64_t num_panels, int64_t depth, float* out, int64_t out_row) {
  multiply_panels<kPanels>(
      static_cast<const float*>(a), a_row, num_rows, static_cast<const float*>(panels),
      panel_bytes / static_cast<int64_t>(sizeof(float)), num_panels, depth, out, out_row);
}

constexpr AttentionKernels kF32 = {4,        dequantise,     pack_keys, pack_values,
                                   multiply, softmax<false>, merge,     power_of_two_of};
/// bf16 inputs on a path without bf16 products: widened, weights rounded.
[[maybe_unused]] constexpr AttentionKernels kWidened = {
    4, dequantise, pack_keys, pack_values, multiply, softmax<true>, merge, power_of_two_of};
