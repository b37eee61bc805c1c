#include "cardloom/grammar/regex.h"

#include <algorithm>
#include <map>

#include "cardloom/grammar/regex_parser.h"

namespace cardloom::grammar {
namespace {

/// Thompson's construction: each node of the tree becomes a part with one way in and one out.
class Builder {
 public:
  Builder(const RegexTree& tree, RegexMatch match, CompileBudget& budget)
      : tree_(&tree), match_(match), budget_(&budget), nfa_(budget) {}

  CharNfa build() {
    nfa_.start = nfa_.add_state();
    nfa_.accept = nfa_.add_state();
    const RegexNode& root = node(tree_->root);
    if (root.kind == RegexNode::Kind::kAlternatives) {
      for (const std::int32_t child : root.children) build_outermost(child);
    } else {
      build_outermost(tree_->root);
    }
    return std::move(nfa_);
  }

 private:
  [[nodiscard]] const RegexNode& node(std::int32_t id) const {
    return tree_->nodes[static_cast<std::size_t>(id)];
  }

  void build_outermost(std::int32_t id) {
    std::int32_t from = nfa_.start;
    std::int32_t to = nfa_.accept;
    if (match_ == RegexMatch::kSearch && !node(id).starts_text) from = add_anything(from);
    if (match_ == RegexMatch::kSearch && !node(id).ends_text) {
      to = nfa_.add_state();
      nfa_.add_empty(add_anything(to), nfa_.accept);
    }
    build(id, from, to);
  }

  /// A new state behind `from` that any characters lead back to.
  std::int32_t add_anything(std::int32_t from) {
    const std::int32_t loop = nfa_.add_state();
    nfa_.add_empty(from, loop);
    nfa_.add_edge(loop, CharSet::all(), loop);
    return loop;
  }

  void build(std::int32_t id, std::int32_t from, std::int32_t to) {
    budget_->spend(1);
    const RegexNode& part = node(id);
    switch (part.kind) {
      case RegexNode::Kind::kChars:
        nfa_.add_edge(from, part.set, to);
        break;
      case RegexNode::Kind::kAlternatives:
        for (const std::int32_t child : part.children) build(child, from, to);
        break;
      case RegexNode::Kind::kSequence:
        for (const std::int32_t child : part.children) from = build_next(child, from);
        nfa_.add_empty(from, to);
        break;
      case RegexNode::Kind::kRepeat:
        build_repeat(part, from, to);
        break;
    }
  }

  std::int32_t build_next(std::int32_t id, std::int32_t from) {
    const std::int32_t next = nfa_.add_state();
    build(id, from, next);
    return next;
  }

  void build_repeat(const RegexNode& repeat, std::int32_t from, std::int32_t to) {
    const std::int32_t child = repeat.children[0];
    // A state of its own: a loop back to `from` would let other ways out of `from` repeat it too.
    const std::int32_t entry = nfa_.add_state();
    nfa_.add_empty(from, entry);
    from = entry;
    for (std::int64_t i = 0; i < repeat.min; ++i) from = build_next(child, from);
    if (repeat.max < 0) {
      const std::int32_t loop = nfa_.add_state();
      nfa_.add_empty(from, loop);
      nfa_.add_empty(build_next(child, loop), loop);
      from = loop;
    }
    for (std::int64_t i = repeat.min; i < repeat.max; ++i) {
      nfa_.add_empty(from, to);
      from = build_next(child, from);
    }
    nfa_.add_empty(from, to);
  }

  const RegexTree* tree_;
  RegexMatch match_;
  CompileBudget* budget_;
  CharNfa nfa_;
};

}  // namespace

std::int32_t CharNfa::add_state() {
  budget_->spend(1);
  const auto id = static_cast<std::int32_t>(states_.size());
  // As in ByteNfa: many of these fall together, but not without end.
  CompileBudget::require("max_states", id / 16 + 1, budget_->limits().max_states);
  states_.emplace_back();
  return id;
}

void CharNfa::add_edge(std::int32_t from, const CharSet& set, std::int32_t to) {
  budget_->spend(1 + static_cast<std::int64_t>(set.ranges().size()));
  states_[static_cast<std::size_t>(from)].edges.push_back({set, to});
}

void CharNfa::add_empty(std::int32_t from, std::int32_t to) {
  budget_->spend(1);
  states_[static_cast<std::size_t>(from)].empty.push_back(to);
}

CharNfa parse_regex(std::string_view pattern, RegexMatch match, std::string_view what,
                    CompileBudget& budget) {
  const RegexTree tree = RegexParser(pattern, what, budget).parse();
  return Builder(tree, match, budget).build();
}

void add_chars(ByteNfa& nfa, std::int32_t rule, std::int32_t from, const CharNfa& chars,
               LengthRange length, Spelling spelling, std::int32_t to) {
  // A CharPlace is a state of `chars` and how many characters were read, up to where more are
  // equal.
  using CharPlace = std::pair<std::int32_t, std::int64_t>;
  std::map<CharPlace, std::int32_t> states;
  std::vector<CharPlace> waiting;
  const auto state_of = [&](const CharPlace& place) {
    const auto [found, added] = states.try_emplace(place, 0);
    if (added) {
      found->second = nfa.add_state(rule);
      waiting.push_back(place);
    }
    return found->second;
  };
  const std::int64_t last_count = length.max >= 0 ? length.max : length.min;
  CharEdges edges(nfa, rule, spelling);
  nfa.add_empty(from, state_of({chars.start, 0}));
  while (!waiting.empty()) {
    const CharPlace place = waiting.back();
    waiting.pop_back();
    const std::int32_t state = states.at(place);
    if (place.first == chars.accept && place.second >= length.min) nfa.add_empty(state, to);
    const CharNfa::State& part = chars.states()[static_cast<std::size_t>(place.first)];
    for (const std::int32_t target : part.empty) {
      nfa.add_empty(state, state_of({target, place.second}));
    }
    if (length.max >= 0 && place.second == length.max) continue;
    const std::int64_t count = std::min(place.second + 1, last_count);
    for (const CharNfa::Edge& edge : part.edges) {
      edges.add(state, edge.set, state_of({edge.target, count}));
    }
  }
}

}  // namespace cardloom::grammar
