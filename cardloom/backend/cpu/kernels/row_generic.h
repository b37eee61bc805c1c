// The row kernels, written once over `Vector` and its functions. No header of its own: each
// row_<path>.cc includes it inside its unnamed namespace, after defining Vector, kWidth,
// kScoreQueries, kValueQueries, load, store, ... for its instruction path.
//
// The remainder of a run goes through the same vector code (load_first fills with 0), so an
// element's bits do not depend on where in a run it stands.

constexpr int64_t kScoreVectors = kKeyBlock / kWidth;
constexpr float kInfinity = __builtin_huge_valf();

// ---- 16-bit formats: loops that compilers vectorise; see tensor/dtype.h for the formulae.

inline void bf16_to_f32(const uint16_t* x, float* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t wide = static_cast<uint32_t>(x[i]) << 16;
    memcpy(out + i, &wide, sizeof wide);
  }
}

inline void f32_to_bf16(const float* x, uint16_t* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    uint32_t bits;
    memcpy(&bits, x + i, sizeof bits);
    const bool is_nan = (bits & 0x7fffffffU) > 0x7f800000U;
    const uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
    out[i] = static_cast<uint16_t>(is_nan ? (bits >> 16) | 0x40U : rounded);
  }
}

void f16_to_f32(const uint16_t* x, float* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t half = x[i];
    const uint32_t sign = (half & 0x8000U) << 16;
    const uint32_t exponent = (half >> 10) & 0x1fU;
    const uint32_t mantissa = half & 0x3ffU;
    const float subnormal = static_cast<float>(static_cast<int32_t>(mantissa)) * 0x1p-24F;
    uint32_t subnormal_bits;
    memcpy(&subnormal_bits, &subnormal, sizeof subnormal_bits);
    const uint32_t offset = exponent == 31 ? 224U : 112U;
    const uint32_t normal = ((exponent + offset) << 23) | (mantissa << 13);
    const uint32_t bits = sign | (exponent == 0 ? subnormal_bits : normal);
    memcpy(out + i, &bits, sizeof bits);
  }
}

void f32_to_f16(const float* x, uint16_t* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    uint32_t bits;
    memcpy(&bits, x + i, sizeof bits);
    const uint32_t sign = (bits >> 16) & 0x8000U;
    const uint32_t magnitude = bits & 0x7fffffffU;
    // Below 2^-14: adding 0.5 lets the FPU round at 2^-24, the last place of a subnormal.
    const uint32_t small_bits = magnitude < 0x38800000U ? magnitude : 0;
    float small;
    memcpy(&small, &small_bits, sizeof small);
    small += 0.5F;
    uint32_t subnormal;
    memcpy(&subnormal, &small, sizeof subnormal);
    subnormal -= 0x3f000000U;
    const uint32_t normal = (magnitude + 0xfffU + ((magnitude >> 13) & 1U) - (112U << 23)) >> 13;
    uint32_t half = magnitude < 0x38800000U ? subnormal : normal;
    half = magnitude >= 0x477ff000U ? 0x7c00U : half;
    half = magnitude > 0x7f800000U ? 0x7e00U : half;
    out[i] = static_cast<uint16_t>(sign | half);
  }
}

/// One row of a tile of sums; `n` is a constant in the full case, so that the loops have no rest.
inline void store_bf16_row(const float* sums, const float* bias, const uint16_t* residual,
                           uint16_t* out, int64_t n) {
  float values[32];
  memcpy(values, sums, static_cast<size_t>(n) * sizeof(float));
  if (bias != nullptr) {
    for (int64_t j = 0; j < n; ++j) values[j] += bias[j];
  }
  if (residual != nullptr) {
    float addends[32];
    bf16_to_f32(residual, addends, n);
    for (int64_t j = 0; j < n; ++j) values[j] += addends[j];
  }
  f32_to_bf16(values, out, n);
}

