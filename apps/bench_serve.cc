#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "apps/bench_serve_report.h"
#include "apps/commands.h"
#include "apps/session.h"
#include "apps/text.h"
#include "cardloom/base/ascii.h"
#include "cardloom/base/base64.h"
#include "cardloom/base/file.h"

namespace cardloom::app {
namespace {

constexpr std::int64_t kMaxTraceBytes = std::int64_t{256} << 20;
constexpr std::int64_t kMaxPictureBytes = std::int64_t{64} << 20;

/// By the first bytes: some servers believe what a data: URL says.
const char* type_of(std::string_view picture) {
  if (picture.starts_with("\x89PNG")) return "png";
  return picture.starts_with("RIFF") ? "webp" : "jpeg";
}

/// "localhost", "localhost:8000", "[::1]:8000".
void read_address(const std::string& url, std::string_view text, ClientOptions& client) {
  const bool is_v6 = text.starts_with('[');
  const std::size_t end = std::min(text.find(is_v6 ? ']' : ':'), text.size());
  const std::string_view host = is_v6 ? text.substr(1, end - 1) : text.substr(0, end);
  const std::string_view rest = text.substr(std::min(is_v6 ? end + 1 : end, text.size()));
  std::optional<std::int64_t> port;
  if (rest.empty() && !(is_v6 && end == text.size())) port = 80;
  if (rest.starts_with(':')) port = parse_number<std::int64_t>(rest.substr(1));
  if (host.empty() || !port || *port < 1 || *port > 65535) {
    fail_usage(fmt::format("--url is \"{}\", but must be http://HOST:PORT", url),
               "the port is a number from 1 to 65535, and 80 if there is none",
               "--url http://127.0.0.1:8000");
  }
  client.host = host;
  client.port = static_cast<std::uint16_t>(*port);
}

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
  read_address(options.url, rest, client);
  client.api_key = options.api_key;
  client.concurrency = options.concurrency;
  client.model = options.model;
  client.shared_prefix = options.shared_prefix;
  client.timeout_s = static_cast<double>(options.timeout);
  if (!options.image.empty()) {
    const std::string bytes = unwrap(read_file(options.image, kMaxPictureBytes), kExitUsage);
    client.picture = fmt::format("data:image/{};base64,{}", type_of(bytes), encode_base64(bytes));
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

std::ofstream open_page(const std::string& path) {
  std::ofstream file(path);
  if (!file) {
    fail_usage(fmt::format("cannot write {}", path), std::strerror(errno),
               "--html FILE in a folder that exists and may be written");
  }
  return file;
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
  if (!(options.rate >= 0)) {
    fail_usage(fmt::format("--rate is {}, but must be 0 or more", options.rate),
               "arrivals a second; 0: all at once", "--rate 0");
  }
  check_positive("--speed", options.speed);
  check_positive("--shrink", options.shrink);
  const ClientOptions client = client_of(options);
  const std::vector<LoadRequest> load = load_of(options);
  const ServiceLevel level{options.good_first_token_ms * 1e-3, options.good_gap_ms * 1e-3};
  std::ofstream page;  // before the load: a wrong path must not cost the run
  if (!options.html.empty()) page = open_page(options.html);
  const std::vector<RequestOutcome> outcomes = run_load(load, client);
  const LoadReport report = make_load_report(outcomes, level);
  if (!options.html.empty()) {
    page << to_html(report, level, outcomes,
                    fmt::format("cardloom bench serve: {}",
                                options.trace.empty() ? options.url : options.trace));
    if (!page.flush()) {
      throw Failure(kExitFailed, make_error(ErrorCode::kResourceExhausted,
                                            fmt::format("{} could not be written", options.html),
                                            "the disk may be full", "--html FILE elsewhere"));
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
