#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "cardloom/grammar/byte_nfa.h"
#include "cardloom/grammar/char_set.h"
#include "cardloom/grammar/compile_budget.h"

namespace cardloom::grammar {

/// An automaton over characters: what a regular expression says, before it is written in bytes.
class CharNfa {
 public:
  struct Edge {
    CharSet set;
    std::int32_t target = 0;
  };
  struct State {
    std::vector<Edge> edges;
    std::vector<std::int32_t> empty;
  };

  explicit CharNfa(CompileBudget& budget) : budget_(&budget) {}

  std::int32_t add_state();
  void add_edge(std::int32_t from, const CharSet& set, std::int32_t to);
  void add_empty(std::int32_t from, std::int32_t to);
  [[nodiscard]] const std::vector<State>& states() const { return states_; }

  std::int32_t start = 0;
  std::int32_t accept = 0;

 private:
  CompileBudget* budget_;
  std::vector<State> states_;
};

enum class RegexMatch {
  kWhole,   ///< the text matches from its first to its last character
  kSearch,  ///< some part of it does, as JSON Schema's `pattern` asks
};

/// The texts that match `pattern`, in ECMAScript's syntax with the u flag, less what is no regular
/// language or depends on the place: see docs/guided.md. `what` names the pattern in errors.
///
/// Throws kInvalidArgument with the byte of the first error; kUnimplemented for look-around,
/// back-references, \b, \p, flags, and for ^ and $ elsewhere than at the ends; kResourceExhausted
/// beyond the limits.
[[nodiscard]] CharNfa parse_regex(std::string_view pattern, RegexMatch match, std::string_view what,
                                  CompileBudget& budget);

/// How many characters a text may have.
struct LengthRange {
  std::int64_t min = 0;
  std::int64_t max = -1;  ///< -1: any number
};

/// The texts of `chars` that are as long as `length` allows lead from `from` to `to`, both states
/// of `rule`.
void add_chars(ByteNfa& nfa, std::int32_t rule, std::int32_t from, const CharNfa& chars,
               LengthRange length, Spelling spelling, std::int32_t to);

}  // namespace cardloom::grammar
