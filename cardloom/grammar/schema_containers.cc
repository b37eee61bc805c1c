// Objects and arrays.
#include <fmt/format.h>

#include <algorithm>

#include "cardloom/grammar/schema_compiler.h"
#include "cardloom/grammar/string_rules.h"

namespace cardloom::grammar {
namespace {

bool is_trivial(const json::value& schema) {
  if (schema.is_bool()) return schema.get_bool();
  if (!schema.is_object()) return false;
  const json::object& object = schema.get_object();
  const json::value* type = object.if_contains("type");
  return object.empty() || (object.size() == 1 && type != nullptr && *type == "string");
}

}  // namespace

void SchemaCompiler::build_object(const Work& work, std::int32_t start, std::int32_t end) {
  const std::vector<Property> properties = properties_of(work);
  const Rest rest = rest_of(work, properties);
  add_members(work.rule, start, properties, rest, end);
}

/// In the order in which the schema names them; those that it only requires come last.
std::vector<SchemaCompiler::Property> SchemaCompiler::properties_of(const Work& work) {
  const std::vector<std::string_view> required = SchemaReader::required(work.parts);
  const std::set<std::string_view> is_required(required.begin(), required.end());
  std::set<std::string_view> known;
  std::vector<Property> properties;
  const auto add = [&](std::string_view name) {
    if (!known.insert(name).second) return;
    properties.push_back(property_of(work, name, is_required.contains(name)));
  };
  for (const Part& part : work.parts) {
    const json::value* declared = part.object->if_contains("properties");
    if (declared == nullptr || declared->is_object()) continue;
    SchemaReader::fail(part.pointer / "properties", "must be an object");
  }
  for (const Part& part : work.parts) {
    const json::value* declared = part.object->if_contains("properties");
    if (declared == nullptr) continue;
    for (const auto& member : declared->get_object()) add(member.key());
  }
  for (const std::string_view name : required) add(name);
  return properties;
}

/// All schemas that a property must satisfy: a part that does not declare it asks for its
/// additionalProperties.
SchemaCompiler::Property SchemaCompiler::property_of(const Work& work, std::string_view name,
                                                     bool required) {
  std::vector<Schema> schemas = SchemaReader::declared(work.parts, name);
  std::string origin =
      schemas.empty() ? work.parts.back().pointer / "required" : schemas.front().pointer;
  for (const Part& part : work.parts) {
    const json::value* properties = part.object->if_contains("properties");
    if (properties != nullptr && properties->get_object().contains(name)) continue;
    const json::value* additional = part.object->if_contains("additionalProperties");
    if (additional == nullptr) continue;
    schemas.push_back({additional, part.pointer / "additionalProperties"});
  }
  return {name, required, rules_of(schemas, origin)};
}

/// Open if some part says so, or if none names any property; closed if one forbids it.
SchemaCompiler::Rest SchemaCompiler::rest_of(const Work& work,
                                             const std::vector<Property>& properties) {
  Rest rest;
  std::vector<Schema> schemas;
  bool closed = false;
  bool names_any = false;
  for (const Part& part : work.parts) {
    names_any = names_any || part.object->contains("properties");
    closed = closed || part.object->contains("unevaluatedProperties");
    const json::value* names = part.object->if_contains("propertyNames");
    if (names != nullptr && !is_trivial(*names)) {
      const std::string pointer = part.pointer / "propertyNames";
      if (!properties.empty() || !rest.keys.empty()) {
        SchemaReader::refuse(pointer, "beside properties, required or another propertyNames");
      }
      rest.keys = reader_.alternatives({{names, pointer}});
      if (rest.keys.empty()) closed = true;
    }
    const json::value* additional = part.object->if_contains("additionalProperties");
    if (additional == nullptr) continue;
    rest.open = true;
    closed = closed || *additional == json::value(false);
    schemas.push_back({additional, part.pointer / "additionalProperties"});
  }
  if (read_pattern_properties(work, !properties.empty(), rest)) return rest;
  rest.open = !closed && (rest.open || !names_any);
  if (rest.open) rest.rules = rules_of(schemas, work.parts.empty() ? "" : work.parts[0].pointer);
  return rest;
}

/// patternProperties: one pattern and nothing else, for what several say of a name together would
/// need the names that match some and not others.
bool SchemaCompiler::read_pattern_properties(const Work& work, bool has_properties, Rest& rest) {
  for (const Part& part : work.parts) {
    const json::value* patterns = part.object->if_contains("patternProperties");
    if (patterns == nullptr) continue;
    const std::string pointer = part.pointer / "patternProperties";
    if (!patterns->is_object()) SchemaReader::fail(pointer, "must be an object");
    const json::value* additional = part.object->if_contains("additionalProperties");
    const bool alone = work.parts.size() == 1 && patterns->get_object().size() == 1 &&
                       !has_properties && rest.keys.empty() && additional != nullptr &&
                       *additional == json::value(false);
    if (!alone) {
      SchemaReader::refuse(pointer,
                           "but for one pattern with additionalProperties false, without "
                           "properties, required, propertyNames or schemas beside it");
    }
    const auto& member = *patterns->get_object().begin();
    rest.has_pattern = true;
    rest.pattern = member.key();
    rest.pattern_pointer = pointer / member.key();
    rest.open = true;
    rest.rules = rules_of({{&member.value(), rest.pattern_pointer}}, rest.pattern_pointer);
    return true;
  }
  return false;
}

/// { members }. Before property i one is at first_i if none has come yet, else at later_i; an
/// optional property can be passed over on both ways, and both meet in its key.
void SchemaCompiler::add_members(std::int32_t rule, std::int32_t start,
                                 const std::vector<Property>& properties, const Rest& rest,
                                 std::int32_t end) {
  std::int32_t first = nfa_->add_state(rule);
  nfa_->add_byte(start, '{', first);
  add_space(*nfa_, first, first);
  std::int32_t later = -1;  // none yet
  for (const Property& property : properties) {
    const std::int32_t key = nfa_->add_state(rule);
    const std::int32_t after_key = nfa_->add_state(rule);
    const std::int32_t next_later = nfa_->add_state(rule);
    std::int32_t next_first = -1;
    if (first >= 0) nfa_->add_empty(first, key);
    if (later >= 0) {
      const std::int32_t comma = nfa_->add_state(rule);
      nfa_->add_byte(later, ',', comma);
      add_space(*nfa_, comma, comma);
      nfa_->add_empty(comma, key);
    }
    nfa_->add_text(key, json_text(json::value(json::string(property.name))), after_key);
    call(add_colon(rule, after_key), property.rules, next_later);
    if (!property.required) {
      if (later >= 0) nfa_->add_empty(later, next_later);
      if (first >= 0) nfa_->add_empty(first, next_first = nfa_->add_state(rule));
    }
    first = next_first;
    later = next_later;
  }
  if (rest.open) {
    if (later < 0) later = nfa_->add_state(rule);
    const std::int32_t key = nfa_->add_state(rule);
    add_rest(rule, key, first, later, properties, rest);
  }
  if (first >= 0) nfa_->add_byte(first, '}', end);
  if (later >= 0) add_close(rule, later, '}', end);
}

/// Any number of members with other names.
void SchemaCompiler::add_rest(std::int32_t rule, std::int32_t key, std::int32_t first,
                              std::int32_t later, const std::vector<Property>& properties,
                              const Rest& rest) {
  const std::int32_t after_key = nfa_->add_state(rule);
  const std::int32_t comma = nfa_->add_state(rule);
  if (first >= 0) nfa_->add_empty(first, key);
  nfa_->add_byte(later, ',', comma);
  add_space(*nfa_, comma, comma);
  nfa_->add_empty(comma, key);
  if (rest.has_pattern) {
    add_quoted(*nfa_, rule, key, pattern_at(rest.pattern, rest.pattern_pointer), {},
               Spelling::kJson, after_key);
  } else if (!rest.keys.empty()) {
    for (const Parts& parts : rest.keys) {
      const auto values = reader_.values(parts);
      for (std::size_t i = 0; values && i < values->size(); ++i) {
        const json::value& value = *(*values)[i].value;
        if (value.is_string()) nfa_->add_text(key, json_text(value), after_key);
      }
      const bool strings = (SchemaReader::types(parts) & kStringType) != 0;
      if (!values && strings) add_string(key, parts, Spelling::kJson, after_key);
    }
  } else {
    std::vector<std::string_view> names;
    for (const Property& property : properties) names.push_back(property.name);
    add_string_except(*nfa_, rule, key, names, after_key);
  }
  call(add_colon(rule, after_key), rest.rules, later);
}

void SchemaCompiler::build_array(const Work& work, std::int32_t start, std::int32_t end) {
  const LengthRange length = range_of(work.parts, "minItems", "maxItems");
  std::size_t num_prefix = 0;
  bool open = true;
  for (const Part& part : work.parts) {
    const json::value* prefix = part.object->if_contains("prefixItems");
    const json::value* items = part.object->if_contains("items");
    if (items != nullptr && items->is_array()) {
      SchemaReader::refuse(part.pointer / "items", "as a list; the word is prefixItems");
    }
    if (prefix == nullptr) continue;
    if (!prefix->is_array()) SchemaReader::fail(part.pointer / "prefixItems", "must be a list");
    num_prefix = std::max(num_prefix, prefix->get_array().size());
    open = open && items != nullptr;
  }
  const auto item_rules = [&](std::size_t i) {
    std::vector<Schema> schemas;
    for (const Part& part : work.parts) {
      const json::value* prefix = part.object->if_contains("prefixItems");
      const json::value* items = part.object->if_contains("items");
      if (prefix != nullptr && i < prefix->get_array().size()) {
        schemas.push_back({&prefix->get_array()[i], part.pointer / "prefixItems" / i});
      } else if (items != nullptr) {
        schemas.push_back({items, part.pointer / "items"});
      }
    }
    return rules_of(schemas, work.parts.empty() ? "" : work.parts[0].pointer);
  };
  const std::vector<std::int32_t> rest =
      open ? item_rules(num_prefix) : std::vector<std::int32_t>();
  const auto prefix_size = static_cast<std::int64_t>(num_prefix);
  const bool endless = open && length.max < 0;
  const std::int64_t last = endless          ? std::max(prefix_size, length.min)
                            : length.max < 0 ? prefix_size
                            : open           ? length.max
                                             : std::min(prefix_size, length.max);
  std::int32_t value = nfa_->add_state(work.rule);  // where item i begins
  nfa_->add_byte(start, '[', value);
  add_space(*nfa_, value, value);
  if (length.min == 0) nfa_->add_byte(value, ']', end);
  for (std::int64_t i = 0; i < last || (endless && i == last); ++i) {
    const std::int32_t after = nfa_->add_state(work.rule);
    const auto rules = i < prefix_size ? item_rules(static_cast<std::size_t>(i)) : rest;
    call(value, rules, after);
    if (i + 1 >= length.min) add_close(work.rule, after, ']', end);
    if (i + 1 == last && !endless) break;
    if (i == last) {                                         // all further items are alike
      const std::int32_t next = nfa_->add_state(work.rule);  // not `value`: it may close
      nfa_->add_byte(after, ',', next);
      add_space(*nfa_, next, next);
      call(next, rest, after);
      break;
    }
    value = nfa_->add_state(work.rule);
    nfa_->add_byte(after, ',', value);
    add_space(*nfa_, value, value);
  }
}

}  // namespace cardloom::grammar
