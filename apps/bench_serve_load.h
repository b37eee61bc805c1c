#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cardloom/base/result.h"

namespace cardloom::app {

/// One request of a load: when it is sent, how long its prompt is, how long its answer.
struct LoadRequest {
  double at_s = 0;  ///< after the start; sent as soon as a place is free, if places are limited
  std::int64_t prompt_tokens = 0;
  std::int64_t answer_tokens = 0;
};

/// The requests of a trace: a line of names, then TIMESTAMP,ContextTokens,GeneratedTokens a line,
/// as the Azure LLM inference traces have them; timestamps "2023-11-16 18:17:03.9799600" or
/// seconds. `limit`: only the first so many; 0: all. Returns kInvalidArgument with the line that is
/// no such. Source: github.com/Azure/AzurePublicDataset, AzureLLMInferenceTrace 2023.
Result<std::vector<LoadRequest>> parse_trace(std::string_view text, std::string_view what,
                                             std::int64_t limit);

/// `count` requests that arrive as a Poisson process of `rate` a second (0: all at once), all of
/// one size. The same seed gives the same arrivals.
[[nodiscard]] std::vector<LoadRequest> poisson_load(std::int64_t count, double rate,
                                                    std::int64_t prompt_tokens,
                                                    std::int64_t answer_tokens, std::uint64_t seed);

/// Divides waiting times by `speed`, and lengths by `shrink` (1 token at least).
void scale_load(std::vector<LoadRequest>& load, double speed, double shrink);

}  // namespace cardloom::app
