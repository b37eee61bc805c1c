// Path "avx512", and once more with CARDLOOM_BF16_DOT (bf16 dot and VNNI) for "avx512_bf16":
// compiled with -mavx512…, so no std:: templates and everything in the unnamed namespace.
#include <immintrin.h>

#include "cardloom/backend/cpu/kernels/peak_kernels.h"

namespace cardloom::cpu {
namespace {

/// More than latency times throughput of any of the units; the rest of 32 holds operands.
constexpr int kAccumulators = 24;

#ifndef CARDLOOM_BF16_DOT

double f32(int64_t rounds) {
  __m512 sums[kAccumulators];
#pragma GCC unroll 24
  for (int index = 0; index < kAccumulators; ++index) sums[index] = _mm512_setzero_ps();
  const __m512 x = _mm512_set1_ps(0.5F);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 24
    for (int index = 0; index < kAccumulators; ++index) {
      sums[index] = _mm512_fmadd_ps(sums[index], x, x);
      asm volatile("" : "+v"(sums[index]));  // in a register, and not worked out in advance
    }
  }
  return static_cast<double>(rounds) * kAccumulators * 16 * 2;
}

/// 256 bytes of each stream in turn and 2 KiB ahead: the best of a dozen patterns that were tried.
uint64_t read(const std::byte* data, int64_t bytes) {
  constexpr int kStreams = 4;
  constexpr int64_t kRun = 256;
  constexpr int64_t kAhead = 2048;
  const int64_t each = bytes / kStreams;
  __m512i sum[4];
#pragma GCC unroll 4
  for (int index = 0; index < 4; ++index) sum[index] = _mm512_setzero_si512();
  for (int64_t at = 0; at < each; at += kRun) {
#pragma GCC unroll 4
    for (int stream = 0; stream < kStreams; ++stream) {
      const std::byte* from = data + stream * each + at;
#pragma GCC unroll 4
      for (int line = 0; line < 4; ++line) {
        _mm_prefetch(reinterpret_cast<const char*>(from + kAhead + 64 * line), _MM_HINT_T0);
      }
#pragma GCC unroll 4
      for (int line = 0; line < 4; ++line) {
        sum[line] = _mm512_add_epi64(
            sum[line], _mm512_load_si512(reinterpret_cast<const __m512i*>(from + 64 * line)));
      }
    }
  }
  const __m512i all =
      _mm512_add_epi64(_mm512_add_epi64(sum[0], sum[1]), _mm512_add_epi64(sum[2], sum[3]));
  return static_cast<uint64_t>(_mm512_reduce_add_epi64(all));
}

#else

double bf16(int64_t rounds) {
  __m512 sums[kAccumulators];
#pragma GCC unroll 24
  for (int index = 0; index < kAccumulators; ++index) sums[index] = _mm512_setzero_ps();
  const __m512bh x = (__m512bh)_mm512_set1_epi16(0x3f00);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 24
    for (int index = 0; index < kAccumulators; ++index) {
      sums[index] = _mm512_dpbf16_ps(sums[index], x, x);
      asm volatile("" : "+v"(sums[index]));
    }
  }
  return static_cast<double>(rounds) * kAccumulators * 32 * 2;
}

double int8(int64_t rounds) {
  __m512i sums[kAccumulators];
#pragma GCC unroll 24
  for (int index = 0; index < kAccumulators; ++index) sums[index] = _mm512_setzero_si512();
  const __m512i x = _mm512_set1_epi8(1);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 24
    for (int index = 0; index < kAccumulators; ++index) {
      sums[index] = _mm512_dpbusd_epi32(sums[index], x, x);
      asm volatile("" : "+v"(sums[index]));
    }
  }
  return static_cast<double>(rounds) * kAccumulators * 64 * 2;
}

#endif

}  // namespace

#ifndef CARDLOOM_BF16_DOT
const PeakKernels kPeakAvx512{read, f32, nullptr, nullptr};
#else
const PeakKernels kPeakAvx512Bf16{nullptr, nullptr, bf16, int8};
#endif

}  // namespace cardloom::cpu
