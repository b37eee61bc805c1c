#include "cardloom/backend/cpu/machine_probe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "cardloom/backend/cpu/kernels/peak_kernels.h"
#include "cardloom/base/error.h"
#include "cardloom/tensor/tensor.h"

namespace cardloom::cpu {
namespace {

bool has(Isa isa) {
  const std::vector<Isa> isas = supported_isas();
  return std::find(isas.begin(), isas.end(), isa) != isas.end();
}

TEST(MachineProbe, MeasuresEveryUnitThatTheMachineHas) {
  MachineProbe probe({.cpus = {0, 0}, .pinned = false, .read_bytes = std::int64_t{1} << 20});
  EXPECT_EQ(probe.figures(1).read_bytes_per_s, 0);
  probe.measure();
  probe.measure();
  for (const int threads : {1, 2}) {
    const MachineFigures figures = probe.figures(threads);
    EXPECT_EQ(figures.num_threads, threads);
    EXPECT_GT(figures.read_bytes_per_s, 0);
    EXPECT_GT(figures.plain_f32_flops, 0);
    EXPECT_GE(figures.f32_flops, figures.plain_f32_flops);
    EXPECT_EQ(figures.avx2_f32_flops > 0, has(Isa::kAvx2));
    EXPECT_EQ(figures.bf16_flops > 0, has(Isa::kAvx512Bf16));
    EXPECT_EQ(figures.vnni_ops > 0, has(Isa::kAvx512Bf16));
    EXPECT_EQ(figures.amx_bf16_flops > 0, has(Isa::kAmx));
    EXPECT_EQ(figures.amx_int8_ops > 0, has(Isa::kAmx));
  }
  EXPECT_GT(probe.round_trip_ns(), 0);
}

TEST(MachineProbe, OneThreadHasNobodyToTalkTo) {
  MachineProbe probe({.cpus = {0}, .pinned = false, .read_bytes = std::int64_t{1} << 20});
  probe.measure();
  EXPECT_EQ(probe.round_trip_ns(), 0);
  EXPECT_EQ(probe.figures(1).num_threads, 1);
}

TEST(MachineProbe, RefusesNothingToMeasure) {
  EXPECT_THROW(MachineProbe({.cpus = {}}), Exception);
  EXPECT_THROW(MachineProbe({.read_bytes = 100}), Exception);
}

/// The sum proves that every byte was read: a loop that skips some would measure too much.
TEST(PeakKernels, ReadLoopsReadEverything) {
  constexpr std::int64_t kBytes = 3 * 4096;
  const Tensor memory(DType::kU8, {kBytes});
  auto* words = reinterpret_cast<std::uint64_t*>(memory.view().data);
  std::iota(words, words + kBytes / 8, std::uint64_t{1} << 40);
  const std::uint64_t sum = std::accumulate(words, words + kBytes / 8, std::uint64_t{0});
  EXPECT_EQ(kPeakPlain.read(memory.view().data, kBytes), sum);
  if (has(Isa::kAvx2)) {
    EXPECT_EQ(kPeakAvx2.read(memory.view().data, kBytes), sum);
  }
  if (has(Isa::kAvx512)) {
    EXPECT_EQ(kPeakAvx512.read(memory.view().data, kBytes), sum);
  }
}

}  // namespace
}  // namespace cardloom::cpu
