#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>

namespace cardloom::http {

/// Bytes that were received and not yet taken. While a read into prepare()'s memory is pending,
/// consume() is allowed and prepare() is not.
class ReadBuffer {
 public:
  [[nodiscard]] std::string_view view() const { return {memory_.get() + begin_, end_ - begin_}; }
  [[nodiscard]] bool empty() const { return begin_ == end_; }
  [[nodiscard]] std::size_t size() const { return end_ - begin_; }

  /// Room for `size` bytes behind view(); commit() what came of them. Gives memory back if what is
  /// there exceeds by far what is needed: an idle connection shall hold one small block.
  char* prepare(std::size_t size) {
    const std::size_t needed = this->size() + size;
    if (needed > capacity_ || capacity_ > 4 * needed) {
      std::unique_ptr<char[]> memory(new char[needed]);
      move_to(memory.get());
      memory_ = std::move(memory);
      capacity_ = needed;
    } else if (end_ + size > capacity_) {
      move_to(memory_.get());
    }
    return memory_.get() + end_;
  }
  void commit(std::size_t size) { end_ += size; }
  void consume(std::size_t size) { begin_ += size; }

 private:
  void move_to(char* memory) {
    const std::size_t length = size();
    if (length > 0) std::memmove(memory, memory_.get() + begin_, length);
    begin_ = 0;
    end_ = length;
  }

  std::unique_ptr<char[]> memory_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace cardloom::http
