#pragma once

#include <cstdint>
#include <string_view>

#include "cardloom/grammar/grammar.h"

namespace cardloom::grammar {

/// What one grammar may still cost to compile. Every loop that a stranger's text can make long
/// spends from it, so that hostile input ends by count, not by clock.
class CompileBudget {
 public:
  explicit CompileBudget(const GrammarLimits& limits) : limits_(limits) {}

  [[nodiscard]] const GrammarLimits& limits() const { return limits_; }
  [[nodiscard]] std::int64_t steps() const { return steps_; }

  /// Throws kResourceExhausted, naming max_steps, once all spending together is above it.
  void spend(std::int64_t steps) {
    steps_ += steps;
    if (steps_ > limits_.max_steps) refuse("max_steps", steps_, limits_.max_steps);
  }

  /// Throws kResourceExhausted, naming `limit`, unless value <= bound.
  static void require(std::string_view limit, std::int64_t value, std::int64_t bound) {
    if (value > bound) refuse(limit, value, bound);
  }

 private:
  [[noreturn]] static void refuse(std::string_view limit, std::int64_t value, std::int64_t bound);

  GrammarLimits limits_;
  std::int64_t steps_ = 0;
};

}  // namespace cardloom::grammar
