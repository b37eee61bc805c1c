#include "cardloom/sampling/stop_checker.h"

#include <algorithm>
#include <utility>

namespace cardloom {

StopChecker::StopChecker(std::vector<std::int32_t> stop_ids, std::int64_t max_tokens)
    : stop_ids_(std::move(stop_ids)), max_tokens_(max_tokens) {}

StopChecker::Verdict StopChecker::check(std::int32_t token_id, std::int64_t num_tokens) const {
  if (std::find(stop_ids_.begin(), stop_ids_.end(), token_id) != stop_ids_.end()) {
    return Verdict::kStop;
  }
  return max_tokens_ > 0 && num_tokens >= max_tokens_ ? Verdict::kLength : Verdict::kGoOn;
}

}  // namespace cardloom
