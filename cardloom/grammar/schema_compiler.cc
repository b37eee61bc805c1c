#include "cardloom/grammar/schema_compiler.h"

#include <fmt/format.h>

#include <algorithm>

#include "cardloom/grammar/string_rules.h"

namespace cardloom::grammar {
namespace {

std::string_view type_name(unsigned type) {
  switch (type) {
    case kNullType:
      return "null";
    case kBooleanType:
      return "boolean";
    case kObjectType:
      return "object";
    case kArrayType:
      return "array";
    case kStringType:
      return "string";
    case kIntegerType:
      return "integer";
    default:
      return "number";
  }
}

std::string quoted(std::string_view name) { return json_text(json::value(json::string(name))); }

}  // namespace

void SchemaCompiler::compile() {
  const std::int32_t text = nfa_->add_rule("");
  const std::int32_t end = nfa_->add_state(text);
  nfa_->set_accepting(end);
  add_space(*nfa_, nfa_->start(text), nfa_->start(text));
  add_value(nfa_->start(text), end);
}

void SchemaCompiler::add_value(std::int32_t from, std::int32_t to) {
  call(from, rules_of({{root_, ""}}, ""), to);
  while (!waiting_.empty()) {
    const Work work = std::move(waiting_.back());
    waiting_.pop_back();
    build(work);
  }
}

void SchemaCompiler::call(std::int32_t from, const std::vector<std::int32_t>& rules,
                          std::int32_t to) {
  for (const std::int32_t rule : rules) nfa_->add_call(from, rule, to);
}

/// The rules of values that satisfy all schemas. Never empty: if there is no such value, then a
/// rule without texts, which knows where it came from.
std::vector<std::int32_t> SchemaCompiler::rules_of(const std::vector<Schema>& schemas,
                                                   const std::string& origin) {
  std::vector<std::int32_t> rules;
  for (const Parts& parts : reader_.alternatives(schemas)) add_rules(parts, origin, rules);
  std::sort(rules.begin(), rules.end());
  rules.erase(std::unique(rules.begin(), rules.end()), rules.end());
  if (rules.empty()) rules.push_back(nfa_->add_rule(origin));
  return rules;
}

void SchemaCompiler::add_rules(const Parts& parts, const std::string& origin,
                               std::vector<std::int32_t>& rules) {
  if (const auto values = reader_.values(parts)) return add_value_rules(*values, origin, rules);
  unsigned types = reader_.types(parts);
  if ((types & kNumberType) != 0) types &= ~unsigned{kIntegerType};  // numbers are both
  for (unsigned type = 1; type < kAllTypes; type <<= 1) {
    if ((types & type) != 0) rules.push_back(rule_of(parts, type, origin));
  }
}

/// Scalars are one rule together; objects and arrays one each, for their members are values.
void SchemaCompiler::add_value_rules(const std::vector<Schema>& values, const std::string& origin,
                                     std::vector<std::int32_t>& rules) {
  std::int32_t scalars = -1;
  std::int32_t end = -1;
  for (const Schema& value : values) {
    budget_->spend(1);
    if (value.value->is_structured()) {
      rules.push_back(nfa_->add_rule(value.pointer));
      waiting_.push_back({rules.back(), 0, {}, value});
      continue;
    }
    if (scalars < 0) {
      scalars = nfa_->add_rule(origin);
      end = nfa_->add_state(scalars);
      nfa_->set_accepting(end);
      rules.push_back(scalars);
    }
    nfa_->add_text(nfa_->start(scalars), json_text(*value.value), end);
  }
}

std::int32_t SchemaCompiler::rule_of(const Parts& parts, unsigned type, const std::string& origin) {
  std::string key(type_name(type));
  // Scalars are the same rule wherever the same is said of them, containers at the same place.
  const bool scalar = type != kObjectType && type != kArrayType;
  for (const Part& part : parts) {
    if (scalar) {
      reader_.append_keywords(part, type, key);
    } else {
      key.append(1, '\n').append(part.pointer);
    }
  }
  budget_->spend(1 + static_cast<std::int64_t>(key.size() / 16));
  const auto [found, added] = known_.try_emplace(key, 0);
  if (added) {
    found->second = nfa_->add_rule(parts.empty() ? origin : parts.back().pointer);
    waiting_.push_back({found->second, type, parts, {}});
  }
  return found->second;
}

void SchemaCompiler::build(const Work& work) {
  const std::int32_t start = nfa_->start(work.rule);
  const std::int32_t end = nfa_->add_state(work.rule);
  nfa_->set_accepting(end);
  switch (work.type) {
    case 0:
      return build_literal(work, start, end);
    case kNullType:
      return nfa_->add_text(start, "null", end);
    case kBooleanType:
      nfa_->add_text(start, "true", end);
      return nfa_->add_text(start, "false", end);
    case kStringType:
      return add_string(start, work.parts, Spelling::kJsonLoose, end);
    case kIntegerType:
      return add_integer(*nfa_, start, numbers_of(work.parts, true), end);
    case kNumberType:
      return add_number(*nfa_, start, numbers_of(work.parts, false), end);
    case kObjectType:
      return build_object(work, start, end);
    default:
      return build_array(work, start, end);
  }
}

/// An object or array whose members are literals.
void SchemaCompiler::build_literal(const Work& work, std::int32_t start, std::int32_t end) {
  const auto rule_of_value = [&](const json::value& value, const std::string& pointer) {
    std::vector<std::int32_t> rules;
    add_value_rules({{&value, pointer}}, pointer, rules);
    return rules;
  };
  const bool is_object = work.literal.value->is_object();
  std::int32_t here = nfa_->add_state(work.rule);
  nfa_->add_byte(start, is_object ? '{' : '[', here);
  const auto add_comma = [&](bool first) {
    if (first) return;
    const std::int32_t next = nfa_->add_state(work.rule);
    nfa_->add_byte(here, ',', next);
    here = next;
  };
  const auto add_value = [&](const json::value& value, const std::string& pointer) {
    const std::int32_t next = nfa_->add_state(work.rule);
    call(here, rule_of_value(value, pointer), next);
    here = next;
  };
  if (is_object) {
    bool first = true;
    for (const auto& member : work.literal.value->get_object()) {
      add_comma(first);
      first = false;
      add_space(*nfa_, here, here);
      const std::int32_t after = nfa_->add_state(work.rule);
      nfa_->add_text(here, quoted(member.key()), after);
      here = add_colon(work.rule, after);
      add_value(member.value(), work.literal.pointer / member.key());
    }
  } else {
    const json::array& list = work.literal.value->get_array();
    for (std::size_t i = 0; i < list.size(); ++i) {
      add_comma(i == 0);
      add_space(*nfa_, here, here);
      add_value(list[i], work.literal.pointer / i);
    }
  }
  add_close(work.rule, here, is_object ? '}' : ']', end);
}

/// Behind a key: the colon; the result is where the value begins.
std::int32_t SchemaCompiler::add_colon(std::int32_t rule, std::int32_t after_key) {
  const std::int32_t value = nfa_->add_state(rule);
  nfa_->add_byte(after_key, ':', value);
  add_space(*nfa_, value, value);
  return value;
}

void SchemaCompiler::add_close(std::int32_t rule, std::int32_t from, char bracket,
                               std::int32_t to) {
  nfa_->add_byte(from, bracket, to);
  const std::int32_t space = nfa_->add_state(rule);
  add_space(*nfa_, from, space);
  add_space(*nfa_, space, space);
  nfa_->add_byte(space, bracket, to);
}

std::int64_t SchemaCompiler::count_at(const Part& part, std::string_view keyword,
                                      std::int64_t otherwise) {
  const json::value* value = part.object->if_contains(keyword);
  if (value == nullptr) return otherwise;
  boost::system::error_code failure;
  const auto count = value->is_number() ? value->to_number<std::int64_t>(failure) : -1;
  if (failure || count < 0) {
    SchemaReader::fail(part.pointer / keyword, "must be an integer from 0 to 2^63 - 1");
  }
  return count;
}

LengthRange SchemaCompiler::range_of(const Parts& parts, std::string_view min,
                                     std::string_view max) const {
  LengthRange range;
  for (const Part& part : parts) {
    range.min = std::max(range.min, count_at(part, min, 0));
    const std::int64_t bound = count_at(part, max, -1);
    if (bound >= 0) range.max = range.max < 0 ? bound : std::min(range.max, bound);
  }
  return range;
}

NumberRange SchemaCompiler::numbers_of(const Parts& parts, bool integers) const {
  NumberRange range;
  for (const Part& part : parts) {
    for (const std::string_view keyword :
         {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"}) {
      const json::value* value = part.object->if_contains(keyword);
      if (value == nullptr) continue;
      if (!value->is_number()) SchemaReader::fail(part.pointer / keyword, "must be a number");
      const std::optional<Decimal> decimal = to_decimal(*value);
      if (!decimal || (!integers && decimal->whole.size() > 15)) {
        SchemaReader::refuse(part.pointer / keyword,
                             "bounds have up to 15 digits, of integers up to 18");
      }
      const NumberBound bound = {*decimal, keyword.starts_with("exclusive")};
      const bool is_minimum = keyword.ends_with("inimum");
      std::optional<NumberBound>& known = is_minimum ? range.min : range.max;
      if (!known || is_tighter(bound, *known, is_minimum)) known = bound;
    }
  }
  return range;
}

CharNfa SchemaCompiler::pattern_at(std::string_view pattern, const std::string& pointer) {
  return parse_regex(pattern, RegexMatch::kSearch, fmt::format("json_schema: \"{}\"", pointer),
                     *budget_);
}

void SchemaCompiler::add_string(std::int32_t from, const Parts& parts, Spelling spelling,
                                std::int32_t to) {
  const std::int32_t rule = nfa_->state(from).rule;
  const LengthRange length = range_of(parts, "minLength", "maxLength");
  std::optional<CharNfa> chars;
  for (const Part& part : parts) {
    for (const std::string_view keyword : {"pattern", "format"}) {
      const json::value* value = part.object->if_contains(keyword);
      if (value == nullptr) continue;
      const std::string pointer = part.pointer / keyword;
      if (!value->is_string()) SchemaReader::fail(pointer, "must be a string");
      if (chars) SchemaReader::refuse(pointer, "only one pattern or format for a string");
      const std::string_view text = value->get_string();
      const auto known = keyword == "format" ? format_pattern(text) : std::optional(text);
      if (!known) {
        SchemaReader::refuse(pointer, "formats are date, time, date-time, uuid, ipv4, email, uri");
      }
      chars = pattern_at(*known, pointer);
    }
  }
  if (chars) return add_quoted(*nfa_, rule, from, *chars, length, Spelling::kJson, to);
  add_open_string(*nfa_, rule, from, length, spelling, to);
}

}  // namespace cardloom::grammar
