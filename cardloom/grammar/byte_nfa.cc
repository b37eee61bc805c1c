#include "cardloom/grammar/byte_nfa.h"

#include <fmt/format.h>

#include <array>

namespace cardloom::grammar {
namespace {

/// States that are not deterministic are cheaper and many fall together: 16 for one.
constexpr std::int64_t kNfaStatesPerState = 16;

struct ShortEscape {
  char32_t character;
  char letter;
};
constexpr std::array<ShortEscape, 7> kShortEscapes = {{{U'"', '"'},
                                                       {U'\\', '\\'},
                                                       {U'\b', 'b'},
                                                       {U'\f', 'f'},
                                                       {U'\n', 'n'},
                                                       {U'\r', 'r'},
                                                       {U'\t', 't'}}};
constexpr std::string_view kHex = "0123456789abcdefABCDEF";

CharSet must_escape() { return CharSet({{0, 0x1F}, {U'"', U'"'}, {U'\\', U'\\'}}); }

}  // namespace

void CompileBudget::refuse(std::string_view limit, std::int64_t value, std::int64_t bound) {
  throw_error(ErrorCode::kResourceExhausted,
              fmt::format("the grammar needs {} {}, but the limit {} is {}", value,
                          limit == "max_states"  ? "states"
                          : limit == "max_depth" ? "levels"
                          : limit == "max_steps" ? "steps to compile"
                                                 : "bytes or characters",
                          limit, bound),
              {}, "ask for less: smaller repeat counts, fewer alternatives, less nesting");
}

std::int32_t ByteNfa::add_rule(std::string origin) {
  const auto rule = static_cast<std::int32_t>(rules_.size());
  rules_.push_back({0, std::move(origin)});
  rules_.back().start = add_state(rule);
  return rule;
}

std::int32_t ByteNfa::add_state(std::int32_t rule) {
  budget_->spend(1);
  const auto id = static_cast<std::int32_t>(states_.size());
  CompileBudget::require("max_states", id / kNfaStatesPerState + 1, budget_->limits().max_states);
  states_.emplace_back().rule = rule;
  return id;
}

void ByteNfa::add_edge(std::int32_t from, const ByteEdge& edge) {
  budget_->spend(1);
  states_[static_cast<std::size_t>(from)].edges.push_back(edge);
}

void ByteNfa::add_empty(std::int32_t from, std::int32_t to) {
  budget_->spend(1);
  states_[static_cast<std::size_t>(from)].empty.push_back(to);
}

void ByteNfa::add_call(std::int32_t from, std::int32_t rule, std::int32_t to) {
  budget_->spend(1);
  states_[static_cast<std::size_t>(from)].calls.push_back({rule, to});
}

void ByteNfa::add_byte(std::int32_t from, char byte, std::int32_t to) {
  ByteEdge edge;
  edge.first = edge.last = static_cast<std::uint8_t>(byte);
  edge.target = to;
  add_edge(from, edge);
}

void ByteNfa::add_text(std::int32_t from, std::string_view text, std::int32_t to) {
  if (text.empty()) add_empty(from, to);
  const std::int32_t rule = state(from).rule;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::int32_t next = i + 1 == text.size() ? to : add_state(rule);
    add_byte(from, text[i], next);
    from = next;
  }
}

void CharEdges::add_counted(std::int32_t from, const CharSet& set, std::int32_t to,
                            std::int32_t max_count) {
  counted_ = true;
  max_count_ = max_count;
  add(from, set, to);
  counted_ = false;
  max_count_ = kNoMaxCount;
}

void CharEdges::add(std::int32_t from, const CharSet& set, std::int32_t to) {
  if (spelling_ == Spelling::kPlain) {
    for (const ByteSequence& sequence : utf8_sequences(set)) add_sequence(from, sequence, to);
    return;
  }
  const CharSet plain = set.intersected(must_escape().complement());
  for (const ByteSequence& sequence : utf8_sequences(plain)) add_sequence(from, sequence, to);
  add_escapes(from, set.intersected(must_escape()), to);
}

void CharEdges::add_sequence(std::int32_t from, const ByteSequence& sequence, std::int32_t to) {
  ByteEdge edge;
  edge.first = sequence.bytes[0].first;
  edge.last = sequence.bytes[0].last;
  if (counted_) {
    edge.action = sequence.size == 1 ? CountAction::kAdd : CountAction::kKeep;
    edge.max_count = max_count_ == kNoMaxCount ? kNoMaxCount : max_count_ - 1;
  }
  edge.target = tail_of(sequence, 1, to);
  nfa_->add_edge(from, edge);
}