void store_bf16_tile(const float* sums, const float* bias, const uint16_t* residual,
                     int64_t residual_stride, uint16_t* out, int64_t out_stride, int64_t rows,
                     int64_t n) {
  for (int64_t i = 0; i < rows; ++i) {
    const uint16_t* added = residual == nullptr ? nullptr : residual + i * residual_stride;
    if (n == 32) {
      store_bf16_row(sums + i * 32, bias, added, out + i * out_stride, 32);
    } else {
      store_bf16_row(sums + i * 32, bias, added, out + i * out_stride, n);
    }
  }
}

// ---- Functions of one vector.

/// exp(x) within 2 units in the last place; 0 for -inf, inf for +inf, NaN for NaN.
/// Source: coefficients of Cephes expf (Moshier), on [-ln 2 / 2, ln 2 / 2].
inline Vector exp_of(Vector x) {
  // Beyond these the result is 0 or inf; the order of operands lets NaN through.
  x = max(set1(-104.0F), x);
  x = min(set1(89.0F), x);
  const Vector to_integer = set1(12582912.0F);  // 1.5 * 2^23: the sum has no fraction bits left
  const Vector n = sub(madd(x, set1(1.44269504F), to_integer), to_integer);
  // ln 2 in two parts, the first with few bits, so that n times it is exact.
  Vector r = madd(n, set1(-0.693359375F), x);
  r = madd(n, set1(2.12194440e-4F), r);
  Vector p = set1(1.9875691500e-4F);
  p = madd(p, r, set1(1.3981999507e-3F));
  p = madd(p, r, set1(8.3334519073e-3F));
  p = madd(p, r, set1(4.1665795894e-2F));
  p = madd(p, r, set1(1.6666665459e-1F));
  p = madd(p, r, set1(5.0000001201e-1F));
  p = add(madd(p, mul(r, r), r), set1(1.0F));
  return times_power(p, n);
}

/// x/2 * (1 + erf(x / sqrt(2))).
/// Source: erf by two minimax polynomials after N. Juffa (stackoverflow.com/a/35148199), the outer
/// one for log(erfc): so the negative side needs no 1 - erf and keeps its digits.
inline Vector gelu_of(Vector x) {
  const Vector a = mul(x, set1(0.707106781F));
  const Vector t = abs(a);
  const Vector s = mul(a, a);
  Vector r = madd(set1(-1.72853470e-5F), t, set1(3.83197126e-4F));
  const Vector u = madd(set1(-3.88396438e-3F), t, set1(2.42546219e-2F));
  r = madd(r, s, u);
  r = madd(r, t, set1(-1.06777877e-1F));
  r = madd(r, t, set1(-6.34846687e-1F));
  r = madd(r, t, set1(-1.28717512e-1F));
  r = madd(r, t, sub(set1(0.0F), t));
  const Vector complement = exp_of(r);  // erfc(|a|)
  const Vector outer = select_greater(set1(0.0F), a, complement, sub(set1(2.0F), complement));
  Vector p = set1(-5.96761703e-4F);
  p = madd(p, s, set1(4.99119423e-3F));
  p = madd(p, s, set1(-2.67681349e-2F));
  p = madd(p, s, set1(1.12819925e-1F));
  p = madd(p, s, set1(-3.76125336e-1F));
  p = madd(p, s, set1(1.28379166e-1F));
  const Vector half = mul(x, set1(0.5F));
  const Vector inner = madd(half, madd(p, a, a), half);
  return select_greater(t, set1(0.927734375F), mul(half, outer), inner);
}

inline Vector silu_and_mul_of(Vector gate, Vector up) {
  const Vector one = set1(1.0F);
  return mul(div(gate, add(one, exp_of(sub(set1(0.0F), gate)))), up);
}

