#include "cardloom/quant/weight_format.h"

#include <fmt/format.h>

namespace cardloom {
namespace {

struct Name {
  std::string_view name;
  Encoding encoding;
  bool has_groups;
};
constexpr Name kNames[] = {{"f32", Encoding::kF32, false},
                           {"bf16", Encoding::kBF16, false},
                           {"q8", Encoding::kQ8, true},
                           {"q4", Encoding::kQ4, true},
                           {"q4z", Encoding::kQ4Z, true}};
constexpr std::int16_t kGroups[] = {32, 64, 128};

}  // namespace

std::string to_string(WeightFormat format) {
  for (const Name& name : kNames) {
    if (name.encoding != format.encoding) continue;
    return name.has_groups ? fmt::format("{}:{}", name.name, format.group) : std::string(name.name);
  }
  return "?";
}

Result<WeightFormat> parse_weight_format(std::string_view name, Location caller) {
  for (const Name& known : kNames) {
    if (name == known.name) {
      return WeightFormat{known.encoding, known.has_groups ? kGroups[0] : std::int16_t{0}};
    }
    for (const std::int16_t group : kGroups) {
      if (known.has_groups && name == fmt::format("{}:{}", known.name, group)) {
        return WeightFormat{known.encoding, group};
      }
    }
  }
  return make_error(ErrorCode::kInvalidArgument, fmt::format("no weight format \"{}\"", name),
                    "there are bf16, f32, q8, q4, q4z, and with a group size q8:64 or q4:128, say",
                    "name one of these; groups are 32, 64 or 128", caller);
}

}  // namespace cardloom
