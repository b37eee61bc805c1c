#include "cardloom/server/task_pool.h"

#include <utility>

namespace cardloom::server {

TaskPool::TaskPool(int num_threads, std::size_t max_waiting) : max_waiting_(max_waiting) {
  for (int index = 0; index < num_threads; ++index) threads_.emplace_back([this] { serve(); });
}

void TaskPool::stop() {
  std::deque<std::function<void()>> dropped;  // ends after the lock: tasks hold requests
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    dropped.swap(tasks_);
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

bool TaskPool::try_post(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    if (stop_ || tasks_.size() >= max_waiting_) return false;
    tasks_.push_back(std::move(task));
  }
  wake_.notify_one();
  return true;
}

void TaskPool::serve() {
  for (;;) {
    std::function<void()> task;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stop_ || !tasks_.empty(); });
      if (stop_) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
}

}  // namespace cardloom::server