/// The sum of a vector's lanes, by halves.
inline float sum_of(Vector a) {
  float lanes[kWidth];
  store(lanes, a);
  for (int64_t half = kWidth / 2; half > 0; half /= 2) {
    for (int64_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  }
  return lanes[0];
}

inline float max_of(Vector a) {
  float lanes[kWidth];
  store(lanes, a);
  for (int64_t lane = 1; lane < kWidth; ++lane) {
    if (lanes[lane] > lanes[0]) lanes[0] = lanes[lane];
  }
  return lanes[0];
}

// ---- Runs.

inline Vector load_up_to(const float* from, int64_t n) {
  return n < kWidth ? load_first(from, n) : load(from);
}

template <class Function>
void map(const float* x, float* out, int64_t n, Function function) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(out + i, function(load(x + i)));
  if (i < n) store_first(out + i, function(load_first(x + i, n - i)), n - i);
}

template <class Function>
void map_pair(const float* a, const float* b, float* out, int64_t n, Function function) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(out + i, function(load(a + i), load(b + i)));
  if (i < n) {
    store_first(out + i, function(load_first(a + i, n - i), load_first(b + i, n - i)), n - i);
  }
}

void run_silu_and_mul(const float* gate, const float* up, float* out, int64_t n) {
  map_pair(gate, up, out, n, [](Vector a, Vector b) { return silu_and_mul_of(a, b); });
}
void run_gelu(const float* x, float* out, int64_t n) {
  map(x, out, n, [](Vector a) { return gelu_of(a); });
}
void run_add(const float* a, const float* b, float* out, int64_t n) {
  map_pair(a, b, out, n, [](Vector x, Vector y) { return add(x, y); });
}
void run_scale(const float* x, float factor, float* out, int64_t n) {
  map(x, out, n, [factor](Vector a) { return mul(a, set1(factor)); });
}
void run_exp(const float* x, float* out, int64_t n) {
  map(x, out, n, [](Vector a) { return exp_of(a); });
}

/// Four sums side by side hide the latency of an addition; vector i goes to sum i % 4.
template <class Function>
float sum_over(const float* x, int64_t n, Function function) {
  Vector sums[4] = {set1(0.0F), set1(0.0F), set1(0.0F), set1(0.0F)};
  int64_t i = 0;
  for (; i + 4 * kWidth <= n; i += 4 * kWidth) {
    for (int part = 0; part < 4; ++part) {
      sums[part] = function(sums[part], load(x + i + part * kWidth), kWidth);
    }
  }
  for (int part = 0; i < n; i += kWidth, ++part) {
    const int64_t count = n - i < kWidth ? n - i : kWidth;
    sums[part] = function(sums[part], load_first(x + i, count), count);
  }
  return sum_of(add(add(sums[0], sums[1]), add(sums[2], sums[3])));
}

float run_sum(const float* x, int64_t n) {
  return sum_over(x, n, [](Vector sum, Vector a, int64_t) { return add(sum, a); });
}

float run_sum_squares(const float* x, float mean, int64_t n) {
  return sum_over(x, n, [mean](Vector sum, Vector a, int64_t count) {
    Vector distance = sub(a, set1(mean));
    if (count < kWidth) {  // what is beyond the end is 0, not -mean
      float lanes[kWidth];
      store(lanes, distance);
      distance = load_first(lanes, count);
    }
    return madd(distance, distance, sum);
  });
}

template <bool has_bias, bool has_residual>
void normalise(const float* x, float mean, float inverse, const float* weight, const float* bias,
               const float* residual, float* out, int64_t n) {
  for (int64_t i = 0; i < n; i += kWidth) {
    const int64_t count = n - i;
    Vector a = mul(sub(load_up_to(x + i, count), set1(mean)), set1(inverse));
    const Vector w = load_up_to(weight + i, count);
    a = has_bias ? madd(a, w, load_up_to(bias + i, count)) : mul(a, w);
    if (has_residual) a = add(a, load_up_to(residual + i, count));
    if (count < kWidth) {
      store_first(out + i, a, count);
    } else {
      store(out + i, a);
    }
  }
}

void run_normalise(const float* x, float mean, float inverse, const float* weight,
                   const float* bias, const float* residual, float* out, int64_t n) {
  if (bias == nullptr) {
    normalise<false, false>(x, mean, inverse, weight, bias, residual, out, n);
  } else if (residual == nullptr) {
    normalise<true, false>(x, mean, inverse, weight, bias, residual, out, n);
  } else {
    normalise<true, true>(x, mean, inverse, weight, bias, residual, out, n);
  }
}

