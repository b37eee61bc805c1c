#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

namespace cardloom::grammar {

/// Things by their key, as many as fit into a number of bytes; the least recently used go first.
/// Any thread.
template <class Value>
class LruCache {
 public:
  explicit LruCache(std::int64_t max_bytes) : max_bytes_(max_bytes) {}

  /// Whether `key` is there, and what for: nothing may stand for it.
  std::pair<bool, std::shared_ptr<const Value>> find(const std::string& key) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = places_.find(key);
    if (found == places_.end()) return {false, nullptr};
    entries_.splice(entries_.begin(), entries_, found->second);
    return {true, found->second->value};
  }

  /// Of two threads that made the same, the first wins.
  void insert(const std::string& key, std::shared_ptr<const Value> value, std::int64_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (places_.contains(key)) return;
    bytes += kEntryBytes + 2 * static_cast<std::int64_t>(key.size());
    if (bytes > max_bytes_) return;
    entries_.push_front({key, std::move(value), bytes});
    places_[key] = entries_.begin();
    num_bytes_ += bytes;
    while (num_bytes_ > max_bytes_) {
      num_bytes_ -= entries_.back().bytes;
      places_.erase(entries_.back().key);
      entries_.pop_back();
    }
  }

  void clear() {
    std::list<Entry> dropped;  // ended after the lock is released
    const std::lock_guard<std::mutex> lock(mutex_);
    dropped.swap(entries_);
    places_.clear();
    num_bytes_ = 0;
  }

  [[nodiscard]] std::int64_t num_bytes() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return num_bytes_;
  }

 private:
  static constexpr std::int64_t kEntryBytes = 192;  ///< of list and table, about

  struct Entry {
    std::string key;
    std::shared_ptr<const Value> value;
    std::int64_t bytes = 0;
  };

  std::int64_t max_bytes_;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  ///< guarded by mutex_, as all below; most recently used first
  std::unordered_map<std::string, typename std::list<Entry>::iterator> places_;
  std::int64_t num_bytes_ = 0;
};

}  // namespace cardloom::grammar
