// Scenarios of clients that do not behave.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <future>
#include <random>
#include <thread>

#include "bench/serving/scenarios.h"

namespace cardloom::bench {
namespace {

void print_row(const std::string& what, const std::string& figure) {
  fmt::print("| {} | {} |\n", what, figure);
  std::fflush(stdout);
}

void send_text(int fd, const std::string& text) {
  // Whoever is cut off is counted later, by the state of the socket.
  static_cast<void>(::send(fd, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
}

/// Whether the server has neither closed nor answered.
bool is_open(int fd) {
  char byte = 0;
  return ::recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/// With a reset instead of a normal end.
void hang_up_hard(int fd) {
  const linger hard{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  ::close(fd);
}

std::string request_text(bool stream, std::uint64_t number) {
  const std::string body = fmt::format(
      R"({{"messages":[{{"role":"user","content":"{} tell me a long story"}}],"max_tokens":400,)"
      R"("ignore_eos":true,"stream":{}}})",
      number, stream);
  return fmt::format(
      "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
      "content-length: {}\r\n\r\n{}",
      body.size(), body);
}

}  // namespace

bool run_cancels(const Target& target, std::int64_t count) {
  constexpr std::uint64_t kThreads = 16;  // so many under way at once
  std::atomic<std::int64_t> next = 0;
  const auto work = [&](std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::exponential_distribution<double> patience_ms(1.0 / 20);
    for (std::int64_t number = next++; number < count; number = next++) {
      const int fd = connect_to(target);
      send_text(fd, request_text(random() % 4 != 0, random()));
      std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(patience_ms(random)));
      if (random() % 2 == 0) {
        hang_up_hard(fd);
      } else {
        ::close(fd);
      }
    }
  };
  std::vector<std::future<void>> clients;
  for (std::uint64_t index = 0; index < kThreads; ++index) {
    clients.push_back(std::async(std::launch::async, work, index));
  }
  for (std::future<void>& client : clients) client.get();  // throws what a client threw
  const double begin = now_s();
  Sample left = take_sample(target);
  while (left.running + left.waiting > 0 && now_s() < begin + 5) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    left = take_sample(target);
  }
  const double settled = now_s() - begin;
  print_row("requests that hung up at random moments", fmt::format("{}", count));
  print_row("left: running; waiting; part of the KV blocks in use",
            fmt::format("{:.0f}; {:.0f}; {}", left.running, left.waiting, left.kv_usage));
  print_row("so after", fmt::format("{:.0f} ms", settled * 1e3));
  return left.running + left.waiting + left.kv_usage == 0;
}

bool run_half_open(const Target& target, std::int64_t count, double seconds) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  std::vector<int> slow;
  for (std::int64_t index = 0; index < count; ++index) {
    slow.push_back(connect_to(target));
    send_text(slow.back(), "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nx-slow: ");
  }
  std::atomic<bool> is_done = false;
  std::thread dripping([&] {  // a byte a second from each
    while (!is_done) {
      for (const int fd : slow) send_text(fd, "a");
      std::this_thread::sleep_for(std::chrono::seconds(1));
    }
  });
  std::vector<double> times;
  std::int64_t failed = 0;
  for (const double end = now_s() + seconds; now_s() < end;) {
    const Answer answer = get(target, "/health");
    times.push_back(answer.seconds);
    failed += answer.status == 200 ? 0 : 1;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  std::int64_t still_open = 0;
  for (const int fd : slow) still_open += is_open(fd) ? 1 : 0;
  is_done = true;
  dripping.join();
  for (const int fd : slow) ::close(fd);
  print_row("half-open connections; not cut off after the run",
            fmt::format("{}; {}", count, still_open));
  print_row("/health beside them: calls; failed", fmt::format("{}; {}", times.size(), failed));
  print_row("/health, connecting included, p50, p99, largest",
            fmt::format("{:.1f} ms, {:.1f} ms, {:.1f} ms", 1e3 * quantile(times, 0.5),
                        1e3 * quantile(times, 0.99), 1e3 * quantile(times, 1)));
  return failed == 0;
}

}  // namespace cardloom::bench
