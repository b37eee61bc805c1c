#include "cardloom/api/ranges.h"

#include <fmt/format.h>

#include <limits>

#include "cardloom/base/error.h"

namespace cardloom::api {
namespace {

constexpr std::int64_t kMaxCount = std::numeric_limits<std::int32_t>::max();
constexpr std::int64_t kMinSeed = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kMaxSeed = std::numeric_limits<std::int64_t>::max();

constexpr std::string_view kLengthNote = "leave it out to go on until the context is full";

constexpr IntegerRange kIntegerRanges[] = {
    {"max_tokens", 1, kMaxCount, {}, kLengthNote},
    {"max_completion_tokens", 1, kMaxCount, {}, kLengthNote},
    {"max_output_tokens", 1, kMaxCount, {}, kLengthNote},
    {"min_tokens", 0, kMaxCount, 0, {}},
    // OpenAI's bound; the server's own (--max-n) is checked besides.
    {"n", 1, 128, 1, {}},
    {"best_of", 1, 128, {}, {}},
    // -1 is how vLLM's clients say "all".
    {"top_k", -1, kMaxCount, 0, "0 and -1 keep all tokens"},
    {"top_logprobs", 0, 20, 0, {}},
    {"logprobs", 0, 20, {}, "it counts the likeliest tokens to tell at each place"},
    {"seed", kMinSeed, kMaxSeed, {}, "-1 or no seed at all: the server draws one"},
    {"priority", 0, 2, 1, "0 is high, 1 normal, 2 low"},
    {"max_pixels", 1, std::int64_t{1} << 40, {}, {}},
    {"token", 0, kMaxCount, {}, "it is a token's id"},
};

constexpr RealRange kRealRanges[] = {
    {"temperature", 0, 2, false, 1.0, "0 always takes the likeliest token"},
    {"messages:temperature", 0, 1, false, 1.0, "0 always takes the likeliest token"},
    {"top_p", 0, 1, true, 1.0, "1 keeps all tokens; for the likeliest alone use temperature 0"},
    {"min_p", 0, 1, false, 0.0, {}},
    {"presence_penalty", -2, 2, false, 0.0, {}},
    {"frequency_penalty", -2, 2, false, 0.0, {}},
    {"repetition_penalty", 0, 10, true, 1.0, "1 has no effect"},
    {"logit_bias", -100, 100, false, {}, {}},
};

template <class Range>
const Range& find(std::span<const Range> ranges, std::string_view name) {
  for (const Range& range : ranges) {
    if (range.name == name) return range;
  }
  throw_error(ErrorCode::kInternal, fmt::format("{} must have a row in ranges.cc", name));
}

}  // namespace

std::span<const IntegerRange> integer_ranges() { return kIntegerRanges; }
std::span<const RealRange> real_ranges() { return kRealRanges; }

const IntegerRange& integer_range(std::string_view name) { return find(integer_ranges(), name); }
const RealRange& real_range(std::string_view name) { return find(real_ranges(), name); }

}  // namespace cardloom::api
