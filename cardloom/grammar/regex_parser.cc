// Regular expressions: text -> tree. The tree is walked, perhaps many times, by regex.cc.
#include "cardloom/grammar/regex_parser.h"

#include <fmt/format.h>

#include <algorithm>

#include "cardloom/base/ascii.h"
#include "cardloom/base/utf8.h"

namespace cardloom::grammar {
namespace {

CharSet digits() { return CharSet({{U'0', U'9'}}); }
CharSet word_chars() { return CharSet({{U'0', U'9'}, {U'A', U'Z'}, {U'_', U'_'}, {U'a', U'z'}}); }
/// WhiteSpace and LineTerminator of ECMA-262, 12.2 and 12.3.
CharSet spaces() {
  return CharSet({{0x9, 0xD},
                  {0x20, 0x20},
                  {0xA0, 0xA0},
                  {0x1680, 0x1680},
                  {0x2000, 0x200A},
                  {0x2028, 0x2029},
                  {0x202F, 0x202F},
                  {0x205F, 0x205F},
                  {0x3000, 0x3000},
                  {0xFEFF, 0xFEFF}});
}
CharSet line_ends() { return CharSet({{U'\n', U'\n'}, {U'\r', U'\r'}, {0x2028, 0x2029}}); }

/// What \d, \w, \s and their complements stand for; nothing for other letters.
std::optional<CharSet> class_of(char letter) {
  switch (letter) {
    case 'd':
      return digits();
    case 'D':
      return digits().complement();
    case 'w':
      return word_chars();
    case 'W':
      return word_chars().complement();
    case 's':
      return spaces();
    case 'S':
      return spaces().complement();
    default:
      return std::nullopt;
  }
}

}  // namespace

RegexTree RegexParser::parse() {
  if (!is_valid_utf8(pattern_)) fail("is not valid UTF-8", 0);
  CompileBudget::require("max_schema_bytes", static_cast<std::int64_t>(pattern_.size()),
                         budget_->limits().max_schema_bytes);
  tree_.root = parse_alternatives(0);
  if (pos_ < pattern_.size()) fail("has a ) without (", pos_);
  return std::move(tree_);
}

void RegexParser::fail(std::string_view why, std::size_t at) const {
  throw_error(ErrorCode::kInvalidArgument, fmt::format("{} {}", what_, why),
              fmt::format("at byte {} of {}", at, pattern_.size()));
}

void RegexParser::refuse(std::string_view construct, std::size_t at) const {
  throw_error(ErrorCode::kUnimplemented, fmt::format("{}: {} is not supported", what_, construct),
              fmt::format("at byte {} of {}; supported are literals, . [...] \\d \\w \\s, groups, "
                          "alternatives, * + ? {{m,n}}, ^ and $ at the ends",
                          at, pattern_.size()));
}

std::int32_t RegexParser::add(RegexNode node) {
  budget_->spend(1);
  tree_.nodes.push_back(std::move(node));
  return static_cast<std::int32_t>(tree_.nodes.size()) - 1;
}

std::int32_t RegexParser::parse_alternatives(std::int64_t depth) {
  CompileBudget::require("max_depth", depth, budget_->limits().max_depth);
  RegexNode alternatives;
  alternatives.kind = RegexNode::Kind::kAlternatives;
  for (;;) {
    alternatives.children.push_back(parse_sequence(depth));
    if (!take('|')) break;
  }
  return alternatives.children.size() == 1 ? alternatives.children[0]
                                           : add(std::move(alternatives));
}

std::int32_t RegexParser::parse_sequence(std::int64_t depth) {
  RegexNode sequence;
  sequence.kind = RegexNode::Kind::kSequence;
  if (peek() == '^') {
    if (depth > 0) refuse("^ inside a group", pos_);
    ++pos_;
    sequence.starts_text = true;
  }
  while (pos_ < pattern_.size() && peek() != '|' && peek() != ')') {
    if (peek() == '^') refuse("^ that is not at the start", pos_);
    if (peek() == '$') {
      const std::size_t at = pos_++;
      if (depth > 0 || (pos_ < pattern_.size() && peek() != '|')) {
        refuse("$ that is not at the end", at);
      }
      sequence.ends_text = true;
      break;
    }
    const std::int32_t atom = parse_atom(depth);
    sequence.children.push_back(parse_repeats(atom));
  }
  return add(std::move(sequence));
}

std::int32_t RegexParser::parse_atom(std::int64_t depth) {
  const std::size_t at = pos_;
  const char c = peek();
  if (c == '(') {
    ++pos_;
    parse_group_head(at);
    const std::int32_t inner = parse_alternatives(depth + 1);
    if (!take(')')) fail("has a ( without )", at);
    return inner;
  }
  if (c == '*' || c == '+' || c == '?') fail("repeats nothing", at);
  if (c == '[') return add_set(parse_class());
  if (c == '.') {
    ++pos_;
    return add_set(line_ends().complement());
  }
  if (c == '\\') {
    CharSet set;
    const std::optional<char32_t> single = parse_escape(false, set);
    return add_set(single ? CharSet::of(*single) : set);
  }
  return add_set(CharSet::of(next_char()));
}

void RegexParser::parse_group_head(std::size_t at) {
  if (!take('?')) return;
  if (take(':')) return;
  (void)take('P');  // Python's (?P<name>
  if (take('<') && peek() != '=' && peek() != '!') {
    while (pos_ < pattern_.size() && peek() != '>') ++pos_;
    if (!take('>')) fail("has a group name without >", at);
    return;
  }
  refuse("a group that begins with (? (look-around, flags and the like)", at);
}

std::int32_t RegexParser::parse_repeats(std::int32_t atom) {
  const std::size_t at = pos_;
  RegexNode repeat;
  repeat.kind = RegexNode::Kind::kRepeat;
  repeat.children = {atom};
  if (take('*')) {
    repeat.min = 0;
  } else if (take('+')) {
    repeat.min = 1;
  } else if (take('?')) {
    repeat.min = 0;
    repeat.max = 1;
  } else if (!parse_counts(repeat)) {
    return atom;
  }
  if (repeat.max >= 0 && repeat.max < repeat.min) fail("repeats from more to fewer", at);
  if (!take('?') && peek() == '+') refuse("a possessive repeat", pos_);
  if (peek() == '*' || peek() == '+' || peek() == '?') fail("repeats a repeat", pos_);
  const std::size_t next = pos_;
  RegexNode unused;
  if (parse_counts(unused)) fail("repeats a repeat", next);
  return add(std::move(repeat));
}

/// {m}, {m,} or {m,n}; anything else leaves the brace to be a character.
bool RegexParser::parse_counts(RegexNode& repeat) {
  const std::size_t begin = pos_;
  if (!take('{')) return false;
  const auto number = [&]() -> std::int64_t {
    std::int64_t value = -1;
    while (pos_ < pattern_.size() && peek() >= '0' && peek() <= '9') {
      value = std::max<std::int64_t>(value, 0) * 10 + (peek() - '0');
      CompileBudget::require("max_states", value, std::int64_t{1} << 30);
      ++pos_;
    }
    return value;
  };
  repeat.min = number();
  repeat.max = repeat.min;
  if (repeat.min >= 0 && take(',')) repeat.max = number();
  if (repeat.min >= 0 && take('}')) return true;
  pos_ = begin;
  return false;
}

CharSet RegexParser::parse_class() {
  const std::size_t at = pos_++;
  const bool negated = take('^');
  std::vector<CodeRange> ranges;
  while (peek() != ']') {
    if (pos_ >= pattern_.size()) fail("has a [ without ]", at);
    budget_->spend(1);
    CharSet set;
    const std::size_t first_at = pos_;
    const std::optional<char32_t> first = parse_class_char(set);
    if (first && peek() == '-' && pos_ + 1 < pattern_.size() && pattern_[pos_ + 1] != ']') {
      ++pos_;
      CharSet other;
      const std::optional<char32_t> last = parse_class_char(other);
      if (!last) fail("has a range that ends in a class", first_at);
      if (*last < *first) fail("has a range whose end is before its start", first_at);
      ranges.push_back({*first, *last});
      continue;
    }
    if (first) set = CharSet::of(*first);
    ranges.insert(ranges.end(), set.ranges().begin(), set.ranges().end());
  }
  ++pos_;
  const CharSet chars(std::move(ranges));
  return negated ? chars.complement() : chars;
}

std::optional<char32_t> RegexParser::parse_class_char(CharSet& set) {
  if (pos_ >= pattern_.size()) fail("has a [ without ]", pos_);
  if (peek() == '\\') return parse_escape(true, set);
  return next_char();
}

/// A single character, or none and a class in `set`.
std::optional<char32_t> RegexParser::parse_escape(bool in_class, CharSet& set) {
  const std::size_t at = pos_++;
  if (pos_ >= pattern_.size()) fail("ends in a backslash", at);
  const char c = pattern_[pos_++];
  if (const std::optional<CharSet> named = class_of(c)) {
    set = *named;
    return std::nullopt;
  }
  switch (c) {
    case 'n':
      return U'\n';
    case 'r':
      return U'\r';
    case 't':
      return U'\t';
    case 'f':
      return U'\f';
    case 'v':
      return U'\v';
    case '0':
      if (peek() >= '0' && peek() <= '9') refuse("an octal escape", at);
      return U'\0';
    case 'x':
      return parse_hex(2, at);
    case 'u':
      return parse_unicode(at);
    case 'b':
      if (in_class) return U'\b';
      refuse("\\b", at);
    case 'B':
    case 'p':
    case 'P':
    case 'k':
    case 'c':
    case 'A':
    case 'Z':
    case 'z':
    case 'G':
      refuse(fmt::format("\\{}", c), at);
    default:
      break;
  }
  if (c >= '1' && c <= '9') refuse("a back-reference", at);
  const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  if (letter || static_cast<unsigned char>(c) >= 0x80) fail("has an unknown escape", at);
  return static_cast<char32_t>(static_cast<unsigned char>(c));
}

char32_t RegexParser::parse_hex(int num_digits, std::size_t at) {
  char32_t value = 0;
  for (int i = 0; i < num_digits; ++i) {
    const int digit = pos_ < pattern_.size() ? hex_value(pattern_[pos_]) : -1;
    if (digit < 0) fail("has an escape with too few hexadecimal digits", at);
    value = value * 16 + static_cast<char32_t>(digit);
    ++pos_;
  }
  return value;
}

char32_t RegexParser::parse_unicode(std::size_t at) {
  char32_t c = 0;
  if (take('{')) {
    int num_digits = 0;
    for (; pos_ < pattern_.size() && hex_value(peek()) >= 0 && num_digits < 8; ++num_digits) {
      c = c * 16 + static_cast<char32_t>(hex_value(pattern_[pos_++]));
    }
    if (num_digits == 0 || !take('}')) fail("has an unfinished \\u{...}", at);
  } else {
    c = parse_hex(4, at);
    const bool pair = c >= 0xD800 && c <= 0xDBFF && pattern_.substr(pos_, 2) == "\\u";
    if (pair) {
      pos_ += 2;
      const char32_t low = parse_hex(4, at);
      if (low < 0xDC00 || low > 0xDFFF) fail("has half a surrogate pair", at);
      c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    }
  }
  if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) fail("names a code point that is none", at);
  return c;
}

std::int32_t RegexParser::add_set(CharSet set) {
  RegexNode node;
  node.kind = RegexNode::Kind::kChars;
  budget_->spend(static_cast<std::int64_t>(set.ranges().size()));
  node.set = std::move(set);
  return add(std::move(node));
}

char RegexParser::peek() const { return pos_ < pattern_.size() ? pattern_[pos_] : '\0'; }

bool RegexParser::take(char c) {
  if (pos_ >= pattern_.size() || pattern_[pos_] != c) return false;
  ++pos_;
  return true;
}

char32_t RegexParser::next_char() {
  const Utf8Step step = next_code_point(pattern_, pos_);
  pos_ += step.num_bytes;
  return step.code_point;
}

}  // namespace cardloom::grammar
