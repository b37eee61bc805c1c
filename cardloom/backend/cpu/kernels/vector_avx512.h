// AVX-512 registers of f32. row_avx512.cc and attention_avx512.cc include this inside their unnamed
// namespaces, after the intrinsics; it includes nothing itself.

using Vector = __m512;
constexpr int64_t kWidth = 16;

inline Vector load(const float* from) { return _mm512_loadu_ps(from); }
inline void store(float* to, Vector a) { _mm512_storeu_ps(to, a); }
inline Vector set1(float value) { return _mm512_set1_ps(value); }
inline Vector add(Vector a, Vector b) { return _mm512_add_ps(a, b); }
inline Vector sub(Vector a, Vector b) { return _mm512_sub_ps(a, b); }
inline Vector mul(Vector a, Vector b) { return _mm512_mul_ps(a, b); }
inline Vector madd(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
/// b if either is NaN, on every path.
inline Vector max(Vector a, Vector b) { return _mm512_max_ps(a, b); }