void run_rotate_pairs(const float* x, const float* cos_sin, float* out, int64_t num_pairs) {
  for (int64_t i = 0; i < num_pairs; ++i) {  // memcpy: x and out may be unaligned
    float pair[2];
    float angle[2];
    memcpy(pair, x + 2 * i, sizeof pair);
    memcpy(angle, cos_sin + 2 * i, sizeof angle);
    const float turned[2] = {pair[0] * angle[0] - pair[1] * angle[1],
                             pair[1] * angle[0] + pair[0] * angle[1]};
    memcpy(out + 2 * i, turned, sizeof turned);
  }
}

// ---- Attention.

void run_transpose_keys(const float* rows, int64_t row_size, int64_t num_keys, int64_t D,
                        float* out) {
  const int64_t whole_keys = num_keys / 4 * 4;
  const int64_t whole_columns = D / 4 * 4;
  for (int64_t j = 0; j < whole_keys; j += 4) {
    for (int64_t d = 0; d < whole_columns; d += 4) {
      const float* from = rows + j * row_size + d;
      __m128 a = _mm_loadu_ps(from);
      __m128 b = _mm_loadu_ps(from + row_size);
      __m128 c = _mm_loadu_ps(from + 2 * row_size);
      __m128 e = _mm_loadu_ps(from + 3 * row_size);
      _MM_TRANSPOSE4_PS(a, b, c, e);
      _mm_storeu_ps(out + d * kKeyBlock + j, a);
      _mm_storeu_ps(out + (d + 1) * kKeyBlock + j, b);
      _mm_storeu_ps(out + (d + 2) * kKeyBlock + j, c);
      _mm_storeu_ps(out + (d + 3) * kKeyBlock + j, e);
    }
  }
  for (int64_t d = 0; d < D; ++d) {
    const int64_t first = d < whole_columns ? whole_keys : 0;
    for (int64_t j = first; j < kKeyBlock; ++j) {
      out[d * kKeyBlock + j] = j < num_keys ? rows[j * row_size + d] : 0.0F;
    }
  }
}

template <int queries>
void score_block(const float* query, const float* keys, int64_t D, float scale, float* scores) {
  Vector sums[queries][kScoreVectors];
  for (int i = 0; i < queries; ++i) {
    for (int64_t part = 0; part < kScoreVectors; ++part) sums[i][part] = set1(0.0F);
  }
  for (int64_t d = 0; d < D; ++d) {
    for (int i = 0; i < queries; ++i) {
      const Vector element = set1(query[i * D + d]);
      for (int64_t part = 0; part < kScoreVectors; ++part) {
        sums[i][part] = madd(element, load(keys + d * kKeyBlock + part * kWidth), sums[i][part]);
      }
    }
  }
  for (int i = 0; i < queries; ++i) {
    for (int64_t part = 0; part < kScoreVectors; ++part) {
      store(scores + i * kKeyBlock + part * kWidth, mul(sums[i][part], set1(scale)));
    }
  }
}

void run_attention_scores(const float* queries, int64_t num_queries, const float* keys, int64_t D,
                          float scale, float* scores) {
  int64_t i = 0;
  for (; i + kScoreQueries <= num_queries; i += kScoreQueries) {
    score_block<kScoreQueries>(queries + i * D, keys, D, scale, scores + i * kKeyBlock);
  }
  for (; i < num_queries; ++i) {
    score_block<1>(queries + i * D, keys, D, scale, scores + i * kKeyBlock);
  }
}

