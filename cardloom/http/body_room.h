#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace cardloom::http {

/// One body's share of what all bodies together may take; given back at its end.
class BodyRoom {
 public:
  BodyRoom() = default;
  BodyRoom(std::atomic<std::int64_t>& taken, std::int64_t limit) : taken_(&taken), limit_(limit) {}
  BodyRoom(BodyRoom&& other) noexcept
      : taken_(std::exchange(other.taken_, nullptr)),
        limit_(other.limit_),
        bytes_(std::exchange(other.bytes_, 0)) {}
  BodyRoom& operator=(BodyRoom&& other) noexcept {
    if (this == &other) return *this;
    release();
    taken_ = std::exchange(other.taken_, nullptr);
    limit_ = other.limit_;
    bytes_ = std::exchange(other.bytes_, 0);
    return *this;
  }
  ~BodyRoom() { release(); }

  /// Room for so many bytes in all; false, and nothing changes, if the others leave too little.
  [[nodiscard]] bool grow_to(std::int64_t bytes) {
    if (taken_ == nullptr || bytes <= bytes_) return true;
    const std::int64_t more = bytes - bytes_;
    if (taken_->fetch_add(more) > limit_ - more) {
      *taken_ -= more;
      return false;
    }
    bytes_ = bytes;
    return true;
  }
  void release() {
    if (taken_ != nullptr) *taken_ -= bytes_;
    bytes_ = 0;
  }

 private:
  std::atomic<std::int64_t>* taken_ = nullptr;
  std::int64_t limit_ = 0;
  std::int64_t bytes_ = 0;
};

}  // namespace cardloom::http
