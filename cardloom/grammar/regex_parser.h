#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cardloom/grammar/char_set.h"
#include "cardloom/grammar/compile_budget.h"

namespace cardloom::grammar {

struct RegexNode {
  enum class Kind { kChars, kSequence, kAlternatives, kRepeat };
  Kind kind = Kind::kSequence;
  CharSet set;                         ///< kChars
  std::vector<std::int32_t> children;  ///< the others
  std::int64_t min = 0;                ///< kRepeat
  std::int64_t max = -1;               ///< kRepeat; -1: no end
  bool starts_text = false;            ///< kSequence after ^; outermost only
  bool ends_text = false;              ///< kSequence before $; outermost only
};

struct RegexTree {
  std::vector<RegexNode> nodes;
  std::int32_t root = 0;
};

/// The tree of a regular expression; what it takes and refuses is said at parse_regex().
class RegexParser {
 public:
  RegexParser(std::string_view pattern, std::string_view what, CompileBudget& budget)
      : pattern_(pattern), what_(what), budget_(&budget) {}

  RegexTree parse();

 private:
  [[noreturn]] void fail(std::string_view why, std::size_t at) const;
  [[noreturn]] void refuse(std::string_view construct, std::size_t at) const;
  std::int32_t add(RegexNode node);
  std::int32_t add_set(CharSet set);
  std::int32_t parse_alternatives(std::int64_t depth);
  std::int32_t parse_sequence(std::int64_t depth);
  std::int32_t parse_atom(std::int64_t depth);
  void parse_group_head(std::size_t at);
  std::int32_t parse_repeats(std::int32_t atom);
  bool parse_counts(RegexNode& repeat);
  CharSet parse_class();
  std::optional<char32_t> parse_class_char(CharSet& set);
  std::optional<char32_t> parse_escape(bool in_class, CharSet& set);
  char32_t parse_hex(int num_digits, std::size_t at);
  char32_t parse_unicode(std::size_t at);
  [[nodiscard]] char peek() const;
  bool take(char c);
  char32_t next_char();

  std::string_view pattern_;
  std::string what_;
  CompileBudget* budget_;
  RegexTree tree_;
  std::size_t pos_ = 0;
};

}  // namespace cardloom::grammar
