#include "cardloom/sampling/sampling_params.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

namespace cardloom {
namespace {

Error out_of_range(const char* field, double value, const char* range, const char* remedy,
                   Location caller) {
  return make_error(ErrorCode::kInvalidArgument,
                    fmt::format("{} is {}, but must be {}", field, value, range), {}, remedy,
                    caller);
}

}  // namespace

Status validate(const SamplingParams& params, Location caller) {
  if (!(params.temperature >= 0) || std::isinf(params.temperature)) {
    return out_of_range("temperature", params.temperature, "a finite number >= 0",
                        "0 always takes the likeliest token; 0.8 is usual", caller);
  }
  if (params.top_k < 0) {
    return out_of_range("top_k", static_cast<double>(params.top_k), ">= 0",
                        "0 keeps all tokens; 50 is usual", caller);
  }
  if (!(params.top_p > 0) || params.top_p > 1) {
    return out_of_range("top_p", params.top_p, "in (0, 1]", "1 keeps all tokens; 0.8 is usual",
                        caller);
  }
  // Logits are f32: a penalty beyond f32 would turn every seen token into 0 or Inf.
  const double largest = std::numeric_limits<float>::max();
  if (!(params.repetition_penalty >= 1 / largest) || params.repetition_penalty > largest) {
    return out_of_range("repetition_penalty", params.repetition_penalty, "a finite number > 0",
                        "1 has no effect; 1.1 is usual", caller);
  }
  return {};
}

}  // namespace cardloom
