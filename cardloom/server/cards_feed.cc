#include "cardloom/server/cards_feed.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

namespace cardloom::server {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxWatchers = 16;
/// A small model makes thousands of steps a second, more than a person can follow or a browser
/// wants to read. So steps are shown at this rate, a short answer whole, a long one in runs of
/// neighbouring steps.
constexpr double kStepsPerSecond = 50;
constexpr double kMostAtOnce = 64;
constexpr double kLeastAtOnce = 8;

/// Every name once, in order of first use.
class Names {
 public:
  std::size_t index_of(const std::string& name) {
    const auto [entry, is_new] = indices_.try_emplace(name, names_.size());
    if (is_new) names_.push_back(&entry->first);
    return entry->second;
  }
  /// ["a","b"]: names of operators and layers are our own and need no escapes.
  [[nodiscard]] std::string json() const {
    std::string text = "[";
    for (const std::string* name : names_) {
      text += (text.size() > 1 ? ",\"" : "\"") + *name + '"';
    }
    return text + "]";
  }

 private:
  std::map<std::string, std::size_t> indices_;
  std::vector<const std::string*> names_;
};

double microseconds(std::int64_t nanoseconds) { return static_cast<double>(nanoseconds) * 1e-3; }

}  // namespace

std::string step_event(const StepActivity& activity) {
  Names ops;
  Names layers;
  std::string spans;
  for (const CardSpan& span : activity.spans) {
    fmt::format_to(std::back_inserter(spans), "{}[{},{},{},{:.1f},{:.1f},{:.1f}]",
                   spans.empty() ? "" : ",", span.rank, ops.index_of(span.op),
                   layers.index_of(span.layer), microseconds(span.begin - activity.begin),
                   microseconds(span.end - span.begin), microseconds(span.wait));
  }
  return fmt::format(
      R"(event: step
data: {{"step":{},"rows":{},"sequences":{},"pictures":{},"begin_us":{:.1f},"end_us":{:.1f},"ops":{},"layers":{},"spans":[{}]}}

)",
      activity.step_id, activity.rows, activity.sequences, activity.pictures,
      microseconds(activity.begin), microseconds(activity.end), ops.json(), layers.json(), spans);
}

CardsFeed::~CardsFeed() { close(); }

void CardsFeed::add(std::shared_ptr<http::Exchange> exchange) {
  exchange->on_gone([this, raw = exchange.get()] { forget(raw); });
  if (!try_add(exchange)) {
    return exchange->respond(
        {.status = 503,
         .headers = {{"content-type", "application/json"}, {"retry-after", "5"}},
         .body =
             fmt::format(R"({{"error":{{"message":"{} people look at the cards already, or the )"
                         R"(server is going down: try again later","type":"server_error",)"
                         R"("param":null,"code":null}}}})",
                         kMaxWatchers)});
  }
  // Steps may be written already, but those writes wait for this I/O thread's turn.
  exchange->begin_stream(
      {.status = 200,
       .headers = {{"content-type", "text/event-stream"},
                   {"cache-control", "no-cache"},
                   {"x-accel-buffering", "no"}},
       .body = fmt::format("event: cards\ndata: {{\"tp\":{},\"threads_per_card\":{},\"isa\":\"{}\""
                           "}}\n\n",
                           model_.cards.tp, model_.cards.threads_per_card, model_.cards.isa)});
  match_observer();
}

bool CardsFeed::try_add(const std::shared_ptr<http::Exchange>& exchange) {
  const std::lock_guard lock(mutex_);
  if (is_closed_ || watchers_.size() >= kMaxWatchers) return false;
  watchers_.push_back(exchange);
  return true;
}

void CardsFeed::match_observer() {
  const std::lock_guard observing(observing_);
  const bool is_watched = [this] {
    const std::lock_guard lock(mutex_);
    return !watchers_.empty();
  }();
  StepObserver observer;
  if (is_watched) observer = [this](const StepActivity& activity) { show(activity); };
  model_.engine->observe(std::move(observer));
}

void CardsFeed::forget(const http::Exchange* exchange) {
  std::vector<std::shared_ptr<http::Exchange>> gone;  // let go of when the lock is released
  {
    const std::lock_guard lock(mutex_);
    const auto first_gone =
        std::partition(watchers_.begin(), watchers_.end(),
                       [&](const auto& watcher) { return watcher.get() != exchange; });
    gone.assign(std::move_iterator(first_gone), std::move_iterator(watchers_.end()));
    watchers_.erase(first_gone, watchers_.end());
    if (is_closed_) return;
  }
  match_observer();
}

void CardsFeed::close() {
  std::vector<std::shared_ptr<http::Exchange>> watchers;
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(is_closed_, true)) return;
    watchers.swap(watchers_);
  }
  match_observer();
  for (const auto& watcher : watchers) watcher->end_stream();
}

void CardsFeed::tick() { write_to_all(": ping\n\n"); }

void CardsFeed::show(const StepActivity& activity) {
  if (may_show()) write_to_all(step_event(activity));
}

bool CardsFeed::may_show() {
  const Clock::time_point now = Clock::now();
  const std::chrono::duration<double> passed = now - std::exchange(last_step_, now);
  allowance_ = std::min(kMostAtOnce, allowance_ + passed.count() * kStepsPerSecond);
  if (allowance_ < (is_resting_ ? kLeastAtOnce : 1)) {
    is_resting_ = true;
    return false;
  }
  is_resting_ = false;
  allowance_ -= 1;
  return true;
}

void CardsFeed::write_to_all(const std::string& bytes) {
  std::vector<std::shared_ptr<http::Exchange>> watchers;
  {
    const std::lock_guard lock(mutex_);
    watchers = watchers_;
  }
  for (const auto& watcher : watchers) watcher->write(bytes);
}

}  // namespace cardloom::server
