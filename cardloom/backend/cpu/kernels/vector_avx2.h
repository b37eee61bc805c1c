// AVX2 registers of f32. row_avx2.cc and attention_avx2.cc include this inside their unnamed
// namespaces, after the intrinsics; it includes nothing itself.

using Vector = __m256;
constexpr int64_t kWidth = 8;

inline Vector load(const float* from) { return _mm256_loadu_ps(from); }
inline void store(float* to, Vector a) { _mm256_storeu_ps(to, a); }
inline Vector set1(float value) { return _mm256_set1_ps(value); }
inline Vector add(Vector a, Vector b) { return _mm256_add_ps(a, b); }
inline Vector sub(Vector a, Vector b) { return _mm256_sub_ps(a, b); }
inline Vector mul(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
inline Vector madd(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
/// b if either is NaN, on every path.
inline Vector max(Vector a, Vector b) { return _mm256_max_ps(a, b); }
