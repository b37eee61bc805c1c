// SSE2 registers of f32. row_plain.cc and attention_plain.cc include this inside their unnamed
// namespaces, after the intrinsics; it includes nothing itself.

using Vector = __m128;
constexpr int64_t kWidth = 4;

inline Vector load(const float* from) { return _mm_loadu_ps(from); }
inline void store(float* to, Vector a) { _mm_storeu_ps(to, a); }
inline Vector set1(float value) { return _mm_set1_ps(value); }
inline Vector add(Vector a, Vector b) { return _mm_add_ps(a, b); }
inline Vector sub(Vector a, Vector b) { return _mm_sub_ps(a, b); }
inline Vector mul(Vector a, Vector b) { return _mm_mul_ps(a, b); }
inline Vector madd(Vector a, Vector b, Vector c) { return add(mul(a, b), c); }
/// b if either is NaN, on every path.
inline Vector max(Vector a, Vector b) { return _mm_max_ps(a, b); }
