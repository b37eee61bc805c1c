#pragma once

#include <cstdint>
#include <vector>

namespace cardloom {

/// Whether a sequence ends with the token just chosen.
class StopChecker {
 public:
  enum class Verdict {
    kGoOn,
    kStop,    ///< a stop id: the sequence ends and the id itself is not output
    kLength,  ///< the last token there is room for: it is output
  };

  /// `max_tokens` 0: no limit.
  explicit StopChecker(std::vector<std::int32_t> stop_ids = {}, std::int64_t max_tokens = 0);

  /// Of the token that is number `num_tokens` of the output, counted from 1.
  [[nodiscard]] Verdict check(std::int32_t token_id, std::int64_t num_tokens) const;

 private:
  std::vector<std::int32_t> stop_ids_;
  std::int64_t max_tokens_;
};

}  // namespace cardloom
