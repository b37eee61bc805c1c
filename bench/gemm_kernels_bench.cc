// The micro kernels alone, on one core: products per second with a panel that lies in L2, and bytes
// per second of a weight that comes from memory.
//
//   gemm_kernels_bench [PATH]     all instruction paths of this machine, or the one named
#include <fmt/format.h>
#include <immintrin.h>

#include <cstring>
#include <string_view>

#include "bench/support.h"
#include "cardloom/backend/cpu/isa.h"
#include "cardloom/backend/cpu/kernels/gemm_driver.h"
#include "cardloom/base/integer_math.h"
#include "cardloom/quant/packed_matrix.h"
#include "cardloom/tensor/tensor.h"

namespace cardloom::cpu {
namespace {

const WeightFormat kFormats[] = {WeightFormat::kF32,  WeightFormat::kBF16,  {Encoding::kQ8, 32},
                                 {Encoding::kQ8, 64}, {Encoding::kQ8, 128}, {Encoding::kQ4, 32},
                                 {Encoding::kQ4, 64}, {Encoding::kQ4, 128}, {Encoding::kQ4Z, 32}};

/// `num_panels` panels of zeros (the kernels take the same time for any numbers) and activations.
struct Operands {
  Tensor weights;
  Tensor values;
  Tensor scales;
  Tensor sums;
  Tensor c;
  std::int64_t num_blocks;
  std::int64_t panel_bytes;
  GemmRows rows{};

  Operands(const GemmKernels& kernels, WeightFormat format, std::int64_t num_rows, std::int64_t K,
           std::int64_t num_panels)
      : num_blocks(num_k_blocks(format, K)), panel_bytes(packed_bytes(format, kPanelColumns, K)) {
    const std::int64_t padded = round_up(num_rows, kernels.row_granule);
    const std::int64_t line = format.is_quantised() ? format.group : 64;
    weights = touched(DType::kU8, num_panels * panel_bytes + 65536);
    values = touched(DType::kU8, num_blocks * padded * line);
    scales = touched(DType::kF32, num_blocks * padded);
    sums = touched(DType::kI32, num_blocks * padded);
    c = touched(DType::kF32, padded * kPanelColumns);
    rows = {values.view().data,
            reinterpret_cast<const float*>(scales.view().data),
            reinterpret_cast<const std::int32_t*>(sums.view().data),
            num_rows,
            padded,
            false};
  }

  static Tensor touched(DType dtype, std::int64_t count) {
    Tensor tensor(dtype, {count});
    std::memset(tensor.view().data, 0, static_cast<std::size_t>(tensor.size_bytes()));
    return tensor;
  }

  void run(GemmKernel kernel, std::int64_t panel, std::int64_t group) const {
    kernel(rows, weights.view().data + panel * panel_bytes, num_blocks, group, false,
           reinterpret_cast<float*>(c.view().data));
  }
};

/// 10^9 operations a second (a multiplication and an addition are two), one panel again and again.
double giga_operations(const GemmKernels& kernels, WeightFormat format, std::int64_t rows,
                       std::int64_t K) {
  const Operands operands(kernels, format, rows, K, 1);
  const GemmKernel kernel = kernel_of(kernels, format.encoding);
  const double operations = 2.0 * static_cast<double>(rows * kPanelColumns * K);
  const auto repeats = static_cast<int>(1e8 / operations) + 1;
  const std::vector<double> seconds = bench::interleaved(9, {[&] {
                                                           kernels.begin();
                                                           for (int i = 0; i < repeats; ++i)
                                                             operands.run(kernel, 0, format.group);
                                                           kernels.end();
                                                         }});
  return operations * repeats / seconds[0] / 1e9;
}

/// 10^9 bytes a second of a weight of 256 MB, K = 4096; [0]: merely read, [1..]: multiplied with so
/// many rows.
std::vector<double> stream(const GemmKernels& kernels, WeightFormat format,
                           const std::vector<std::int64_t>& rows) {
  constexpr std::int64_t kWeightBytes = 256 << 20;
  const std::int64_t num_panels = kWeightBytes / packed_bytes(format, kPanelColumns, 4096);
  const Operands weights(kernels, format, 1, 4096, num_panels);
  std::vector<Operands> operands;
  for (const std::int64_t count : rows) operands.emplace_back(kernels, format, count, 4096, 1);
  const GemmKernel kernel = kernel_of(kernels, format.encoding);
  const double bytes = static_cast<double>(num_panels * weights.panel_bytes);
  std::uint64_t total = 0;
  std::vector<std::function<void()>> contestants = {[&] {
    const std::byte* data = weights.weights.view().data;
    for (std::int64_t i = 0; i < num_panels * weights.panel_bytes; i += 64) {
      std::uint64_t word;
      std::memcpy(&word, data + i, sizeof word);
      _mm_prefetch(reinterpret_cast<const char*>(data + i + 4096), _MM_HINT_T0);
      total += word;
    }
  }};
  for (const Operands& each : operands) {
    contestants.emplace_back([&] {
      kernels.begin();
      for (std::int64_t panel = 0; panel < num_panels; ++panel) {
        kernel(each.rows, weights.weights.view().data + panel * weights.panel_bytes,
               each.num_blocks, format.group, false, reinterpret_cast<float*>(each.c.view().data));
      }
      kernels.end();
    });
  }
  std::vector<double> rates = bench::interleaved(7, contestants);
  for (double& rate : rates) rate = bytes / rate / 1e9;
  if (total != 0) fmt::print("the weights are not zero\n");
  return rates;
}

void report(Isa isa) {
  const GemmKernels& kernels = gemm_kernels(isa);
  constexpr std::int64_t kRows[] = {1, 4, 12, 16, 32};
  fmt::print("\n{}: 10^9 operations/s, panel in L2\n{:>10} {:>6}", to_string(isa), "format", "K");
  for (const std::int64_t rows : kRows) fmt::print(" {:>8}", fmt::format("M={}", rows));
  fmt::print("\n");
  for (const WeightFormat format : kFormats) {
    for (const std::int64_t K : {512, 4096, 13696}) {
      fmt::print("{:>10} {:>6}", to_string(format), K);
      for (const std::int64_t rows : kRows) {
        if (rows > kernels.block_rows) continue;
        fmt::print(" {:>8.0f}", giga_operations(kernels, format, rows, K));
      }
      fmt::print("\n");
    }
  }
  fmt::print("{}: GB/s of 256 MB, read alone and multiplied\n{:>10}     read      M=1      M=4\n",
             to_string(isa), "format");
  for (const WeightFormat format : kFormats) {
    const std::vector<double> rates = stream(kernels, format, {1, 4});
    fmt::print("{:>10} {:>8.1f} {:>8.1f} {:>8.1f}\n", to_string(format), rates[0], rates[1],
               rates[2]);
  }
}

}  // namespace
}  // namespace cardloom::cpu

int main(int argc, char** argv) {
  using namespace cardloom::cpu;
  for (const Isa isa : supported_isas()) {
    if (argc < 2 || to_string(isa) == std::string_view(argv[1])) report(isa);
  }
  return 0;
}
