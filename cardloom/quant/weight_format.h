#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cardloom/base/result.h"
#include "cardloom/tensor/dtype.h"

namespace cardloom {

/// How the numbers of a packed weight are stored.
///
///   kF32, kBF16  as they are
///   kQ8          w = scale * q, q in [-127, 127]
///   kQ4          w = scale * q, q in [-8, 7], symmetric: the number of largest magnitude is -8 or
///                exact at the rounded scale (as GGUF's q4_0)
///   kQ4Z         w = scale * (u - zero), u and zero in [0, 15]
///
/// Scales are f16, one for `group` neighbouring k of an output feature; the last group of a leaf
/// may be shorter.
enum class Encoding : std::uint8_t { kF32, kBF16, kQ8, kQ4, kQ4Z };

struct WeightFormat {
  Encoding encoding = Encoding::kF32;
  std::int16_t group = 0;  ///< 32, 64 or 128 where quantised, else 0

  static const WeightFormat kF32;
  static const WeightFormat kBF16;

  [[nodiscard]] constexpr bool is_quantised() const { return group != 0; }
  friend constexpr bool operator==(WeightFormat, WeightFormat) = default;
};

inline constexpr WeightFormat WeightFormat::kF32{Encoding::kF32, 0};
inline constexpr WeightFormat WeightFormat::kBF16{Encoding::kBF16, 0};

/// The dtype of activations that a format multiplies with. Quantised weights take bf16 and make
/// int8 of it: see activation_group.h.
constexpr DType activation_dtype(WeightFormat format) {
  return format.encoding == Encoding::kF32 ? DType::kF32 : DType::kBF16;
}

/// "f32", "bf16", "q8:32", "q4:64", "q4z:128".
[[nodiscard]] std::string to_string(WeightFormat format);

/// The format named so; q8, q4 and q4z alone have groups of 32.
/// Returns kInvalidArgument, listing what there is, for any other name.
Result<WeightFormat> parse_weight_format(std::string_view name,
                                         Location caller = Location::current());

/// K is stored in blocks, the last one filled up with zeros: what one row of activations holds in
/// one 64-byte line (16 f32 or 32 bf16), or a quantisation group.
constexpr std::int64_t k_per_block(WeightFormat format) {
  if (format.is_quantised()) return format.group;
  return format.encoding == Encoding::kF32 ? 16 : 32;
}

}  // namespace cardloom
