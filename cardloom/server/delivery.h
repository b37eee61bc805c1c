#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "cardloom/engine/engine_loop.h"

namespace cardloom::server {

/// Whoever hears of sequences on an I/O thread.
class Receiver {
 public:
  virtual ~Receiver() = default;
  virtual void on_event(const LoopEvent& event) = 0;
  /// After all events of a step: what they came to is sent at once.
  virtual void on_step_end() = 0;
  /// About once a second.
  virtual void on_tick() = 0;
};

/// Carries the engine's events to one I/O thread: one wake a step, however many sequences have
/// something new. Members but on_step() belong to that thread.
class Delivery : public LoopListener {
 public:
  /// `post`: runs work on the I/O thread.
  explicit Delivery(std::function<void(std::function<void()>)> post) : post_(std::move(post)) {}

  /// On the engine's thread.
  void on_step(std::span<const LoopEvent> events) override;

  /// Must be called before the thread returns to its loop after submit(): events that have been
  /// delivered meanwhile wait there.
  void add(std::uint64_t sequence_id, std::shared_ptr<Receiver> receiver);
  void remove(std::uint64_t sequence_id);
  void tick();

 private:
  void drain();

  std::function<void(std::function<void()>)> post_;
  std::mutex mutex_;  ///< guards the two below; no lock is taken inside it
  std::vector<LoopEvent> inbox_;
  bool is_posted_ = false;
  std::unordered_map<std::uint64_t, std::shared_ptr<Receiver>> receivers_;
};

}  // namespace cardloom::server
