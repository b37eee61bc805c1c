#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace cardloom::server {

/// A few threads for what must not hold up an I/O thread: parsing megabytes, pictures, grammars.
/// Tasks begin in order of arrival.
class TaskPool {
 public:
  TaskPool(int num_threads, std::size_t max_waiting);
  ~TaskPool() { stop(); }
  TaskPool(const TaskPool&) = delete;
  TaskPool& operator=(const TaskPool&) = delete;

  /// Drops what has not begun; waits for the rest. Once, or by one thread.
  void stop();

  /// False, and the task is not taken, if max_waiting tasks wait already or the pool is stopped.
  /// Tasks must not throw. Any thread, also beside stop().
  [[nodiscard]] bool try_post(std::function<void()> task);

 private:
  void serve();

  std::mutex mutex_;  ///< guards the three below; no lock is taken inside it
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  bool stop_ = false;
  std::size_t max_waiting_;
  std::vector<std::thread> threads_;  ///< last: they use all above
};

}  // namespace cardloom::server
