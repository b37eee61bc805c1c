#include "cardloom/grammar/string_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json/serialize.hpp>
#include <map>

#include "cardloom/base/utf8.h"

namespace cardloom::grammar {
namespace {

#define CARDLOOM_DATE                                                   \
  "(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|"       \
  "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|" \
  "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
#define CARDLOOM_CLOCK "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
#define CARDLOOM_TIME CARDLOOM_CLOCK ":[0-5][0-9](?:\\.[0-9]{1,9})?(?:Z|[+-]" CARDLOOM_CLOCK ")"
#define CARDLOOM_OCTET "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"

struct Format {
  std::string_view name;
  std::string_view pattern;
};
// RFC 3339 (no leap seconds), 4122, 2673 3.2, 5321 (dot-string at domain), 3986 (http and https).
constexpr std::array<Format, 7> kFormats = {{
    {"date", "^" CARDLOOM_DATE "$"},
    {"time", "^" CARDLOOM_TIME "$"},
    {"date-time", "^" CARDLOOM_DATE "T" CARDLOOM_TIME "$"},
    {"uuid", "^[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$"},
    {"ipv4", "^(?:" CARDLOOM_OCTET "\\.){3}" CARDLOOM_OCTET "$"},
    {"email",
     "^[A-Za-z0-9_+-]{1,20}(?:\\.[A-Za-z0-9_+-]{1,20}){0,2}@"
     "(?:[A-Za-z0-9](?:-?[A-Za-z0-9]){0,30}\\.){1,3}[A-Za-z]{2,20}$"},
    {"uri",
     "^https?://(?:[A-Za-z0-9](?:-?[A-Za-z0-9]){0,30}\\.){1,4}[A-Za-z]{2,20}(?::[1-9][0-9]{1,3})?"
     "(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)?"
     "(?:\\?(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?"
     "(?:#(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?$"},
}};

#undef CARDLOOM_DATE
#undef CARDLOOM_CLOCK
#undef CARDLOOM_TIME
#undef CARDLOOM_OCTET

std::int32_t bounded(std::int64_t value) {
  return static_cast<std::int32_t>(std::min<std::int64_t>(value, kNoMaxCount - 2));
}

/// The names as a tree of characters.
struct NameTree {
  struct Node {
    std::map<char32_t, std::int32_t> next;
    bool is_name = false;
  };
  std::vector<Node> nodes = std::vector<Node>(1);

  void insert(std::string_view name) {
    std::int32_t node = 0;
    for (std::size_t pos = 0; pos < name.size();) {
      const Utf8Step step = next_code_point(name, pos);
      pos += step.num_bytes;
      const auto fresh = static_cast<std::int32_t>(nodes.size());
      const auto [child, added] =
          nodes[static_cast<std::size_t>(node)].next.try_emplace(step.code_point, fresh);
      node = child->second;
      if (added) nodes.emplace_back();
    }
    nodes[static_cast<std::size_t>(node)].is_name = true;
  }
};

}  // namespace

void add_open_string(ByteNfa& nfa, std::int32_t rule, std::int32_t from, LengthRange length,
                     Spelling spelling, std::int32_t to) {
  const std::int64_t limit = nfa.budget().limits().max_string_chars;
  CompileBudget::require("max_string_chars", length.min, limit);
  const std::int32_t min = bounded(length.min);
  const std::int32_t max = bounded(length.max < 0 ? limit : std::min(length.max, limit));
  CharEdges chars(nfa, rule, spelling);
  std::int32_t body = nfa.add_state(rule);
  nfa.add_byte(from, '"', body);
  if (min > 0) {  // the first character apart: without any there must be no way to the end
    const std::int32_t rest = nfa.add_state(rule);
    chars.add_counted(body, CharSet::all(), rest, max);
    body = rest;
  }
  if (max > 0) chars.add_counted(body, CharSet::all(), body, max);
  if (min <= max) nfa.add_edge(body, {'"', '"', CountAction::kReset, to, min > 1 ? min : 0});
}

void add_quoted(ByteNfa& nfa, std::int32_t rule, std::int32_t from, const CharNfa& chars,
                LengthRange length, Spelling spelling, std::int32_t to) {
  const std::int32_t begin = nfa.add_state(rule);
  const std::int32_t end = nfa.add_state(rule);
  nfa.add_byte(from, '"', begin);
  add_chars(nfa, rule, begin, chars, length, spelling, end);
  nfa.add_byte(end, '"', to);
}

void add_string_except(ByteNfa& nfa, std::int32_t rule, std::int32_t from,
                       const std::vector<std::string_view>& names, std::int32_t to) {
  NameTree tree;
  for (const std::string_view name : names) tree.insert(name);
  CharEdges chars(nfa, rule, Spelling::kJson);
  const std::int32_t other = nfa.add_state(rule);  // certainly no name
  chars.add_counted(other, CharSet::all(), other, bounded(nfa.budget().limits().max_string_chars));
  nfa.add_byte(other, '"', to);
  std::vector<std::int32_t> states;
  for (std::size_t i = 0; i < tree.nodes.size(); ++i) states.push_back(nfa.add_state(rule));
  nfa.add_byte(from, '"', states[0]);
  for (std::size_t i = 0; i < tree.nodes.size(); ++i) {
    std::vector<CodeRange> known;
    for (const auto& [character, child] : tree.nodes[i].next) {
      known.push_back({character, character});
      chars.add_counted(states[i], CharSet::of(character), states[static_cast<std::size_t>(child)],
                        kNoMaxCount);
    }
    chars.add_counted(states[i], CharSet(std::move(known)).complement(), other, kNoMaxCount);
    if (!tree.nodes[i].is_name) nfa.add_byte(states[i], '"', to);
  }
}

void add_space(ByteNfa& nfa, std::int32_t from, std::int32_t to) {
  const std::int32_t max = bounded(nfa.budget().limits().max_whitespace);
  if (max <= 0) return;
  for (const char byte : {' ', '\t', '\n'}) {
    const auto code = static_cast<std::uint8_t>(byte);
    nfa.add_edge(from, {code, code, CountAction::kAdd, to, 0, max - 1});
  }
}

std::string json_text(const json::value& scalar) {
  // Boost writes 0.5 as 5E-1, which is right, but not what a model would write.
  if (scalar.is_double()) return fmt::format("{}", scalar.get_double());
  return json::serialize(scalar);
}

std::optional<std::string_view> format_pattern(std::string_view format) {
  for (const Format& known : kFormats) {
    if (known.name == format) return known.pattern;
  }
  return std::nullopt;
}

}  // namespace cardloom::grammar
