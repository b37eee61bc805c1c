#pragma once

#include <string_view>
#include <vector>

#include "cardloom/base/result.h"

namespace cardloom::cpu {

/// An instruction path: it decides the kernels and so the bits of every result. Later ones are
/// faster. kAvx512Bf16 has VNNI too (no CPU has the one without the other); kAmx has both and the
/// tile units for bf16 and int8.
enum class Isa { kPlain, kAvx2, kAvx512, kAvx512Bf16, kAmx };
inline constexpr int kNumIsas = 5;

/// "plain", "avx2", "avx512", "avx512_bf16", "amx".
[[nodiscard]] std::string_view to_string(Isa isa);

/// What this machine runs, slowest first; never empty.
[[nodiscard]] std::vector<Isa> supported_isas();

/// The path named `name`, or the fastest supported one for "" and "auto".
/// Returns kInvalidArgument, listing what works here, for an unknown or unsupported name.
Result<Isa> choose_isa(std::string_view name, Location caller = Location::current());

}  // namespace cardloom::cpu
