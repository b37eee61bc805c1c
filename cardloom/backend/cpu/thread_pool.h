#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace cardloom::cpu {

/// The team of threads of one card. The caller of parallel_for is worker 0; the others are ours,
/// each pinned to one CPU if CPUs are given.
class ThreadPool {
 public:
  /// `cpus`: operating-system CPU numbers, one a thread, the caller's first. `pin` false: the
  /// numbers only say how many threads there are.
  ThreadPool(std::vector<int> cpus, bool pin);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int size() const { return static_cast<int>(cpus_.size()); }

  /// Pins the calling thread as worker 0.
  void bind_caller() const;

  /// Calls body(index, worker) for every index in [0, count), each exactly once, by whichever
  /// worker is free; returns when all are done. Rethrows the first exception; the others' remaining
  /// indices are dropped. Which worker runs an index must not change any result.
  template <class Body>
  void parallel_for(std::int64_t count, const Body& body) {
    run(
        count,
        [](const void* self, std::int64_t index, int worker) {
          (*static_cast<const Body*>(self))(index, worker);
        },
        &body);
  }

  /// Calls body(worker) once on every worker at the same time: for loops with their own balance.
  template <class Body>
  void run_team(const Body& body) {
    parallel_workers([](const void* self, std::int64_t,
                        int worker) { (*static_cast<const Body*>(self))(worker); },
                     &body);
  }

 private:
  using Call = void (*)(const void*, std::int64_t, int);

  void run(std::int64_t count, Call call, const void* body);
  void parallel_workers(Call call, const void* body);
  void start(std::int64_t count, Call call, const void* body);
  void finish();
  void work(int worker);
  void execute(int worker);
  void pin(int worker) const;

  std::vector<int> cpus_;
  bool pin_;
  // The job: written by the caller before generation_ moves on, read by workers after.
  Call call_ = nullptr;
  const void* body_ = nullptr;
  std::int64_t count_ = 0;
  bool once_per_worker_ = false;
  alignas(64) std::atomic<std::int64_t> next_{0};
  alignas(64) std::atomic<std::uint64_t> generation_{0};
  alignas(64) std::atomic<int> busy_{0};
  std::atomic<bool> stop_{false};
  std::atomic<int> sleepers_{0};
  std::mutex mutex_;  ///< guards failure_ and sleeping on wake_; leaf lock
  std::condition_variable wake_;
  std::exception_ptr failure_;
  std::vector<std::thread> threads_;
};

}  // namespace cardloom::cpu
