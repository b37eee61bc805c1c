#include "apps/bench_serve_load.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <optional>
#include <random>

#include "cardloom/base/ascii.h"

namespace cardloom::app {
namespace {

std::optional<double> number_of(std::string_view text) {
  const std::optional<double> value = parse_number<double>(text);
  return value && std::isfinite(*value) ? value : std::nullopt;
}

/// Seconds of "2023-11-16 18:17:03.9799600", from some fixed moment; or of a plain number.
std::optional<double> seconds_of(std::string_view text) {
  if (const auto plain = number_of(text)) return plain;
  std::tm time{};
  double seconds = 0;
  if (std::sscanf(std::string(text.substr(0, 64)).c_str(), "%d-%d-%d %d:%d:%lf", &time.tm_year,
                  &time.tm_mon, &time.tm_mday, &time.tm_hour, &time.tm_min, &seconds) != 6) {
    return std::nullopt;
  }
  time.tm_year -= 1900;
  time.tm_mon -= 1;
  return static_cast<double>(timegm(&time)) + seconds;
}

std::optional<LoadRequest> request_of(std::string_view line) {
  const std::size_t first = line.find(',');
  const std::size_t second = first == std::string_view::npos ? first : line.find(',', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  const auto at = seconds_of(line.substr(0, first));
  const auto prompt = number_of(line.substr(first + 1, second - first - 1));
  const auto answer = number_of(line.substr(second + 1));
  constexpr double kMost = 1e7;
  if (!at || !prompt || !answer || *prompt < 0 || *answer < 0 || *prompt > kMost ||
      *answer > kMost) {
    return std::nullopt;
  }
  return LoadRequest{*at, static_cast<std::int64_t>(*prompt), static_cast<std::int64_t>(*answer)};
}

}  // namespace

Result<std::vector<LoadRequest>> parse_trace(std::string_view text, std::string_view what,
                                             std::int64_t limit) {
  std::vector<LoadRequest> load;
  std::int64_t number = 0;
  while (!text.empty() && (limit == 0 || static_cast<std::int64_t>(load.size()) < limit)) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (++number == 1 || line.empty()) continue;  // names of the columns
    const auto request = request_of(line);
    if (!request) {
      return make_error(ErrorCode::kInvalidArgument,
                        fmt::format("{}:{} is no line of a trace", what, number),
                        fmt::format("\"{}\"", line.substr(0, 80)),
                        "write TIMESTAMP,ContextTokens,GeneratedTokens");
    }
    load.push_back(*request);
  }
  if (load.empty()) {
    return make_error(ErrorCode::kInvalidArgument, fmt::format("{} holds no request", what),
                      "a line of names, then one line each", "give another trace");
  }
  std::stable_sort(load.begin(), load.end(),
                   [](const LoadRequest& a, const LoadRequest& b) { return a.at_s < b.at_s; });
  const double begin = load.front().at_s;
  for (LoadRequest& request : load) request.at_s -= begin;
  return load;
}

std::vector<LoadRequest> poisson_load(std::int64_t count, double rate, std::int64_t prompt_tokens,
                                      std::int64_t answer_tokens, std::uint64_t seed) {
  std::vector<LoadRequest> load;
  std::mt19937_64 generator(seed);
  double at = 0;
  for (std::int64_t index = 0; index < count; ++index) {
    load.push_back({at, prompt_tokens, answer_tokens});
    if (rate <= 0) continue;
    // By hand: std::exponential_distribution differs between libraries.
    const double uniform = (static_cast<double>(generator() >> 11) + 0.5) * 0x1p-53;
    at -= std::log(uniform) / rate;
  }
  return load;
}

void scale_load(std::vector<LoadRequest>& load, double speed, double shrink) {
  const auto scaled = [&](std::int64_t tokens) {
    return std::max<std::int64_t>(1, std::llround(static_cast<double>(tokens) / shrink));
  };
  for (LoadRequest& request : load) {
    request.at_s /= speed;
    request.prompt_tokens = scaled(request.prompt_tokens);
    request.answer_tokens = scaled(request.answer_tokens);
  }
}

}  // namespace cardloom::app
