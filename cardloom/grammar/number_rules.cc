#include "cardloom/grammar/number_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

namespace cardloom::grammar {
namespace {

constexpr std::size_t kMaxDigits = 15;         ///< of a bounded number: then decimals are doubles
constexpr std::size_t kMaxIntegerDigits = 18;  ///< of an integer: then it fits int64

/// Magnitudes: `a` against `b`, as -1, 0, 1.
int compare_magnitudes(const Decimal& a, const Decimal& b) {
  if (a.whole.size() != b.whole.size()) return a.whole.size() < b.whole.size() ? -1 : 1;
  const int whole = a.whole.compare(b.whole);
  const int order = whole != 0 ? whole : a.fraction.compare(b.fraction);
  return (order > 0) - (order < 0);
}

bool is_zero(const Decimal& value) { return value.whole == "0" && value.fraction.empty(); }

int compare(const Decimal& a, const Decimal& b) {
  if (is_zero(a) && is_zero(b)) return 0;
  if (a.negative != b.negative) return a.negative ? -1 : 1;
  return a.negative ? compare_magnitudes(b, a) : compare_magnitudes(a, b);
}

/// The next integer, in digits.
std::string incremented(std::string digits) {
  for (std::size_t i = digits.size(); i-- > 0;) {
    if (digits[i] != '9') {
      ++digits[i];
      return digits;
    }
    digits[i] = '0';
  }
  return "1" + digits;
}

/// The one before; "" for 0.
std::string decremented(std::string digits) {
  if (digits == "0") return "";
  for (std::size_t i = digits.size(); i-- > 0;) {
    if (digits[i] != '0') {
      --digits[i];
      break;
    }
    digits[i] = '9';
  }
  if (digits.size() > 1 && digits[0] == '0') digits.erase(0, 1);
  return digits;
}

bool is_less(const std::string& a, const std::string& b) {
  return a.size() != b.size() ? a.size() < b.size() : a < b;
}

/// Magnitudes min..max; an absent max is the largest that fits.
struct Magnitudes {
  NumberBound min;
  std::optional<NumberBound> max;
};

class NumberEdges {
 public:
  NumberEdges(ByteNfa& nfa, std::int32_t rule) : nfa_(&nfa), rule_(rule) {}

  void add_integers(std::int32_t from, const Magnitudes& range, std::int32_t to) {
    std::string first = range.min.value.whole;
    if (range.min.exclusive || !range.min.value.fraction.empty()) first = incremented(first);
    std::string last(kMaxIntegerDigits, '9');
    if (range.max && !is_less(last, range.max->value.whole)) {
      last = range.max->value.whole;
      if (range.max->exclusive && range.max->value.fraction.empty()) last = decremented(last);
    }
    if (last.empty()) return;
    add_whole(from, first, last, [&](std::size_t) { return to; });
  }

  void add_decimals(std::int32_t from, const Magnitudes& range, std::int32_t to) {
    const Decimal& low = range.min.value;
    const FractionBound above = {low.fraction, range.min.exclusive};
    if (range.max && range.max->value.whole == low.whole) {
      const FractionBound below = {range.max->value.fraction, range.max->exclusive};
      return add_part(from, low.whole, &above, &below, to);
    }
    add_part(from, low.whole, &above, nullptr, to);
    std::string last(kMaxDigits, '9');
    if (range.max) {
      const FractionBound below = {range.max->value.fraction, range.max->exclusive};
      add_part(from, range.max->value.whole, nullptr, &below, to);
      last = decremented(range.max->value.whole);
      if (last.empty()) return;
    }
    add_whole(from, incremented(low.whole), last, [&](std::size_t num_digits) {
      const std::int32_t end = nfa_->add_state(rule_);
      add_fraction(end, nullptr, nullptr, kMaxDigits - std::min(kMaxDigits, num_digits), to);
      return end;
    });
  }

 private:
  struct FractionBound {
    std::string digits;
    bool exclusive = false;
  };

  /// `whole`, then a fraction between the bounds, as far as there are any.
  void add_part(std::int32_t from, const std::string& whole, const FractionBound* above,
                const FractionBound* below, std::int32_t to) {
    const std::int32_t end = nfa_->add_state(rule_);
    nfa_->add_text(from, whole, end);
    add_fraction(end, above, below, kMaxDigits - std::min(kMaxDigits, whole.size()), to);
  }

