#include "apps/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "apps/text.h"

namespace cardloom::app {
namespace {

/// With it the line fits 80 columns.
constexpr int kBarWidth = 12;
constexpr std::chrono::milliseconds kInterval{100};

/// "48 s", "2 min 05 s".
std::string duration_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::min(seconds, 359'999.0) + 0.5);
  if (whole < 60) return fmt::format("{} s", whole);
  return fmt::format("{} min {:02} s", whole / 60, whole % 60);
}

}  // namespace

std::string progress_text(std::int64_t done, std::int64_t total, std::chrono::nanoseconds elapsed) {
  const double part =
      total > 0 ? std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0) : 1;
  const auto filled = static_cast<std::size_t>(part * kBarWidth);
  std::string text =
      fmt::format("loading {:3} % [{:<{}}] {} of {}", static_cast<int>(part * 100),
                  std::string(filled, '#'), kBarWidth, binary_bytes(done), binary_bytes(total));
  const double seconds = std::chrono::duration<double>(elapsed).count();
  if (seconds <= 0 || done <= 0) return text;
  const double rate = static_cast<double>(done) / seconds;
  return text +
         fmt::format(
             ", {}/s, {} left", binary_bytes(rate),
             duration_text(static_cast<double>(std::max<std::int64_t>(total - done, 0)) / rate));
}

LoadProgress::LoadProgress(bool quiet) : shown_(!quiet && isatty(STDERR_FILENO) == 1) {}

LoadProgress::~LoadProgress() {
  if (dirty_) std::fputs("\r\033[K", stderr);
}

void LoadProgress::update(std::int64_t done, std::int64_t total) {
  const Clock::time_point now = Clock::now();
  if (!shown_ || now - last_ < kInterval) return;
  last_ = now;
  dirty_ = true;
  std::fputs(("\r\033[K" + progress_text(done, total, now - begin_)).c_str(), stderr);
}

}  // namespace cardloom::app
