#include "cardloom/comm/thread_communicator.h"

#include <fmt/format.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <ctime>
#include <string>

#include "cardloom/oplog/op_log.h"
#include "cardloom/quant/packed_matrix.h"

namespace cardloom {
namespace {

using Clock = std::chrono::steady_clock;

/// A sleeper looks at the abort word at least this often even if no bell rings.
constexpr std::chrono::milliseconds kSlice{20};

void futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t seen) {
  timespec slice{};
  slice.tv_nsec = std::chrono::nanoseconds(kSlice).count();
  ::syscall(SYS_futex, &word, FUTEX_WAIT, seen, &slice, nullptr, 0);
}

void futex_wake_all(const std::atomic<std::uint32_t>& word) {
  ::syscall(SYS_futex, &word, FUTEX_WAKE, 1 << 30, nullptr, nullptr, 0);
}

/// What differs first between two ranks' descriptors of one call, told with both values; "" if
/// nothing.
std::string difference(const CallDescriptor& a, int rank_a, const CallDescriptor& b, int rank_b) {
  const auto differ = [&](std::string_view field, const auto& of_a, const auto& of_b) {
    return fmt::format("ranks disagree about {}: rank {} has {}, rank {} has {}", field, rank_a,
                       of_a, rank_b, of_b);
  };
  if (a.op != b.op) return differ("the operator", to_string(a.op), to_string(b.op));
  if (std::strcmp(a.scope, b.scope) != 0) return differ("the layer", a.scope, b.scope);
  if (a.M != b.M) return differ("M (rows)", a.M, b.M);
  if (a.N != b.N) return differ("N (columns)", a.N, b.N);
  if (a.row != b.row) return differ("the first row", a.row, b.row);
  if (a.dtype != b.dtype) return differ("the dtype", to_string(a.dtype), to_string(b.dtype));
  if (a.num_leaves != b.num_leaves) {
    return differ("the number of leaves of K", a.num_leaves, b.num_leaves);
  }
  if (a.layout != b.layout) return differ("the algorithm", a.layout, b.layout);
  if (rank_b == rank_a + 1 && a.end_leaf != b.first_leaf) {
    return fmt::format(
        "ranks disagree about the cut of K: rank {} ends at leaf {}, rank {} begins at leaf {}",
        rank_a, a.end_leaf, rank_b, b.first_leaf);
  }
  return {};
}

}  // namespace

/// One rank's words in shared memory. Flags and descriptors of odd and even calls apart.
struct ThreadGroup::Line {
  alignas(64) std::atomic<std::uint64_t> entered{0};  ///< number of the last call entered
  CallDescriptor descriptor[2];                       ///< published by `entered`
  alignas(64) std::atomic<std::uint32_t> bell{0};     ///< rung after every post
  std::atomic<std::uint32_t> sleepers{0};             ///< ranks asleep on `bell`
  alignas(64) std::vector<std::atomic<std::uint64_t>> flags[2];  ///< = call once posted

  Line() {
    for (auto& set : flags) set = std::vector<std::atomic<std::uint64_t>>(Communicator::kNumFlags);
  }
};

class ThreadCommunicator final : public Communicator {
 public:
  ThreadCommunicator(ThreadGroup& group, int rank) : group_(group), rank_(rank) {}

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int world_size() const override { return group_.world_size_; }
  [[nodiscard]] std::int64_t buffer_bytes() const override { return group_.options_.buffer_bytes; }

  std::uint64_t enter(const CallDescriptor& descriptor, const OpLog& log,
                      const OpRecord& record) override;
  void expect(int peer, std::uint64_t call) override;
  [[nodiscard]] const CallDescriptor& descriptor(int peer, std::uint64_t call) const override {
    return line(peer).descriptor[call % 2];
  }
  [[nodiscard]] std::byte* buffer(int rank, std::uint64_t call) const override {
    return group_.buffers_[static_cast<std::size_t>(rank) * 2 + call % 2].view().data;
  }
  void post(std::uint64_t call, int flag) override;
  [[nodiscard]] bool ready(int rank, std::uint64_t call, int flag) const override {
    return line(rank).flags[call % 2][static_cast<std::size_t>(flag)].load(
               std::memory_order_acquire) >= call;
  }
  void wait(int rank, std::uint64_t call, int flag) override {
    wait_until(rank, call, [&] { return ready(rank, call, flag); });
  }
  void abort(const Error& error) override { group_.abort(error); }
  [[nodiscard]] bool aborted() const override {
    return group_.aborted_.load(std::memory_order_acquire);
  }
  void throw_if_aborted() const override;

  void restart() { call_ = 0; }

 private:
  [[nodiscard]] ThreadGroup::Line& line(int rank) const {
    return group_.lines_[static_cast<std::size_t>(rank)];
  }
  template <class Ready>
  void wait_until(int peer, std::uint64_t call, Ready ready);
  [[noreturn]] void give_up(int peer, std::uint64_t call);
  void ring();

  ThreadGroup& group_;
  int rank_;
  std::uint64_t call_ = 0;
  const OpLog* log_ = nullptr;        ///< of the call we are in
  const OpRecord* record_ = nullptr;  ///< likewise
};

