#pragma once

#include <bitset>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cardloom/grammar/automaton.h"
#include "cardloom/grammar/char_set.h"
#include "cardloom/grammar/compile_budget.h"

namespace cardloom::grammar {

inline constexpr std::int32_t kNoMaxCount = std::numeric_limits<std::int32_t>::max();

/// Bytes first..last lead to `target`, if min_count <= count <= max_count.
struct ByteEdge {
  std::uint8_t first = 0;
  std::uint8_t last = 0;
  CountAction action = CountAction::kReset;
  std::int32_t target = 0;
  std::int32_t min_count = 0;
  std::int32_t max_count = kNoMaxCount;
};

/// A whole text of `rule` leads to `target`.
struct CallEdge {
  std::int32_t rule = 0;
  std::int32_t target = 0;
};

/// A grammar before it is made deterministic: rules, each a non-deterministic automaton whose edges
/// are bytes or calls of rules. Rule 0 is the whole text.
///
/// What deterministic matching needs, and who adds edges must keep: no byte may both begin a rule
/// that a place calls and be an edge of that place; and what may follow a rule's text cannot
/// continue it. JSON values are rules, so both hold: values begin with none of `,:]}` and space,
/// and are followed by nothing else.
class ByteNfa {
 public:
  struct State {
    std::int32_t rule = 0;
    bool accepting = false;
    std::vector<ByteEdge> edges;
    std::vector<CallEdge> calls;
    std::vector<std::int32_t> empty;  ///< states that are here as well
  };
  struct Rule {
    std::int32_t start = 0;
    std::string origin;  ///< where it comes from, for messages: a JSON pointer
  };

  /// `alphabet`: the bytes that can be written at all.
  ByteNfa(CompileBudget& budget, const std::bitset<256>& alphabet)
      : budget_(&budget), alphabet_(alphabet) {}

  std::int32_t add_rule(std::string origin);
  /// Throws kResourceExhausted beyond 16 states for each that the result may have.
  std::int32_t add_state(std::int32_t rule);
  void add_edge(std::int32_t from, const ByteEdge& edge);
  void add_empty(std::int32_t from, std::int32_t to);
  void add_call(std::int32_t from, std::int32_t rule, std::int32_t to);
  void set_accepting(std::int32_t state) {
    states_[static_cast<std::size_t>(state)].accepting = true;
  }

  /// A path of exactly these bytes.
  void add_text(std::int32_t from, std::string_view text, std::int32_t to);
  void add_byte(std::int32_t from, char byte, std::int32_t to);

  [[nodiscard]] const std::vector<State>& states() const { return states_; }
  [[nodiscard]] const std::vector<Rule>& rules() const { return rules_; }
  [[nodiscard]] const State& state(std::int32_t id) const {
    return states_[static_cast<std::size_t>(id)];
  }
  [[nodiscard]] std::int32_t start(std::int32_t rule) const {
    return rules_[static_cast<std::size_t>(rule)].start;
  }
  [[nodiscard]] const std::bitset<256>& alphabet() const { return alphabet_; }
  [[nodiscard]] CompileBudget& budget() const { return *budget_; }

 private:
  CompileBudget* budget_;
  std::bitset<256> alphabet_;
  std::vector<State> states_;
  std::vector<Rule> rules_;
};

/// How characters are written.
enum class Spelling {
  kPlain,      ///< UTF-8
  kJson,       ///< in a JSON string, escaped only where they must be, and in one way
  kJsonLoose,  ///< in a JSON string, with every escape of RFC 8259; for the set of all only
};

/// Adds edges that read one character of a set. One object adds the edges of one rule, so that
/// characters that lead to the same state share their ends.
class CharEdges {
 public:
  CharEdges(ByteNfa& nfa, std::int32_t rule, Spelling spelling)
      : nfa_(&nfa), rule_(rule), spelling_(spelling) {}

  /// A character of `set` leads from `from` to `to`.
  void add(std::int32_t from, const CharSet& set, std::int32_t to);

  /// The same, and counts it; only while the count is below `max_count`.
  void add_counted(std::int32_t from, const CharSet& set, std::int32_t to, std::int32_t max_count);

 private:
  void add_sequence(std::int32_t from, const ByteSequence& sequence, std::int32_t to);
  std::int32_t tail_of(const ByteSequence& sequence, int begin, std::int32_t to);
  void add_escapes(std::int32_t from, const CharSet& set, std::int32_t to);
  void add_loose_escapes(std::int32_t backslash, std::int32_t to);
  std::int32_t add_hex(std::int32_t from, std::string_view digits);

  ByteNfa* nfa_;
  std::int32_t rule_;
  Spelling spelling_;
  bool counted_ = false;
  std::int32_t max_count_ = kNoMaxCount;
  std::map<std::pair<std::int32_t, std::string>, std::int32_t> tails_;
};

}  // namespace cardloom::grammar
