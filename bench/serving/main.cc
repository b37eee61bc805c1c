#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include "bench/serving/scenarios.h"
#include "cardloom/base/error.h"

namespace {

using namespace cardloom;

constexpr const char* kUsage =
    "usage: cardloom_serving PID URL SCENARIO NUMBER...\n"
    "  streams COUNT TOKENS              so many streams at once\n"
    "  overload RUNNING TOKENS SECONDS   ten times the arrivals that the server can answer\n"
    "  short COUNT CONCURRENCY           memory over many short requests\n"
    "  cancels COUNT                     clients that hang up\n"
    "  half-open COUNT SECONDS           clients that never end their request's head\n"
    "Measures the server at URL (http://ADDRESS:PORT), which is process PID of this machine; see\n"
    "bench/serving.sh. Exit code 1: something was lost that must not be.\n";

bool run(const bench::Target& target, std::string_view scenario,
         const std::vector<double>& numbers) {
  const auto whole = [&](std::size_t index) { return static_cast<std::int64_t>(numbers[index]); };
  if (scenario == "streams" && numbers.size() == 2) {
    return bench::run_streams(target, whole(0), whole(1));
  }
  if (scenario == "overload" && numbers.size() == 3) {
    return bench::run_overload(target, whole(0), whole(1), numbers[2]);
  }
  if (scenario == "short" && numbers.size() == 2) {
    return bench::run_short_requests(target, whole(0), whole(1));
  }
  if (scenario == "cancels" && numbers.size() == 1) return bench::run_cancels(target, whole(0));
  if (scenario == "half-open" && numbers.size() == 2) {
    return bench::run_half_open(target, whole(0), numbers[1]);
  }
  throw_error(ErrorCode::kInvalidArgument,
              fmt::format("no scenario {} of {} numbers", scenario, numbers.size()));
}

}  // namespace

int main(int argc, char** argv) {
  constexpr int kFirstNumber = 4;
  if (argc < kFirstNumber || std::strncmp(argv[2], "http://", 7) != 0) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  std::vector<double> numbers;
  for (int index = kFirstNumber; index < argc; ++index) {
    numbers.push_back(std::max(1.0, std::strtod(argv[index], nullptr)));
  }
  try {
    bench::Target target{.pid = std::atoi(argv[1])};
    const std::string address = argv[2] + 7;
    const std::size_t colon = address.find(':');
    target.host = address.substr(0, colon);
    if (colon != std::string::npos) {
      target.port = static_cast<std::uint16_t>(std::atoi(address.c_str() + colon + 1));
    }
    return run(target, argv[3], numbers) ? 0 : 1;
  } catch (const std::exception& failure) {
    std::fputs(fmt::format("cardloom_serving: {}\n", failure.what()).c_str(), stderr);
    return 1;
  }
}
