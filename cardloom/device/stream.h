#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <thread>
#include <type_traits>

#include "cardloom/base/error.h"
#include "cardloom/device/device.h"
#include "cardloom/oplog/op_log.h"

namespace cardloom {

struct StreamOptions {
  /// 0: launches return at once. 1: every launch waits for its kernel. 2: also looks for NaN and
  /// Inf in its outputs. Same results and same errors in every mode.
  int launch_blocking = 0;
  /// Write a fingerprint of every launch's outputs into its record (what `check` compares).
  bool fingerprints = false;
  /// synchronize() gives up after this long without any launch finishing.
  std::chrono::seconds stall_deadline{300};

  /// launch_blocking from CARDLOOM_LAUNCH_BLOCKING, or else ASCEND_ or CUDA_LAUNCH_BLOCKING.
  [[nodiscard]] static StreamOptions from_environment();
};

/// A queue of kernels on one card, run in order by one executor thread.
///
/// The first failure is kept; work behind it is skipped; synchronize() throws it. One thread
/// launches and synchronizes.
class Stream {
 public:
  Stream(Device& device, OpLog& log, StreamOptions options = {});
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  /// Queues `work`, a trivially copyable callable `void()`; waits only while the queue is full.
  /// Work must not throw. With launch_blocking, returns when it has run.
  template <class Work>
  void launch(const Work& work) {
    static_assert(std::is_trivially_copyable_v<Work>, "work crosses threads as plain bytes");
    static_assert(sizeof(Work) <= kMaxWorkBytes);
    Slot& slot = claim_slot();
    new (slot.bytes) Work(work);
    slot.run = [](void* bytes) { (*std::launder(static_cast<Work*>(bytes)))(); };
    publish_slot();
    if (options_.launch_blocking > 0) wait_idle();
  }

  /// Returns when everything launched so far has run. Throws the stream's first failure, or
  /// kDeadlineExceeded, naming the running operator, if nothing finishes for stall_deadline.
  void synchronize();

  /// How many launches there were, and how many of them have run: a watchdog's view of progress.
  /// Any thread.
  [[nodiscard]] std::uint64_t num_launched() const { return launched_.load(); }
  [[nodiscard]] std::uint64_t num_finished() const { return finished_.load(); }

  [[nodiscard]] bool failed() const { return failed_.load(std::memory_order_acquire); }
  /// Keeps `error` if it is the first. Any thread.
  void fail(const Error& error);
  /// Called once with the first failure of the stream, on the thread that failed: how a rank tells
  /// the others (Communicator::abort). Set before the first launch.
  void set_failure_hook(std::function<void(const Error&)> hook) { failure_hook_ = std::move(hook); }
  /// Forgets the failure, after synchronize(): the stream serves again.
  void reset();

  [[nodiscard]] Device& device() const { return device_; }
  [[nodiscard]] OpLog& log() const { return log_; }
  [[nodiscard]] const StreamOptions& options() const { return options_; }
  void set_fingerprints(bool on) { options_.fingerprints = on; }

  /// Of the queue, in bytes.
  [[nodiscard]] static std::int64_t reserved_bytes() {
    return static_cast<std::int64_t>(kNumSlots * sizeof(Slot));
  }

  static constexpr std::size_t kMaxWorkBytes = 1008;

 private:
  static constexpr std::uint64_t kNumSlots = 128;
  struct Slot {
    alignas(16) std::byte bytes[kMaxWorkBytes];
    void (*run)(void*) = nullptr;
  };

  Slot& claim_slot();
  void publish_slot();
  void wait_idle();
  bool wait_finished(std::uint64_t count);
  void execute();

  Device& device_;
  OpLog& log_;
  StreamOptions options_;
  std::unique_ptr<Slot[]> slots_;
  alignas(64) std::atomic<std::uint64_t> launched_{0};  ///< written by the launching thread
  alignas(64) std::atomic<std::uint64_t> finished_{0};  ///< written by the executor
  std::atomic<bool> stop_{false};
  std::atomic<bool> failed_{false};
  std::atomic<int> sleepers_{
      0};             ///< threads in wake_; a poster takes the lock only if there are any
  std::mutex mutex_;  ///< guards failure_ and sleeping on wake_; taken last
  std::condition_variable wake_;
  std::optional<Error> failure_;
  std::function<void(const Error&)> failure_hook_;
  std::thread executor_;
};

}  // namespace cardloom
