#include "cardloom/device/stream.h"

#include <fmt/format.h>

#include <cstdlib>
#include <string_view>

namespace cardloom {
namespace {

/// A launch of a small model takes microseconds; this many polls (some 10 us) bridge that without a
/// system call. Yielding in between keeps more streams than cores from starving each other.
constexpr int kPolls = 200;
constexpr int kPollsPerYield = 20;

template <class Ready>
bool poll(Ready ready) {
  for (int attempt = 0; attempt < kPolls; ++attempt) {
    if (ready()) return true;
    if (attempt % kPollsPerYield == kPollsPerYield - 1) {
      std::this_thread::yield();
    } else {
      __builtin_ia32_pause();
    }
  }
  return ready();
}

}  // namespace

StreamOptions StreamOptions::from_environment() {
  StreamOptions options;
  for (const char* name :
       {"CARDLOOM_LAUNCH_BLOCKING", "ASCEND_LAUNCH_BLOCKING", "CUDA_LAUNCH_BLOCKING"}) {
    const char* value = std::getenv(name);
    if (value == nullptr) continue;
    const std::string_view text(value);
    if (text != "0" && text != "1" && text != "2") {
      throw_error(ErrorCode::kInvalidArgument, fmt::format("{}={} is not a mode", name, text),
                  "0: asynchronous, 1: wait after every launch, 2: also look for NaN and Inf",
                  fmt::format("set {} to 0, 1 or 2, or unset it", name));
    }
    options.launch_blocking = text[0] - '0';
    break;
  }
  return options;
}

Stream::Stream(Device& device, OpLog& log, StreamOptions options)
    : device_(device), log_(log), options_(options), slots_(new Slot[kNumSlots]) {
  executor_ = std::thread([this] { execute(); });
}

Stream::~Stream() {
  {
    const std::lock_guard lock(mutex_);
    stop_.store(true);
  }
  wake_.notify_all();
  executor_.join();
}

Stream::Slot& Stream::claim_slot() {
  const std::uint64_t next = launched_.load(std::memory_order_relaxed);
  while (next - finished_.load(std::memory_order_acquire) >= kNumSlots) {
    wait_finished(next - kNumSlots + 1);
  }
  return slots_[next % kNumSlots];
}

void Stream::publish_slot() {
  launched_.fetch_add(1);  // sequentially consistent: ordered against sleepers_ below
  if (sleepers_.load() > 0) {
    const std::lock_guard lock(mutex_);
    wake_.notify_all();
  }
}

/// True when `count` launches have finished, or when nothing finished for the stall deadline.
bool Stream::wait_finished(std::uint64_t count) {
  const auto ready = [&] { return finished_.load(std::memory_order_acquire) >= count; };
  if (poll(ready)) return true;
  const std::uint64_t before = finished_.load();
  std::unique_lock lock(mutex_);
  sleepers_.fetch_add(1);
  wake_.wait_for(lock, options_.stall_deadline,
                 [&] { return finished_.load() != before || ready(); });
  sleepers_.fetch_sub(1);
  return ready() || finished_.load() == before;  // no progress at all: the caller judges
}

void Stream::wait_idle() {
  const std::uint64_t target = launched_.load(std::memory_order_relaxed);
  while (!wait_finished(target)) {
  }
}

void Stream::synchronize() {
  wait_idle();
  const std::uint64_t target = launched_.load(std::memory_order_relaxed);
  if (finished_.load(std::memory_order_acquire) < target) {
    if (const OpRecord* record = log_.find(OpState::kRunning); record != nullptr) {
      throw Exception(log_.make_error(
          *record, ErrorCode::kDeadlineExceeded,
          fmt::format("still running after {} s without progress", options_.stall_deadline.count()),
          "look at the other ranks' operators in the same report; restart the command"));
    }
    throw_error(ErrorCode::kDeadlineExceeded, "the stream makes no progress",
                fmt::format("{} of {} launches finished", finished_.load(), target));
  }
  const std::lock_guard lock(mutex_);
  if (failure_) throw Exception(*failure_);
}

void Stream::fail(const Error& error) {
  {
    const std::lock_guard lock(mutex_);
    if (failure_) return;
    failure_ = error;
    failed_.store(true, std::memory_order_release);
  }
  if (failure_hook_) failure_hook_(error);
}

void Stream::reset() {
  wait_idle();
  const std::lock_guard lock(mutex_);
  failure_.reset();
  failed_.store(false, std::memory_order_release);
}

void Stream::execute() {
  device_.bind_thread();
  for (std::uint64_t next = 0;; ++next) {
    const auto ready = [&] { return launched_.load(std::memory_order_acquire) > next; };
    if (!poll(ready)) {
      std::unique_lock lock(mutex_);
      sleepers_.fetch_add(1);
      // Not an unbounded wait for a peer: idle until there is work or the stream ends.
      wake_.wait(lock, [&] { return launched_.load() > next || stop_.load(); });
      sleepers_.fetch_sub(1);
      if (launched_.load() <= next) return;
    }
    Slot& slot = slots_[next % kNumSlots];
    slot.run(slot.bytes);
    finished_.fetch_add(1);  // sequentially consistent, as in publish_slot
    if (sleepers_.load() > 0) {
      const std::lock_guard lock(mutex_);
      wake_.notify_all();
    }
  }
}

}  // namespace cardloom
