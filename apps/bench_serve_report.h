#pragma once

#include <string>
#include <vector>

#include "apps/bench_serve_client.h"
#include "cardloom/base/json.h"

namespace cardloom::app {

/// p50, p90, p99 and the mean of some seconds; zeros if there are none.
struct Quantiles {
  double p50 = 0;
  double p90 = 0;
  double p99 = 0;
  double mean = 0;
};
[[nodiscard]] Quantiles quantiles_of(std::vector<double> values);

/// What a user waits at the most: a reply that keeps both counts as good.
struct ServiceLevel {
  double first_token_s = 2;
  double token_gap_s = 0.2;  ///< mean over the reply
};

struct LoadReport {
  std::int64_t requests = 0;
  std::int64_t complete = 0;
  std::int64_t refused = 0;  ///< with 429 or 503
  std::int64_t failed = 0;   ///< anything else
  std::int64_t tokens = 0;   ///< of complete replies
  double seconds = 0;        ///< from the first request to the last byte
  Quantiles first_token;
  Quantiles token_gap;
  Quantiles reply;    ///< from sending to the last byte
  Quantiles refusal;  ///< likewise, of refused requests
  double requests_per_s = 0;
  double tokens_per_s = 0;
  double good_per_s = 0;  ///< complete replies that keep the service level
  std::string first_error;
};

[[nodiscard]] LoadReport make_load_report(const std::vector<RequestOutcome>& outcomes,
                                          const ServiceLevel& level);
[[nodiscard]] std::string to_text(const LoadReport& report, const ServiceLevel& level);
[[nodiscard]] json::object to_json(const LoadReport& report, const ServiceLevel& level);
/// One page without anything from elsewhere: the figures, the spread of waiting times, and tokens a
/// second over the run.
[[nodiscard]] std::string to_html(const LoadReport& report, const ServiceLevel& level,
                                  const std::vector<RequestOutcome>& outcomes,
                                  const std::string& title);

}  // namespace cardloom::app
