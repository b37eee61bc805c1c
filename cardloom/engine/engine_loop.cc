#include "cardloom/engine/engine_loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

#include "cardloom/engine/sequence.h"
#include "cardloom/engine/step_activity.h"

namespace cardloom {
namespace {

std::int64_t steady_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Error stopped_error() {
  return make_error(ErrorCode::kUnavailable, "the engine is being stopped", {},
                    "send the request to another server, or later");
}

Error lost_error(const Error& why) {
  return make_error(ErrorCode::kUnavailable, "the engine has lost a rank", why.describe(),
                    "restart the server");
}

LoopEvent failed(std::uint64_t sequence_id, const Error& error) {
  return {.event = {.sequence_id = sequence_id, .finish = FinishReason::kError, .error = error}};
}

}  // namespace

void StepRows::observe(std::int64_t num_rows) {
  const auto bound = std::lower_bound(kBounds.begin(), kBounds.end(), num_rows);
  ++counts[static_cast<std::size_t>(bound - kBounds.begin())];
  sum += static_cast<std::uint64_t>(num_rows);
}

class EngineLoop::Impl {
 public:
  Impl(std::unique_ptr<Engine> engine, std::int64_t max_waiting)
      : engine_(std::move(engine)),
        max_waiting_(max_waiting),
        stats_(engine_->stats()),
        thread_([this] { run(); }) {}
  ~Impl();

  Result<std::uint64_t> submit(std::unique_ptr<Sequence> sequence, LoopListener& listener);
  [[nodiscard]] Status accepts() const;
  void cancel(std::uint64_t sequence_id);
  void observe(StepObserver observer);
  [[nodiscard]] EngineStats stats() const;
  [[nodiscard]] bool idle() const;
  [[nodiscard]] std::optional<Error> lost() const;
  [[nodiscard]] const Engine& engine() const { return *engine_; }

 private:
  struct Submission {
    std::unique_ptr<Sequence> sequence;
    LoopListener* listener = nullptr;
  };
  /// A step that is over, with what must be read before others are admitted.
  struct EndedStep {
    StepReport report;
    std::vector<SequenceTimes> times;  ///< [event]
  };
  /// What is told while the next step runs.
  struct News {
    std::optional<EndedStep> step;  ///< becomes events then
    std::vector<LoopEvent> events;
    std::optional<StepActivity> activity;
    StepObserver observer;
  };

  void run();
  bool take_commands();
  void do_step();
  void tell();
  void keep(StepReport report);
  static void append_events(const EndedStep& step, std::vector<LoopEvent>& events);
  void look_at(const StepReport& step, std::int64_t begin);
  void give_up(const Error& error);
  void publish();
  [[nodiscard]] Status has_place() const;

  std::unique_ptr<Engine> engine_;  ///< members that any thread may call aside, its thread's alone
  const std::int64_t max_waiting_;
  const std::int64_t origin_ = steady_ns();

  // The engine's thread's alone:
  News news_;
  std::vector<std::uint64_t> log_positions_;  ///< [rank], while somebody looks
  std::optional<Error> failure_;              ///< why no step can follow

  /// Held while listeners are told, so that who has cancelled is told nothing more. Guards
  /// listeners_. Taken before mutex_; the engine's thread may come back in from a listener.
  std::mutex telling_;
  std::unordered_map<std::uint64_t, LoopListener*> listeners_;  ///< of admitted sequences
  std::atomic<bool> is_telling_{false};  ///< whether the engine's thread holds telling_

  mutable std::mutex mutex_;  ///< guards what follows; taken last
  std::condition_variable wake_;
  std::vector<Submission> submitted_;
  std::vector<std::uint64_t> cancelled_;
  StepObserver observer_;
  EngineStats stats_;
  bool is_saturated_ = false;  ///< whether the last step left somebody waiting
  bool is_busy_ = false;
  bool stop_ = false;
  std::optional<Error> lost_;

