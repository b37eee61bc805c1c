#include "cardloom/server/delivery.h"

#include <utility>

namespace cardloom::server {

void Delivery::on_step(std::span<const LoopEvent> events) {
  {
    const std::lock_guard lock(mutex_);
    inbox_.insert(inbox_.end(), events.begin(), events.end());
    if (std::exchange(is_posted_, true)) return;
  }
  post_([this] { drain(); });
}

void Delivery::add(std::uint64_t sequence_id, std::shared_ptr<Receiver> receiver) {
  receivers_[sequence_id] = std::move(receiver);
}

void Delivery::remove(std::uint64_t sequence_id) { receivers_.erase(sequence_id); }

void Delivery::drain() {
  std::vector<LoopEvent> events;
  {
    const std::lock_guard lock(mutex_);
    events.swap(inbox_);
    is_posted_ = false;
  }
  // By value: a receiver that ends takes itself out of the table while it is being told.
  std::vector<std::shared_ptr<Receiver>> told;
  for (const LoopEvent& event : events) {
    const auto entry = receivers_.find(event.event.sequence_id);
    if (entry == receivers_.end()) continue;  // cancelled meanwhile
    const std::shared_ptr<Receiver> receiver = entry->second;
    receiver->on_event(event);
    if (told.empty() || told.back() != receiver) told.push_back(receiver);
  }
  for (const std::shared_ptr<Receiver>& receiver : told) receiver->on_step_end();
}

void Delivery::tick() {
  std::vector<std::shared_ptr<Receiver>> all;
  for (const auto& [id, receiver] : receivers_) all.push_back(receiver);
  for (const std::shared_ptr<Receiver>& receiver : all) receiver->on_tick();
}

}  // namespace cardloom::server
