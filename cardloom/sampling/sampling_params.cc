#include "cardloom/sampling/sampling_params.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <string_view>
#include <utility>

namespace cardloom {
namespace {

Error out_of_range(std::string_view field, double value, std::string_view range, const char* remedy,
                   Location caller) {
  return make_error(ErrorCode::kInvalidArgument,
                    fmt::format("{} is {}, but must be {}", field, value, range), {}, remedy,
                    caller);
}

Status check_bias(const std::vector<LogitBias>& entries, Location caller) {
  if (entries.size() > kMaxLogitBiases) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("logit_bias has {} entries, but may have at most {}",
                                  entries.size(), kMaxLogitBiases),
                      {}, "name fewer tokens", caller);
  }
  for (const LogitBias& entry : entries) {
    if (entry.id < 0) {
      return make_error(ErrorCode::kInvalidArgument,
                        fmt::format("logit_bias names token {}, but ids must be >= 0", entry.id),
                        {}, "use ids of this model's tokenizer", caller);
    }
    if (!(entry.bias >= -100) || entry.bias > 100) {
      return out_of_range(fmt::format("logit_bias of token {}", entry.id), entry.bias,
                          "in [-100, 100]", "-100 forbids a token, 100 forces it, nearly", caller);
    }
  }
  return {};
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
  if (!(params.min_p >= 0) || params.min_p > 1) {
    return out_of_range("min_p", params.min_p, "in [0, 1]", "0 has no effect; 0.05 is usual",
                        caller);
  }
  for (const auto& [field, value] : {std::pair{"presence_penalty", params.presence_penalty},
                                     std::pair{"frequency_penalty", params.frequency_penalty}}) {
    if (!(value >= -2) || value > 2) {
      return out_of_range(field, value, "in [-2, 2]", "0 has no effect; above 0: repeat less",
                          caller);
    }
  }
  if (params.num_logprobs < -1 || params.num_logprobs > kMaxLogprobs) {
    return out_of_range("num_logprobs", static_cast<double>(params.num_logprobs),
                        fmt::format("in [-1, {}]", kMaxLogprobs),
                        "-1 asks for none, 0 for the chosen token's alone", caller);
  }
  return check_bias(params.logit_bias, caller);
}

}  // namespace cardloom
