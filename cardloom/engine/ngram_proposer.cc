#include "cardloom/engine/ngram_proposer.h"

#include <algorithm>

namespace cardloom {
namespace {

constexpr std::ptrdiff_t kLongest = 3;
constexpr std::ptrdiff_t kShortest = 2;  // one token alone says nearly nothing of the next

}  // namespace

std::vector<std::int32_t> propose_by_lookup(std::span<const std::int32_t> tokens,
                                            std::int64_t max_tokens) {
  const auto size = static_cast<std::ptrdiff_t>(tokens.size());
  for (std::ptrdiff_t length = kLongest; length >= kShortest; --length) {
    if (size <= length) continue;
    const auto suffix = tokens.end() - length;
    // The earlier place may overlap the last one, but something must follow it.
    const auto place = std::find_end(tokens.begin(), tokens.end() - 1, suffix, tokens.end());
    if (place == tokens.end() - 1) continue;
    const auto next = place + length;
    const auto count = std::min<std::ptrdiff_t>(max_tokens, tokens.end() - next);
    return {next, next + count};
  }
  return {};
}

}  // namespace cardloom
