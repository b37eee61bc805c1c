#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

namespace cardloom::server {

/// How many requests of one API key may be under way at once: one client's loop must not take all
/// places of the queue. Any thread.
class KeyQuota : public std::enable_shared_from_this<KeyQuota> {
 public:
  /// `limit` 0: any number.
  explicit KeyQuota(std::int64_t limit) : limit_(limit) {}

  [[nodiscard]] std::int64_t limit() const { return limit_; }

  /// A place for a request of `key`, until the result is gone; nullptr if all are taken. Nobody's
  /// requests ("") have no limit here: there are no keys at all then.
  [[nodiscard]] std::shared_ptr<void> try_enter(const std::string& key) {
    if (limit_ == 0 || key.empty()) return {this, [](void*) {}};
    const std::lock_guard lock(mutex_);
    std::int64_t& count = under_way_[key];
    if (count >= limit_) return nullptr;
    ++count;
    return {this, [keep = shared_from_this(), key](void*) { keep->leave(key); }};
  }

 private:
  void leave(const std::string& key) {
    const std::lock_guard lock(mutex_);
    if (--under_way_[key] == 0) under_way_.erase(key);
  }

  const std::int64_t limit_;
  std::mutex mutex_;
  std::unordered_map<std::string, std::int64_t> under_way_;  ///< under mutex_; no zeros
};

}  // namespace cardloom::server