  /// Integers first..last; the state behind those of n digits is target_of(n).
  template <class TargetOf>
  void add_whole(std::int32_t from, const std::string& first, const std::string& last,
                 TargetOf target_of) {
    for (std::size_t size = first.size(); size <= last.size(); ++size) {
      std::string low = size == first.size() ? first : "1" + std::string(size - 1, '0');
      std::string high = size == last.size() ? last : std::string(size, '9');
      if (high < low) continue;
      add_digits(from, low, high, target_of(size));
    }
  }

  /// Digits low..high, both of the same length.
  void add_digits(std::int32_t from, const std::string& low, const std::string& high,
                  std::int32_t to) {
    using Key = std::tuple<std::size_t, bool, bool>;  // digits read; still as low, as high
    std::map<Key, std::int32_t> states = {{{0, true, true}, from}};
    for (auto here = states.begin(); here != states.end(); here = states.upper_bound(here->first)) {
      const auto [i, as_low, as_high] = here->first;
      for (char digit = as_low ? low[i] : '0'; digit <= (as_high ? high[i] : '9'); ++digit) {
        if (i + 1 == low.size()) {
          nfa_->add_byte(here->second, digit, to);
          continue;
        }
        const Key key = {i + 1, as_low && digit == low[i], as_high && digit == high[i]};
        if (!states.contains(key)) states[key] = nfa_->add_state(rule_);
        nfa_->add_byte(here->second, digit, states[key]);
      }
    }
  }

  /// Nothing, or a point and up to `max_digits` digits, between the bounds.
  void add_fraction(std::int32_t from, const FractionBound* above, const FractionBound* below,
                    std::size_t max_digits, std::int32_t to) {
    using Key = std::tuple<std::size_t, bool, bool>;  // digits read; still equal to above, below
    const auto digit_of = [](const FractionBound& bound, std::size_t i) {
      return i < bound.digits.size() ? bound.digits[i] : '0';
    };
    const auto may_end = [&](const Key& key) {
      const auto [i, as_above, as_below] = key;
      const bool is_above = !as_above || (i >= above->digits.size() && !above->exclusive);
      const bool is_below = !as_below || i < below->digits.size() || !below->exclusive;
      return is_above && is_below;
    };
    const Key first = {0, above != nullptr, below != nullptr};
    if (may_end(first)) nfa_->add_empty(from, to);
    if (max_digits == 0) return;
    const std::int32_t point = nfa_->add_state(rule_);
    nfa_->add_byte(from, '.', point);
    std::map<Key, std::int32_t> states = {{first, point}};
    for (auto here = states.begin(); here != states.end(); here = states.upper_bound(here->first)) {
      const auto [i, as_above, as_below] = here->first;
      if (i > 0 && may_end(here->first)) nfa_->add_empty(here->second, to);
      if (i == max_digits) continue;
      const char low = as_above ? digit_of(*above, i) : '0';
      const char high = as_below ? digit_of(*below, i) : '9';
      for (char digit = low; digit <= high; ++digit) {
        const Key key = {i + 1, as_above && digit == low, as_below && digit == high};
        if (!states.contains(key)) states[key] = nfa_->add_state(rule_);
        nfa_->add_byte(here->second, digit, states[key]);
      }
    }
  }

