#include "cardloom/layers/rotary_table.h"

#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "cardloom/base/error.h"

namespace cardloom {

Tensor make_rotary_table(const RotaryTableOptions& options, DeviceId device) {
  if (options.rotary_dim < 0 || options.rotary_dim % 2 != 0 ||
      (options.dtype != DType::kF32 && options.dtype != DType::kBF16)) {
    throw_error(
        ErrorCode::kInvalidArgument,
        "a rotary table needs an even rotary_dim and dtype f32 or bf16",
        fmt::format("rotary_dim {}, dtype {}", options.rotary_dim, to_string(options.dtype)));
  }
  const std::int64_t num_pairs = options.rotary_dim / 2;
  std::vector<double> frequencies;
  for (std::int64_t pair = 0; pair < num_pairs; ++pair) {
    frequencies.push_back(std::pow(
        options.theta, -2.0 * static_cast<double>(pair) / static_cast<double>(options.rotary_dim)));
  }
  Tensor table(DType::kF32, {options.num_positions, num_pairs, 2}, device);
  auto* out = reinterpret_cast<float*>(table.view().data);
  const bool is_bf16 = options.dtype == DType::kBF16;
  for (std::int64_t position = 0; position < options.num_positions; ++position) {
    for (const double frequency : frequencies) {
      const double angle = static_cast<double>(position) * frequency;
      for (const double value : {std::cos(angle), std::sin(angle)}) {
        const auto rounded = static_cast<float>(value);
        *out++ = is_bf16 ? to_f32(to_bf16(rounded)) : rounded;
      }
    }
  }
  return table;
}

}  // namespace cardloom
