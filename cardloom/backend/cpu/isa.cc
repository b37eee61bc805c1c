#include "cardloom/backend/cpu/isa.h"

#include <fmt/format.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <string>

namespace cardloom::cpu {
namespace {

/// Whether the tile units are there and the kernel lets this process use them: their registers are
/// 8 KiB a thread, so Linux hands them out on request only (arch_prctl(2), once a process).
bool has_tiles() {
#if defined(__x86_64__)
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  constexpr unsigned kTileBits = 1U << 22 | 1U << 24 | 1U << 25;  // bf16, tile, int8
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0 || (edx & kTileBits) != kTileBits) {
    return false;
  }
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  static const bool granted = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return granted;
#else
  return false;
#endif
}

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
      return is_supported(Isa::kAvx512) && __builtin_cpu_supports("avx512bf16") &&
             __builtin_cpu_supports("avx512vnni");
    case Isa::kAmx:
      return is_supported(Isa::kAvx512Bf16) && has_tiles();
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
    case Isa::kAmx:
      return "amx";
  }
  return "?";
}

std::vector<Isa> supported_isas() {
  std::vector<Isa> isas;
  for (const Isa isa : {Isa::kPlain, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16, Isa::kAmx}) {
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