std::uint64_t ThreadCommunicator::enter(const CallDescriptor& descriptor, const OpLog& log,
                                        const OpRecord& record) {
  throw_if_aborted();
  const std::uint64_t call = ++call_;
  log_ = &log;
  record_ = &record;
  ThreadGroup::Line& own = line(rank_);
  own.descriptor[call % 2] = descriptor;
  own.entered.store(call, std::memory_order_release);
  ring();
  return call;
}

void ThreadCommunicator::expect(int peer, std::uint64_t call) {
  if (peer == rank_) return;
  wait_until(peer, call,
             [&] { return line(peer).entered.load(std::memory_order_acquire) >= call; });
  const int low = std::min(rank_, peer);
  const int high = std::max(rank_, peer);
  const CallDescriptor& a = line(low).descriptor[call % 2];
  const CallDescriptor& b = line(high).descriptor[call % 2];
  const std::string what = difference(a, low, b, high);
  if (what.empty()) return;
  Error error = log_->make_error(
      *record_, ErrorCode::kInvalidArgument, what,
      "all ranks must run the same step of the same model; if they do, this is a bug of ours");
  error.detail += fmt::format("; call {} of {} ranks", call, world_size());
  group_.abort(error);
  throw_if_aborted();
}

void ThreadCommunicator::post(std::uint64_t call, int flag) {
  line(rank_).flags[call % 2][static_cast<std::size_t>(flag)].store(call,
                                                                    std::memory_order_release);
  ring();
}

/// Wakes whoever sleeps on this rank. The bell and the sleepers' count are sequentially consistent:
/// either we see the sleeper, or the sleeper sees the new bell and does not sleep.
void ThreadCommunicator::ring() {
  ThreadGroup::Line& own = line(rank_);
  own.bell.fetch_add(1);
  if (own.sleepers.load() > 0) futex_wake_all(own.bell);
}

template <class Ready>
void ThreadCommunicator::wait_until(int peer, std::uint64_t call, Ready ready) {
  for (int spin = 0; spin < group_.options_.spins; ++spin) {
    if (ready()) return;
    __builtin_ia32_pause();
  }
  const Clock::time_point deadline = Clock::now() + group_.options_.deadline;
  ThreadGroup::Line& other = line(peer);
  while (!ready()) {
    throw_if_aborted();
    const std::uint32_t bell = other.bell.load();
    other.sleepers.fetch_add(1);
    if (!ready() && !aborted()) futex_wait(other.bell, bell);
    other.sleepers.fetch_sub(1);
    if (!ready() && Clock::now() > deadline) give_up(peer, call);
  }
}

void ThreadCommunicator::give_up(int peer, std::uint64_t call) {
  const std::uint64_t entered = line(peer).entered.load(std::memory_order_acquire);
  std::string last = "it has not entered any call yet";
  if (entered > 0) {
    const CallDescriptor& theirs = line(peer).descriptor[entered % 2];
    last = fmt::format("it was last seen in call {} ({}{}{})", entered, to_string(theirs.op),
                       theirs.scope[0] != '\0' ? ", " : "", theirs.scope);
  }
  Error error = log_->make_error(
      *record_, ErrorCode::kDeadlineExceeded,
      fmt::format("rank {} did not come within {} ms", peer, group_.options_.deadline.count()),
      "look at what that rank's thread does; free its cores or raise the deadline");
  error.detail += fmt::format("; rank {} waits in call {}; {}", rank_, call, last);
  group_.abort(error);
  throw_if_aborted();
  __builtin_unreachable();
}

void ThreadCommunicator::throw_if_aborted() const {
  if (!aborted()) return;
  const std::lock_guard lock(group_.mutex_);
  throw GroupFailure(*group_.error_);
}

ThreadGroup::ThreadGroup(int world_size, ThreadGroupOptions options)
    : world_size_(world_size), options_(options) {
  if (world_size < 1 || world_size > kMaxLeaves) {
    throw_error(ErrorCode::kInvalidArgument,
                fmt::format("a group of {} ranks; 1 to {} work", world_size, kMaxLeaves));
  }
  lines_ = std::vector<Line>(static_cast<std::size_t>(world_size));
  for (int rank = 0; rank < world_size; ++rank) {
    for (int parity = 0; parity < 2; ++parity) {
      // A temporary, not emplace_back: its Location must name this line, not the vector's.
      buffers_.push_back(Tensor(DType::kU8, {options.buffer_bytes}));
    }
    communicators_.push_back(std::make_unique<ThreadCommunicator>(*this, rank));
  }
}

ThreadGroup::~ThreadGroup() = default;

Communicator& ThreadGroup::communicator(int rank) {
  return *communicators_[static_cast<std::size_t>(rank)];
}

void ThreadGroup::abort(const Error& error) {
  {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = error;
    aborted_.store(true, std::memory_order_release);
  }
  for (Line& each : lines_) {
    each.bell.fetch_add(1);
    futex_wake_all(each.bell);
  }
}

void ThreadGroup::reset() {
  const std::lock_guard lock(mutex_);
  error_.reset();
  for (Line& each : lines_) {
    each.entered.store(0);
    for (auto& set : each.flags) {
      for (std::atomic<std::uint64_t>& flag : set) flag.store(0);
    }
  }
  for (const std::unique_ptr<Communicator>& each : communicators_) {
    static_cast<ThreadCommunicator&>(*each).restart();
  }
  aborted_.store(false, std::memory_order_release);
}

}  // namespace cardloom