/// The state that reads bytes begin.. of `sequence` and then is `to`.
std::int32_t CharEdges::tail_of(const ByteSequence& sequence, int begin, std::int32_t to) {
  if (begin == sequence.size) return to;
  std::string key(1, counted_ ? 'c' : 'p');
  for (int i = begin; i < sequence.size; ++i) {
    key += static_cast<char>(sequence.bytes[static_cast<std::size_t>(i)].first);
    key += static_cast<char>(sequence.bytes[static_cast<std::size_t>(i)].last);
  }
  const auto found = tails_.find({to, key});
  if (found != tails_.end()) return found->second;
  const std::int32_t state = nfa_->add_state(rule_);
  ByteEdge edge;
  edge.first = sequence.bytes[static_cast<std::size_t>(begin)].first;
  edge.last = sequence.bytes[static_cast<std::size_t>(begin)].last;
  edge.target = tail_of(sequence, begin + 1, to);
  if (counted_) {
    edge.action = begin + 1 == sequence.size ? CountAction::kAdd : CountAction::kKeep;
  }
  nfa_->add_edge(state, edge);
  tails_[{to, key}] = state;
  return state;
}

/// The characters of `set`, all of which must be escaped, behind a backslash.
void CharEdges::add_escapes(std::int32_t from, const CharSet& set, std::int32_t to) {
  if (set.empty() && spelling_ != Spelling::kJsonLoose) return;
  const CountAction keep = counted_ ? CountAction::kKeep : CountAction::kReset;
  const CountAction add = counted_ ? CountAction::kAdd : CountAction::kReset;
  const std::int32_t backslash = nfa_->add_state(rule_);
  nfa_->add_edge(from, {'\\', '\\', keep, backslash, 0,
                        max_count_ == kNoMaxCount ? kNoMaxCount : max_count_ - 1});
  CharSet rest = set;
  for (const ShortEscape& escape : kShortEscapes) {
    if (!set.contains(escape.character)) continue;
    const auto letter = static_cast<std::uint8_t>(escape.letter);
    nfa_->add_edge(backslash, {letter, letter, add, to});
    rest = rest.intersected(CharSet::of(escape.character).complement());
  }
  if (spelling_ == Spelling::kJsonLoose) return add_loose_escapes(backslash, to);
  std::int32_t high = -1;  // after \u00
  for (const CodeRange& range : rest.ranges()) {
    for (char32_t c = range.first; c <= range.last; ++c) {
      if (high < 0) {
        high = add_hex(add_hex(add_hex(backslash, "u"), "0"), "0");
      }
      const auto low_digit = static_cast<std::uint8_t>(kHex[c % 16]);
      const std::int32_t low = add_hex(high, kHex.substr(c / 16, 1));
      nfa_->add_edge(low, {low_digit, low_digit, add, to});
    }
  }
}

/// One of `digits`, then the state that is returned.
std::int32_t CharEdges::add_hex(std::int32_t from, std::string_view digits) {
  const std::int32_t to = nfa_->add_state(rule_);
  for (const char digit : digits) {
    const auto byte = static_cast<std::uint8_t>(digit);
    nfa_->add_edge(from, {byte, byte, counted_ ? CountAction::kKeep : CountAction::kReset, to});
  }
  return to;
}

/// `\/` and every `\uXXXX`, surrogates in pairs only: a lone one is no character.
void CharEdges::add_loose_escapes(std::int32_t backslash, std::int32_t to) {
  const CountAction add = counted_ ? CountAction::kAdd : CountAction::kReset;
  nfa_->add_edge(backslash, {'/', '/', add, to});
  const auto last_digit = [&](std::int32_t from) {
    for (const char digit : kHex) {
      const auto byte = static_cast<std::uint8_t>(digit);
      nfa_->add_edge(from, {byte, byte, add, to});
    }
  };
  const std::int32_t unicode = add_hex(backslash, "u");
  const std::int32_t ordinary = add_hex(unicode, "0123456789abcefABCEF");
  const std::int32_t d = add_hex(unicode, "dD");
  const std::int32_t second = add_hex(ordinary, kHex);
  const std::int32_t below_surrogates = add_hex(d, "01234567");
  last_digit(add_hex(second, kHex));
  last_digit(add_hex(below_surrogates, kHex));
  const std::int32_t lead = add_hex(add_hex(add_hex(d, "89abAB"), kHex), kHex);
  const std::int32_t trail = add_hex(add_hex(add_hex(lead, "\\"), "u"), "dD");
  last_digit(add_hex(add_hex(trail, "cdefCDEF"), kHex));
}

}  // namespace cardloom::grammar
