#include "cardloom/backend/cpu/isa.h"

#include <fmt/format.h>

#include <string>

namespace cardloom::cpu {
namespace {

bool is_supported(Isa isa) {
  __builtin_cpu_init();
  switch (isa) {
    case Isa::kPlain:
      return true;
    case Isa::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case Isa::kAvx512:
      return is_supported(Isa::kAvx2) && __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512dq");
    case Isa::kAvx512Bf16:
      return is_supported(Isa::kAvx512) && __builtin_cpu_supports("avx512bf16");
  }
  return false;
}

}  // namespace

std::string_view to_string(Isa isa) {
  switch (isa) {
    case Isa::kPlain:
      return "plain";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx512Bf16:
      return "avx512_bf16";
  }
  return "?";
}

std::vector<Isa> supported_isas() {
  std::vector<Isa> isas;
  for (const Isa isa : {Isa::kPlain, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16}) {
    if (is_supported(isa)) isas.push_back(isa);
  }
  return isas;
}

Result<Isa> choose_isa(std::string_view name, Location caller) {
  const std::vector<Isa> isas = supported_isas();
  if (name.empty() || name == "auto") return isas.back();
  std::string works;
  for (const Isa isa : isas) {
    if (name == to_string(isa)) return isa;
    works += (works.empty() ? "" : ", ") + std::string(to_string(isa));
  }
  return make_error(
      ErrorCode::kInvalidArgument, fmt::format("no instruction path \"{}\" on this machine", name),
      fmt::format("it has {}", works), "set CARDLOOM_ISA to one of these, or unset it", caller);
}

}  // namespace cardloom::cpu
