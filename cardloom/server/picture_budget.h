#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

namespace cardloom::server {

/// How many pictures all requests together may hold: decoded, one is megabytes (glm-4v-9b: 15), and
/// it is kept until its request ends. Any thread.
class PictureBudget : public std::enable_shared_from_this<PictureBudget> {
 public:
  explicit PictureBudget(std::int64_t size) : free_(size) {}

  /// Room for `count` pictures until the result is gone; nullptr if there is not so much.
  [[nodiscard]] std::shared_ptr<void> try_take(std::int64_t count) {
    if (free_.fetch_sub(count) < count) {
      free_ += count;
      return nullptr;
    }
    return {this, [keep = shared_from_this(), count](void*) { keep->free_ += count; }};
  }

 private:
  std::atomic<std::int64_t> free_;
};

}  // namespace cardloom::server
