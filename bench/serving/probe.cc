#include "bench/serving/probe.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

#include "cardloom/base/error.h"

namespace cardloom::bench {
namespace {

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// User and system seconds of a /proc stat file of a process or a thread.
double cpu_of(const std::filesystem::path& stat) {
  const std::string text = text_of(stat);
  std::istringstream fields(text.substr(std::min(text.rfind(')') + 1, text.size())));
  std::string skipped;
  for (int field = 3; field < 14; ++field) fields >> skipped;
  double user = 0;
  double system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double machine_cpu() {
  std::istringstream line(text_of("/proc/stat"));
  std::string name;
  double user = 0;
  double nice = 0;
  double system = 0;
  line >> name >> user >> nice >> system;
  return (user + nice + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

/// The value of a metric without labels.
double metric(const std::string& text, const std::string& name) {
  const std::size_t at = text.find("\n" + name + " ");
  if (at == std::string::npos) {
    throw_error(ErrorCode::kNotFound, fmt::format("/metrics has no {}", name));
  }
  return std::strtod(text.c_str() + at + name.size() + 2, nullptr);
}

}  // namespace

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double quantile(std::vector<double> values, double part) {
  if (values.empty()) return 0;
  const double rank = std::ceil(part * static_cast<double>(values.size()));
  const auto index = static_cast<std::ptrdiff_t>(std::max(1.0, rank)) - 1;
  std::nth_element(values.begin(), values.begin() + index, values.end());
  return values[static_cast<std::size_t>(index)];
}

int connect_to(const Target& target) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(target.port);
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::inet_pton(AF_INET, target.host.c_str(), &address.sin_addr) != 1 || fd < 0 ||
      ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int why = errno;
    if (fd >= 0) ::close(fd);
    throw_error(ErrorCode::kUnavailable,
                fmt::format("no connection to {}:{}", target.host, target.port),
                std::strerror(why));
  }
  return fd;
}

Answer get(const Target& target, const std::string& path) {
  const double begin = now_s();
  Answer answer;
  const int fd = connect_to(target);
  const std::string request =
      fmt::format("GET {} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n", path);
  if (::send(fd, request.data(), request.size(), MSG_NOSIGNAL) > 0) {
    char bytes[16384];
    for (ssize_t count = 0; (count = ::recv(fd, bytes, sizeof bytes, 0)) > 0;) {
      answer.text.append(bytes, static_cast<std::size_t>(count));
    }
  }
  ::close(fd);
  constexpr std::size_t kStatus = 9;  // after "HTTP/1.1 "
  if (answer.text.size() > kStatus) answer.status = std::atoi(answer.text.c_str() + kStatus);
  answer.seconds = now_s() - begin;
  return answer;
}

Sample take_sample(const Target& target) {
  const std::string text = get(target, "/metrics").text;
  Sample sample{.at_s = now_s(),
                .steps = metric(text, "cardloom_steps_total"),
                .step_s = metric(text, "cardloom_step_seconds_total"),
                .tokens = metric(text, "cardloom_generation_tokens_total"),
                .running = metric(text, "cardloom_requests_running"),
                .waiting = metric(text, "cardloom_requests_waiting"),
                .kv_usage = metric(text, "cardloom_kv_cache_usage_ratio")};
  const std::filesystem::path process = fmt::format("/proc/{}", target.pid);
  sample.server_cpu = cpu_of(process / "stat");
  for (const auto& thread : std::filesystem::directory_iterator(process / "task")) {
    if (text_of(thread.path() / "comm").starts_with("http-")) {
      sample.io_cpu += cpu_of(thread.path() / "stat");
    }
  }
  sample.own_cpu = cpu_of("/proc/self/stat");
  sample.machine_cpu = machine_cpu();
  std::istringstream memory(text_of(process / "statm"));
  double pages = 0;
  memory >> pages >> pages;
  sample.rss_bytes = pages * static_cast<double>(sysconf(_SC_PAGESIZE));
  return sample;
}

double others_share(const Sample& before, const Sample& after) {
  const double ours = after.server_cpu - before.server_cpu + after.own_cpu - before.own_cpu;
  const double cores = static_cast<double>(std::thread::hardware_concurrency());
  return std::max(
      0.0, (after.machine_cpu - before.machine_cpu - ours) / (cores * (after.at_s - before.at_s)));
}

}  // namespace cardloom::bench
