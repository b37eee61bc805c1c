// The row kernels, written once over `Vector` and its functions. No header of its own: each
// row_<path>.cc includes it inside its unnamed namespace, after defining Vector, kWidth,
// load, store, ... for its instruction path.
//
// The remainder of a run goes through the same vector code (load_first fills with 0), so an
// element's bits do not depend on where in a run it stands.

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

/// Four maxima side by side: one alone would wait for itself.
float run_largest(const float* x, int64_t n) {
  Vector most[4] = {set1(-kInfinity), set1(-kInfinity), set1(-kInfinity), set1(-kInfinity)};
  int64_t i = 0;
  for (; i + 4 * kWidth <= n; i += 4 * kWidth) {
    // The operand that is kept if the other is NaN comes second.
    for (int part = 0; part < 4; ++part) most[part] = max(load(x + i + part * kWidth), most[part]);
  }
  float largest = max_of(max(max(most[0], most[1]), max(most[2], most[3])));
  for (; i < n; ++i) largest = x[i] > largest ? x[i] : largest;
  return largest;
}

constexpr RowKernels kTable = {bf16_to_f32,   f32_to_bf16,      f16_to_f32,      f32_to_f16,
                               run_sum,       run_sum_squares,  run_largest,     store_bf16_tile,
                               run_normalise, run_silu_and_mul, run_gelu,        run_add,
                               run_scale,     run_exp,          run_rotate_pairs};