  ByteNfa* nfa_;
  std::int32_t rule_;
};

/// Splits at 0 into magnitudes, behind a minus or not, and gives each to `add`.
template <class Add>
void add_signed(ByteNfa& nfa, std::int32_t from, const NumberRange& range, Add add) {
  const NumberBound zero;
  const auto magnitude = [](NumberBound bound) {
    bound.value.negative = false;
    return bound;
  };
  if (!range.min || range.min->value.negative) {
    Magnitudes below;
    below.min = {{}, true};  // not -0
    if (range.max && range.max->value.negative) below.min = magnitude(*range.max);
    if (range.min) below.max = magnitude(*range.min);
    const bool is_empty = below.max && compare_magnitudes(below.max->value, below.min.value) < 0;
    const std::int32_t minus = nfa.add_state(nfa.state(from).rule);
    nfa.add_byte(from, '-', minus);
    if (!is_empty) add(minus, below);
  }
  if (range.max && range.max->value.negative) return;
  Magnitudes above;
  above.min = range.min && !range.min->value.negative ? *range.min : zero;
  above.max = range.max;
  if (above.max && compare_magnitudes(above.max->value, above.min.value) < 0) return;
  add(from, above);
}

/// -?(0|[1-9]\d{0,17})(\.\d{1,18})?([eE][+-]?\d{1,2})?
void add_any_number(ByteNfa& nfa, std::int32_t from, std::int32_t to) {
  const std::int32_t rule = nfa.state(from).rule;
  const auto digits = [&](std::int32_t begin, int num_digits, char first, std::int32_t end) {
    for (int i = 0; i < num_digits; ++i) {
      const std::int32_t next = nfa.add_state(rule);
      const auto low = static_cast<std::uint8_t>(i == 0 ? first : '0');
      nfa.add_edge(begin, {low, '9', CountAction::kReset, next});
      nfa.add_empty(next, end);
      begin = next;
    }
  };
  const std::int32_t begin = nfa.add_state(rule);
  const std::int32_t whole = nfa.add_state(rule);
  const std::int32_t fraction = nfa.add_state(rule);
  nfa.add_empty(from, begin);
  nfa.add_byte(from, '-', begin);
  nfa.add_byte(begin, '0', whole);
  digits(begin, 18, '1', whole);
  nfa.add_empty(whole, fraction);
  const std::int32_t point = nfa.add_state(rule);
  nfa.add_byte(whole, '.', point);
  digits(point, 18, '0', fraction);
  nfa.add_empty(fraction, to);
  const std::int32_t sign = nfa.add_state(rule);
  const std::int32_t exponent = nfa.add_state(rule);
  for (const char e : {'e', 'E'}) nfa.add_byte(fraction, e, sign);
  for (const char c : {'+', '-'}) nfa.add_byte(sign, c, exponent);
  nfa.add_empty(sign, exponent);
  digits(exponent, 2, '0', to);
}

}  // namespace

std::optional<Decimal> to_decimal(const json::value& number) {
  const std::string text = number.is_double()  ? fmt::format("{}", number.get_double())
                           : number.is_int64() ? fmt::format("{}", number.get_int64())
                                               : fmt::format("{}", number.get_uint64());
  Decimal decimal;
  std::string digits;
  std::int64_t scale = 0;  // digits behind the point
  bool behind_point = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '-') decimal.negative = true;
    if (text[i] == '.') behind_point = true;
    if (text[i] >= '0' && text[i] <= '9') {
      digits += text[i];
      scale += behind_point ? 1 : 0;
    }
    if (text[i] == 'e') {
      scale -= std::stoll(text.substr(i + 1));
      break;
    }
  }
  if (scale > 400 || scale < -400) return std::nullopt;
  if (scale < 0) digits.append(static_cast<std::size_t>(-scale), '0');
  const std::size_t num_behind = scale > 0 ? static_cast<std::size_t>(scale) : 0;
  if (digits.size() <= num_behind) digits.insert(0, num_behind + 1 - digits.size(), '0');
  decimal.whole = digits.substr(0, digits.size() - num_behind);
  decimal.fraction = digits.substr(digits.size() - num_behind);
  decimal.whole.erase(0, std::min(decimal.whole.find_first_not_of('0'), decimal.whole.size() - 1));
  decimal.fraction.erase(decimal.fraction.find_last_not_of('0') + 1);
  if (is_zero(decimal)) decimal.negative = false;
  const std::size_t num_digits = decimal.whole.size() + decimal.fraction.size();
  const std::size_t max_digits = decimal.fraction.empty() ? kMaxIntegerDigits : kMaxDigits;
  if (num_digits > max_digits) return std::nullopt;
  return decimal;
}

bool is_tighter(const NumberBound& a, const NumberBound& b, bool are_minima) {
  const int order = compare(a.value, b.value);
  if (order == 0) return a.exclusive && !b.exclusive;
  return are_minima ? order > 0 : order < 0;
}

void add_integer(ByteNfa& nfa, std::int32_t from, const NumberRange& range, std::int32_t to) {
  NumberEdges edges(nfa, nfa.state(from).rule);
  add_signed(nfa, from, range, [&](std::int32_t begin, const Magnitudes& magnitudes) {
    edges.add_integers(begin, magnitudes, to);
  });
}

void add_number(ByteNfa& nfa, std::int32_t from, const NumberRange& range, std::int32_t to) {
  if (!range.min && !range.max) return add_any_number(nfa, from, to);
  NumberEdges edges(nfa, nfa.state(from).rule);
  add_signed(nfa, from, range, [&](std::int32_t begin, const Magnitudes& magnitudes) {
    edges.add_decimals(begin, magnitudes, to);
  });
}

}  // namespace cardloom::grammar
