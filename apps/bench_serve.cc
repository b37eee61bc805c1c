#include <fmt/format.h>

#include <cstdio>
#include <fstream>

#include "apps/bench_serve_report.h"
#include "apps/commands.h"
#include "apps/session.h"
#include "apps/text.h"
#include "cardloom/base/base64.h"
#include "cardloom/base/file.h"

namespace cardloom::app {
namespace {

constexpr std::int64_t kMaxTraceBytes = std::int64_t{256} << 20;
constexpr std::int64_t kMaxPictureBytes = std::int64_t{64} << 20;

/// http://host:port/prefix in its parts.
ClientOptions client_of(const BenchServeOptions& options) {
  constexpr std::string_view kScheme = "http://";
  if (!options.url.starts_with(kScheme)) {
    fail_usage(fmt::format("--url is \"{}\", but must begin with http://", options.url),
               "the load is sent without TLS, from this machine", "--url http://127.0.0.1:8000");
  }
  std::string rest = options.url.substr(kScheme.size());
  ClientOptions client;
  if (const std::size_t slash = rest.find('/'); slash != std::string::npos) {
    client.path_prefix = rest.substr(slash);
    rest.resize(slash);
  }
  while (client.path_prefix.ends_with('/')) client.path_prefix.pop_back();
  if (client.path_prefix.ends_with("/v1")) {
    client.path_prefix.resize(client.path_prefix.size() - 3);
  }
  const std::size_t colon = rest.rfind(':');
  client.host = rest.substr(0, colon);
  client.port = 80;
  if (colon != std::string::npos) {
    const int port = std::atoi(rest.c_str() + colon + 1);
    check_range("the port of --url", port, 1, 65535);
    client.port = static_cast<std::uint16_t>(port);
  }
  client.api_key = options.api_key;
  client.concurrency = options.concurrency;
  client.model = options.model;
  client.shared_prefix = options.shared_prefix;
  client.timeout_s = static_cast<double>(options.timeout);
  if (!options.image.empty()) {
    client.picture = "data:image/jpeg;base64," +
                     encode_base64(unwrap(read_file(options.image, kMaxPictureBytes), kExitUsage));
  }
  return client;
}

std::vector<LoadRequest> load_of(const BenchServeOptions& options) {
  std::vector<LoadRequest> load;
  if (options.trace.empty()) {
    load = poisson_load(options.requests, options.rate, options.prompt, options.decode,
                        static_cast<std::uint64_t>(options.seed));
  } else {
    const std::string text = unwrap(read_file(options.trace, kMaxTraceBytes), kExitUsage);
    load = unwrap(parse_trace(text, options.trace, options.requests), kExitUsage);
  }
  scale_load(load, options.speed, options.shrink);
  return load;
}

void check_positive(const char* name, double value) {
  if (value > 0) return;
  fail_usage(fmt::format("{} is {}, but must be above 0", name, value), {},
             fmt::format("{} 1", name));
}

}  // namespace

int run_bench_serve(const BenchServeOptions& options) {
  check_range("--requests", options.requests, options.trace.empty() ? 1 : 0, 10'000'000);
  check_range("--prompt", options.prompt, 1, 10'000'000);
  check_range("--decode", options.decode, 1, 10'000'000);
  check_range("--concurrency", options.concurrency, 0, 1'000'000);
  check_range("--timeout", options.timeout, 1, 1'000'000);
  check_positive("--speed", options.speed);
  check_positive("--shrink", options.shrink);
  const ClientOptions client = client_of(options);
  const std::vector<LoadRequest> load = load_of(options);
  const ServiceLevel level{options.good_first_token_ms * 1e-3, options.good_gap_ms * 1e-3};
  const std::vector<RequestOutcome> outcomes = run_load(load, client);
  const LoadReport report = make_load_report(outcomes, level);
  if (!options.html.empty()) {
    std::ofstream file(options.html);
    file << to_html(report, level, outcomes,
                    fmt::format("cardloom bench serve: {}",
                                options.trace.empty() ? options.url : options.trace));
    if (!file.flush()) {
      throw Failure(kExitFailed, make_error(ErrorCode::kResourceExhausted,
                                            fmt::format("{} could not be written", options.html)));
    }
  }
  if (options.json) {
    print_json(to_json(report, level));
  } else {
    std::fputs(to_text(report, level).c_str(), stdout);
  }
  return report.failed == 0 && report.complete > 0 ? kExitOk : kExitFailed;
}

}  // namespace cardloom::app
