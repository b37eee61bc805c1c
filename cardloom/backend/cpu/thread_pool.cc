#include "cardloom/backend/cpu/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include <utility>

namespace cardloom::cpu {
namespace {

/// Kernels of one step follow each other within microseconds: stay awake about 20 us between them.
constexpr int kPolls = 400;

template <class Ready>
bool poll(Ready ready) {
  for (int attempt = 0; attempt < kPolls; ++attempt) {
    if (ready()) return true;
    __builtin_ia32_pause();
  }
  return ready();
}

}  // namespace

ThreadPool::ThreadPool(std::vector<int> cpus, bool pin) : cpus_(std::move(cpus)), pin_(pin) {
  for (int worker = 1; worker < size(); ++worker) {
    threads_.emplace_back([this, worker] { work(worker); });
  }
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(mutex_);
    stop_.store(true);
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::pin(int worker) const {
  if (!pin_) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(cpus_[static_cast<std::size_t>(worker)]), &set);
  // A refusal (a cpuset changed under us) costs speed, not correctness: the thread floats.
  (void)::pthread_setaffinity_np(::pthread_self(), sizeof set, &set);
}

void ThreadPool::bind_caller() const { pin(0); }

void ThreadPool::run(std::int64_t count, Call call, const void* body) {
  if (size() == 1 || count <= 1) {
    for (std::int64_t index = 0; index < count; ++index) call(body, index, 0);
    return;
  }
  once_per_worker_ = false;
  start(count, call, body);
  finish();
}

void ThreadPool::parallel_workers(Call call, const void* body) {
  if (size() == 1) {
    call(body, 0, 0);
    return;
  }
  once_per_worker_ = true;
  start(size(), call, body);
  finish();
}

void ThreadPool::start(std::int64_t count, Call call, const void* body) {
  call_ = call;
  body_ = body;
  count_ = count;
  next_.store(0, std::memory_order_relaxed);
  busy_.store(size() - 1, std::memory_order_relaxed);
  generation_.fetch_add(1);  // sequentially consistent against sleepers_
  if (sleepers_.load() > 0) {
    const std::lock_guard lock(mutex_);
    wake_.notify_all();
  }
  execute(0);
}

/// Our own threads run a bounded piece of the same kernel: waiting for them needs no deadline. One
/// that takes longer than the polls has lost its CPU to somebody: asleep, we leave ours to whoever
/// needs it (the server's I/O, the very worker if it is not pinned) and are due first afterwards.
void ThreadPool::finish() {
  const auto idle = [&] { return busy_.load(std::memory_order_acquire) == 0; };
  if (!poll(idle)) {
    for (int busy = busy_.load(); busy != 0; busy = busy_.load()) busy_.wait(busy);
  }
  if (failure_) {
    const std::exception_ptr failure = std::exchange(failure_, nullptr);
    std::rethrow_exception(failure);
  }
}

void ThreadPool::execute(int worker) {
  try {
    if (once_per_worker_) {
      call_(body_, worker, worker);
      return;
    }
    for (;;) {
      const std::int64_t index = next_.fetch_add(1, std::memory_order_relaxed);
      if (index >= count_) return;
      call_(body_, index, worker);
    }
  } catch (...) {
    next_.store(count_, std::memory_order_relaxed);
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::current_exception();
  }
}

void ThreadPool::work(int worker) {
  pin(worker);
  for (std::uint64_t seen = 0;;) {
    const auto ready = [&] { return generation_.load(std::memory_order_acquire) != seen; };
    if (!poll(ready)) {
      std::unique_lock lock(mutex_);
      sleepers_.fetch_add(1);
      wake_.wait(lock, [&] { return generation_.load() != seen || stop_.load(); });
      sleepers_.fetch_sub(1);
      if (generation_.load() == seen) return;
    }
    ++seen;
    execute(worker);
    if (busy_.fetch_sub(1) == 1) busy_.notify_one();  // a system call only if finish() sleeps
  }
}

}  // namespace cardloom::cpu
