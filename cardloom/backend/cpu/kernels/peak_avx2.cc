// Path "avx2": compiled with -mavx2 -mfma, so no std:: templates and everything in the unnamed
// namespace (the linker must not pick these bodies for everybody).
#include <immintrin.h>

#include "cardloom/backend/cpu/kernels/peak_kernels.h"

namespace cardloom::cpu {
namespace {

/// Two units of four cycles each need eight in flight; with these all 16 registers are in use.
constexpr int kAccumulators = 12;

double f32(int64_t rounds) {
  __m256 sums[kAccumulators];
#pragma GCC unroll 12
  for (int index = 0; index < kAccumulators; ++index) sums[index] = _mm256_setzero_ps();
  const __m256 x = _mm256_set1_ps(0.5F);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int index = 0; index < kAccumulators; ++index) {
      sums[index] = _mm256_fmadd_ps(sums[index], x, x);
      asm volatile("" : "+x"(sums[index]));  // in a register, and not worked out in advance
    }
  }
  return static_cast<double>(rounds) * kAccumulators * 8 * 2;
}

uint64_t read(const std::byte* data, int64_t bytes) {
  constexpr int kStreams = 4;
  constexpr int64_t kAhead = 2048;
  const int64_t each = bytes / kStreams;
  __m256i sum[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  for (int64_t at = 0; at < each; at += 64) {
#pragma GCC unroll 4
    for (int stream = 0; stream < kStreams; ++stream) {
      const std::byte* from = data + stream * each + at;
      _mm_prefetch(reinterpret_cast<const char*>(from + kAhead), _MM_HINT_T0);
      const auto* words = reinterpret_cast<const __m256i*>(from);
      sum[0] = _mm256_add_epi64(sum[0], _mm256_load_si256(words));
      sum[1] = _mm256_add_epi64(sum[1], _mm256_load_si256(words + 1));
    }
  }
  alignas(32) uint64_t lanes[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), _mm256_add_epi64(sum[0], sum[1]));
  return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

}  // namespace

const PeakKernels kPeakAvx2{read, f32, nullptr, nullptr};

}  // namespace cardloom::cpu