  std::thread thread_;  ///< last: it uses everything above
};

EngineLoop::Impl::~Impl() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

// --- Any thread ---

/// Whether there is a place in the queue; with mutex_ held. Places of running sequences that are
/// free count too, unless somebody was left waiting although they are: then blocks are short.
Status EngineLoop::Impl::has_place() const {
  if (lost_) return lost_error(*lost_);
  if (stop_) return stopped_error();
  const std::int64_t free_places = is_saturated_ ? 0 : engine_->max_sequences() - stats_.running;
  const std::int64_t num_waiting = static_cast<std::int64_t>(submitted_.size()) + stats_.waiting;
  if (num_waiting >= max_waiting_ + free_places) {
    return make_error(
        ErrorCode::kResourceExhausted,
        fmt::format("{} requests run and {} wait, of {} that may", stats_.running, num_waiting,
                    max_waiting_),
        fmt::format("{} of {} KV blocks are used", stats_.kv_blocks_used, stats_.kv_blocks),
        "try again later");
  }
  return {};
}

Status EngineLoop::Impl::accepts() const {
  const std::lock_guard lock(mutex_);
  return has_place();
}

Result<std::uint64_t> EngineLoop::Impl::submit(std::unique_ptr<Sequence> sequence,
                                               LoopListener& listener) {
  const std::lock_guard lock(mutex_);
  if (Status status = has_place(); !status) return status.error();
  const std::uint64_t id = sequence->id();
  submitted_.push_back({std::move(sequence), &listener});
  wake_.notify_all();
  return id;
}

void EngineLoop::Impl::cancel(std::uint64_t sequence_id) {
  std::unique_lock telling(telling_, std::defer_lock);
  const bool is_listener = is_telling_ && std::this_thread::get_id() == thread_.get_id();
  if (!is_listener) telling.lock();
  const std::lock_guard lock(mutex_);
  const auto is_it = [&](const Submission& each) { return each.sequence->id() == sequence_id; };
  if (std::erase_if(submitted_, is_it) > 0 || listeners_.erase(sequence_id) == 0) return;
  cancelled_.push_back(sequence_id);
  wake_.notify_all();
}

void EngineLoop::Impl::observe(StepObserver observer) {
  const std::lock_guard lock(mutex_);
  observer_ = std::move(observer);
}

EngineStats EngineLoop::Impl::stats() const {
  const std::lock_guard lock(mutex_);
  EngineStats stats = stats_;
  const auto num_new = static_cast<std::int64_t>(submitted_.size());
  stats.waiting += num_new;
  stats.waiting_for_step += num_new;
  return stats;
}

bool EngineLoop::Impl::idle() const {
  const std::lock_guard lock(mutex_);
  return !is_busy_ && submitted_.empty();
}

std::optional<Error> EngineLoop::Impl::lost() const {
  const std::lock_guard lock(mutex_);
  return lost_;
}

// --- The engine's thread ---

void EngineLoop::Impl::run() {
  while (take_commands()) do_step();
}

/// Admits and cancels what came in; sleeps while there is nothing to do. False: stop.
bool EngineLoop::Impl::take_commands() {
  std::vector<Submission> submitted;
  std::vector<std::uint64_t> cancelled;
  {
    std::unique_lock lock(mutex_);
    is_busy_ =
        (!failure_ && !engine_->idle()) || !news_.events.empty() || news_.step || news_.activity;
    wake_.wait(lock,
               [this] { return is_busy_ || stop_ || !submitted_.empty() || !cancelled_.empty(); });
    if (stop_) return false;
  }
  {
    const std::scoped_lock lock(telling_, mutex_);
    submitted.swap(submitted_);
    cancelled.swap(cancelled_);
    for (const Submission& each : submitted) listeners_[each.sequence->id()] = each.listener;
    stats_.waiting += static_cast<std::int64_t>(submitted.size());
    stats_.waiting_for_step += static_cast<std::int64_t>(submitted.size());
    is_busy_ = true;
  }
  for (Submission& each : submitted) {
    if (failure_) {
      news_.events.push_back(failed(each.sequence->id(), lost_error(*failure_)));
    } else {
      engine_->admit(std::move(each.sequence));
    }
  }
  for (const std::uint64_t id : cancelled) {
    if (!failure_) engine_->cancel(id);
  }
  return true;
}

/// Lets the ranks compute, and tells meanwhile what the step before brought.
void EngineLoop::Impl::do_step() {
  StepObserver observer;
  {
    const std::lock_guard lock(mutex_);
    observer = observer_;
  }
  // The engine's own step loop ends what a step throws; what comes here, such as no memory for a
  // plan, leaves it in a state that nobody knows.
  try {
    log_positions_.clear();
    for (int rank = 0; observer && !failure_ && rank < engine_->world_size(); ++rank) {
      log_positions_.push_back(engine_->op_log(rank).last_sequence());
    }
    const std::int64_t begin = steady_ns();
    const bool is_running = !failure_ && engine_->begin_step();
    publish();
    tell();
    if (!is_running) return;
    StepReport step = engine_->end_step();
    failure_ = engine_->lost();
    if (observer && !failure_) {
      look_at(step, begin);
      news_.observer = std::move(observer);
    }
    keep(std::move(step));
  } catch (const Exception& failure) {
    give_up(failure.error());
  } catch (const std::exception& failure) {
    give_up(make_error(ErrorCode::kInternal, "the engine has broken down", failure.what()));
  }
  publish();
}

/// Ends all sequences; the engine is not asked again.
void EngineLoop::Impl::give_up(const Error& error) {
  failure_ = error;
  is_telling_ = false;  // a listener may have thrown, though it must not
  const std::lock_guard telling(telling_);
  news_ = {};
  for (const auto& entry : listeners_) news_.events.push_back(failed(entry.first, error));
}

void EngineLoop::Impl::publish() {
  const std::lock_guard lock(mutex_);
  if (failure_) {
    lost_ = failure_;
    stats_.running = stats_.waiting = stats_.kv_blocks_used = 0;
    stats_.waiting_for_step = stats_.waiting_for_place = 0;
    return;
  }
  stats_ = engine_->stats();
  is_saturated_ = stats_.waiting > 0;
}

/// Between two steps, while the ranks have nothing to do: as little as possible.
void EngineLoop::Impl::keep(StepReport report) {
  EndedStep& step = news_.step.emplace();
  step.times.reserve(report.events.size());
  for (const SequenceEvent& event : report.events) {
    step.times.push_back(engine_->times(event.sequence_id));
  }
  step.report = std::move(report);
}

void EngineLoop::Impl::append_events(const EndedStep& step, std::vector<LoopEvent>& events) {
  std::unordered_map<std::uint64_t, SequenceProgress> progress;
  for (const SequenceProgress& each : step.report.progress)
    progress.emplace(each.sequence_id, each);
  for (std::size_t index = 0; index < step.report.events.size(); ++index) {
    const SequenceEvent& event = step.report.events[index];
    LoopEvent told{.event = event};
    if (const auto entry = progress.find(event.sequence_id); entry != progress.end()) {
      told.pictures_encoded = entry->second.pictures_encoded;
      told.rows_cached = entry->second.rows_cached;
    }
    told.times = step.times[index];
    events.push_back(std::move(told));
  }
  for (const SequenceEvent& event : step.report.events) progress.erase(event.sequence_id);
  for (const auto& [id, each] : progress) {  // no token yet: how far it is
    events.push_back({.event = {.sequence_id = id},
                      .pictures_encoded = each.pictures_encoded,
                      .rows_cached = each.rows_cached});
  }
}

void EngineLoop::Impl::look_at(const StepReport& step, std::int64_t begin) {
  std::vector<const OpLog*> logs;
  for (int rank = 0; rank < engine_->world_size(); ++rank) logs.push_back(&engine_->op_log(rank));
  news_.activity = StepActivity{.step_id = step.step_id,
                                .rows = step.rows,
                                .sequences = static_cast<std::int64_t>(step.progress.size()),
                                .pictures = step.pictures,
                                .begin = begin - origin_,
                                .end = steady_ns() - origin_,
                                .spans = card_spans(logs, log_positions_, origin_)};
}

/// Each listener once, with the events of its sequences that are not cancelled.
void EngineLoop::Impl::tell() {
  News news = std::exchange(news_, {});
  if (news.step) append_events(*news.step, news.events);
  {
    const std::lock_guard telling(telling_);
    is_telling_ = true;
    std::vector<std::pair<LoopListener*, std::vector<LoopEvent>>> of_listener;
    std::unordered_map<LoopListener*, std::size_t> places;
    for (LoopEvent& event : news.events) {
      const auto entry = listeners_.find(event.event.sequence_id);
      if (entry == listeners_.end()) continue;
      const auto [place, is_new] = places.try_emplace(entry->second, of_listener.size());
      if (is_new) of_listener.emplace_back(entry->second, std::vector<LoopEvent>());
      of_listener[place->second].second.push_back(std::move(event));
    }
    for (auto& [listener, events] : of_listener) {
      // One that was told before may have cancelled, and its listener may be gone.
      std::erase_if(events, [this](const LoopEvent& event) {
        return !listeners_.contains(event.event.sequence_id);
      });
      for (const LoopEvent& event : events) {
        if (event.event.finish != FinishReason::kNone) listeners_.erase(event.event.sequence_id);
      }
      if (!events.empty()) listener->on_step(events);
    }
    is_telling_ = false;
  }
  if (news.activity) news.observer(*news.activity);
}

EngineLoop::EngineLoop(std::unique_ptr<Engine> engine, std::int64_t max_waiting)
    : impl_(std::make_unique<Impl>(std::move(engine), max_waiting)) {}
EngineLoop::~EngineLoop() = default;

Result<std::uint64_t> EngineLoop::submit(Request request, LoopListener& listener) {
  if (Status status = accepts(); !status) return status.error();
  Result<std::unique_ptr<Sequence>> sequence = prepare(std::move(request));
  if (!sequence) return sequence.error();
  return submit(*std::move(sequence), listener);
}
Status EngineLoop::accepts() const { return impl_->accepts(); }
Result<std::unique_ptr<Sequence>> EngineLoop::prepare(Request request) const {
  return impl_->engine().prepare(std::move(request));
}
Result<std::uint64_t> EngineLoop::submit(std::unique_ptr<Sequence> sequence,
                                         LoopListener& listener) {
  return impl_->submit(std::move(sequence), listener);
}
void EngineLoop::cancel(std::uint64_t sequence_id) { impl_->cancel(sequence_id); }
EngineStats EngineLoop::stats() const { return impl_->stats(); }
bool EngineLoop::idle() const { return impl_->idle(); }
const ModelInfo& EngineLoop::model_info() const { return impl_->engine().model_info(); }
std::int64_t EngineLoop::context_tokens() const { return impl_->engine().context_tokens(); }
int EngineLoop::world_size() const { return impl_->engine().world_size(); }
std::optional<Error> EngineLoop::lost() const { return impl_->lost(); }
void EngineLoop::observe(StepObserver observer) { impl_->observe(std::move(observer)); }

}  // namespace cardloom
