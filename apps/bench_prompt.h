#pragma once

#include <cstdint>

#include "apps/session.h"

namespace cardloom::app {

/// Prompts that mean nothing, for measuring.
class BenchPrompts {
 public:
  explicit BenchPrompts(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  /// Ordinary tokens, others with every call; the same in every process.
  [[nodiscard]] Prompt text(std::int64_t rows);
  /// One picture and no question; the model must take pictures.
  [[nodiscard]] Prompt picture() const;

 private:
  const Checkpoint& checkpoint_;
  std::uint64_t random_ = 1;
};

}  // namespace cardloom::app
