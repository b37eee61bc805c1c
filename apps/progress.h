#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace cardloom::app {

/// "loading  42 % [#####       ] 5.2 GiB of 12.3 GiB, 1.4 GiB/s, 5 s left".
/// Speed and rest of time from the whole time so far; left out before there is any.
[[nodiscard]] std::string progress_text(std::int64_t done, std::int64_t total,
                                        std::chrono::nanoseconds elapsed);

/// How far loading is, in one line that is written over: on stderr, at most ten times a second, and
/// only if a person looks on (a terminal).
class LoadProgress {
 public:
  /// `quiet`: nothing at all.
  explicit LoadProgress(bool quiet);
  ~LoadProgress();  ///< wipes the line
  LoadProgress(const LoadProgress&) = delete;
  LoadProgress& operator=(const LoadProgress&) = delete;

  void update(std::int64_t done, std::int64_t total);

 private:
  using Clock = std::chrono::steady_clock;
  bool shown_;
  bool dirty_ = false;
  Clock::time_point begin_ = Clock::now();
  Clock::time_point last_ = begin_;  // a model that loads at once shows nothing
};

}  // namespace cardloom::app