float run_softmax_step(float* scores, int64_t num_keys, float* max_so_far, float* total) {
  Vector highest = set1(-kInfinity);
  for (int64_t j = 0; j < num_keys; j += kWidth) {
    const int64_t count = num_keys - j < kWidth ? num_keys - j : kWidth;
    float lanes[kWidth];
    store(lanes, set1(-kInfinity));
    memcpy(lanes, scores + j, static_cast<size_t>(count) * sizeof(float));
    highest = max(highest, count < kWidth ? load(lanes) : load(scores + j));
  }
  const float block_max = max_of(highest);
  const float new_max = block_max > *max_so_far ? block_max : *max_so_far;
  // A row of -inf so far: exp(-inf - 0) is the 0 that it weighs, exp(-inf - -inf) would be NaN.
  const float shift = new_max == -kInfinity ? 0.0F : new_max;
  Vector sums[kScoreVectors];
  for (int64_t part = 0; part < kScoreVectors; ++part) {
    const int64_t left = num_keys - part * kWidth;
    const int64_t count = left < 0 ? 0 : left < kWidth ? left : kWidth;
    float* block = scores + part * kWidth;
    float lanes[kWidth];
    store(lanes, exp_of(sub(load(block), set1(shift))));
    sums[part] = count < kWidth ? load_first(lanes, count) : load(lanes);
    store(block, sums[part]);
  }
  for (int64_t half = kScoreVectors / 2; half > 0; half /= 2) {
    for (int64_t part = 0; part < half; ++part) sums[part] = add(sums[part], sums[part + half]);
  }
  float factor[kWidth];
  store(factor, exp_of(set1(*max_so_far - shift)));
  *total = *total * factor[0] + sum_of(sums[0]);
  *max_so_far = new_max;
  return factor[0];
}

template <int queries, int vectors>
void value_block(const float* weights, const float* factors, int64_t num_keys, const float* values,
                 int64_t row_size, float* sums) {
  Vector parts[queries][vectors];
  for (int i = 0; i < queries; ++i) {
    for (int part = 0; part < vectors; ++part) {
      parts[i][part] = mul(load(sums + i * row_size + part * kWidth), set1(factors[i]));
    }
  }
  for (int64_t j = 0; j < num_keys; ++j) {
    Vector value[vectors];
    for (int part = 0; part < vectors; ++part) {
      value[part] = load(values + j * row_size + part * kWidth);
    }
    for (int i = 0; i < queries; ++i) {
      const Vector weight = set1(weights[i * kKeyBlock + j]);
      for (int part = 0; part < vectors; ++part) {
        parts[i][part] = madd(weight, value[part], parts[i][part]);
      }
    }
  }
  for (int i = 0; i < queries; ++i) {
    for (int part = 0; part < vectors; ++part) {
      store(sums + i * row_size + part * kWidth, parts[i][part]);
    }
  }
}

template <int queries>
void value_rows(const float* weights, const float* factors, int64_t num_keys, const float* values,
                int64_t row_size, float* sums) {
  int64_t d = 0;
  for (; d + 2 * kWidth <= row_size; d += 2 * kWidth) {
    value_block<queries, 2>(weights, factors, num_keys, values + d, row_size, sums + d);
  }
  for (; d < row_size; d += kWidth) {
    value_block<queries, 1>(weights, factors, num_keys, values + d, row_size, sums + d);
  }
}

void run_attention_values(const float* weights, const float* factors, int64_t num_queries,
                          int64_t num_keys, const float* values, int64_t row_size, float* sums) {
  int64_t i = 0;
  for (; i + kValueQueries <= num_queries; i += kValueQueries) {
    value_rows<kValueQueries>(weights + i * kKeyBlock, factors + i, num_keys, values, row_size,
                              sums + i * row_size);
  }
  for (; i < num_queries; ++i) {
    value_rows<1>(weights + i * kKeyBlock, factors + i, num_keys, values, row_size,
                  sums + i * row_size);
  }
}

constexpr RowKernels kTable = {bf16_to_f32,
                               f32_to_bf16,
                               f16_to_f32,
                               f32_to_f16,
                               run_sum,
                               run_sum_squares,
                               store_bf16_tile,
                               run_normalise,
                               run_silu_and_mul,
                               run_gelu,
                               run_add,
                               run_scale,
                               run_exp,
                               run_rotate_pairs,
                               run_transpose_keys,
                               run_attention_scores,
                               run_softmax_step,
                               run_attention_values};
