#pragma once

#include <optional>
#include <string>

#include "cardloom/base/json.h"
#include "cardloom/grammar/byte_nfa.h"

namespace cardloom::grammar {

/// A bound in decimal: +-whole.fraction, without needless zeros.
struct Decimal {
  bool negative = false;
  std::string whole = "0";
  std::string fraction;
};

/// The number as it stands in a schema; none if it has more than 15 significant digits before and
/// after its point together (then two decimals may be one double, and a bound is not exact).
[[nodiscard]] std::optional<Decimal> to_decimal(const json::value& number);

struct NumberBound {
  Decimal value;
  bool exclusive = false;
};

struct NumberRange {
  std::optional<NumberBound> min;
  std::optional<NumberBound> max;
};

/// Whether bound `a` leaves less than bound `b`, both minima or both maxima.
[[nodiscard]] bool is_tighter(const NumberBound& a, const NumberBound& b, bool are_minima);

/// Integers of up to 18 digits: any of them fits int64. No fraction, no exponent, no -0.
void add_integer(ByteNfa& nfa, std::int32_t from, const NumberRange& range, std::int32_t to);

/// Numbers. Without bounds up to 18 digits, 18 of a fraction and an exponent of 2: finite as a
/// double. With bounds up to 15 digits in all, compared as decimals, and no exponent.
void add_number(ByteNfa& nfa, std::int32_t from, const NumberRange& range, std::int32_t to);

}  // namespace cardloom::grammar
