#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cardloom/engine/engine_loop.h"
#include "cardloom/http/http_server.h"
#include "cardloom/server/served_model.h"

namespace cardloom::server {

/// Shows whoever looks what the cards do, step by step, as server-sent events: first "cards", then
/// a "step" for each step (or, where they are thousands a second, for some), with every card's
/// operators and waits. Costs nothing while nobody looks.
class CardsFeed {
 public:
  explicit CardsFeed(const ServedModel& model) : model_(model) {}
  ~CardsFeed();
  CardsFeed(const CardsFeed&) = delete;
  CardsFeed& operator=(const CardsFeed&) = delete;

  /// Answers with the stream; 503 if as many look already as may. On its I/O thread.
  void add(std::shared_ptr<http::Exchange> exchange);
  /// Ends all streams.
  void close();
  /// About once a second: keeps silent connections open.
  void tick();

 private:
  [[nodiscard]] bool try_add(const std::shared_ptr<http::Exchange>& exchange);
  void match_observer();
  void show(const StepActivity& activity);
  [[nodiscard]] bool may_show();
  void write_to_all(const std::string& bytes);
  void forget(const http::Exchange* exchange);

  const ServedModel& model_;
  /// Held while the engine is told whether anybody looks, so that the last word is the true one.
  /// Taken before mutex_ and before the engine's lock; never on the engine's thread.
  std::mutex observing_;
  std::mutex mutex_;  ///< guards the two below; nobody is called while it is held
  std::vector<std::shared_ptr<http::Exchange>> watchers_;
  bool is_closed_ = false;
  // The engine's thread alone:
  std::chrono::steady_clock::time_point last_step_{};
  double allowance_ = 0;    ///< steps that may be shown
  bool is_resting_ = true;  ///< until the allowance is worth a run of steps
};

/// The data of a "step" event. Times in microseconds; spans are
/// [rank, index of op, index of layer, begin after the step's, duration, wait].
[[nodiscard]] std::string step_event(const StepActivity& activity);

}  // namespace cardloom::server
