// Path "plain": what the compiler makes of C++ for any CPU of the kind. f32 multiply and add are
// two instructions, as in gemm_plain.cc.
#include <cstring>

#include "cardloom/backend/cpu/kernels/peak_kernels.h"

namespace cardloom::cpu {
namespace {

constexpr int kLanes = 4;
constexpr int kAccumulators = 12;
using Vector = float __attribute__((vector_size(kLanes * sizeof(float))));

double f32(std::int64_t rounds) {
  Vector sums[kAccumulators] = {};
  Vector a = {1, 1, 1, 1};
  Vector b = {2, 2, 2, 2};
  for (std::int64_t round = 0; round < rounds; ++round) {
    asm volatile("" : "+m"(a), "+m"(b));
    const Vector x = a;
    const Vector y = b;
#pragma GCC unroll 12
    for (int index = 0; index < kAccumulators; ++index) sums[index] = sums[index] * x + y;
  }
  for (Vector& sum : sums) asm volatile("" : "+m"(sum));
  return static_cast<double>(rounds) * kAccumulators * kLanes * 2;
}

std::uint64_t read(const std::byte* data, std::int64_t bytes) {
  constexpr int kStreams = 4;
  const std::int64_t each = bytes / kStreams;
  std::uint64_t sums[kStreams] = {};
  for (std::int64_t at = 0; at < each; at += sizeof(std::uint64_t)) {
    for (int stream = 0; stream < kStreams; ++stream) {
      std::uint64_t word = 0;
      std::memcpy(&word, data + stream * each + at, sizeof word);
      sums[stream] += word;
    }
  }
  return sums[0] + sums[1] + sums[2] + sums[3];
}

}  // namespace

const PeakKernels kPeakPlain{read, f32, nullptr, nullptr};

}  // namespace cardloom::cpu
