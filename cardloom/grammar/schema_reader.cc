#include "cardloom/grammar/schema_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <utility>

#include "cardloom/base/ascii.h"

namespace cardloom::grammar {
namespace {

struct Keyword {
  std::string_view name;
  unsigned types;  ///< what it speaks of; 0: any
};

constexpr std::array<Keyword, 28> kKeywords = {{
    {"type", 0},
    {"enum", 0},
    {"const", 0},
    {"anyOf", 0},
    {"oneOf", 0},
    {"allOf", 0},
    {"$ref", 0},
    {"$defs", 0},
    {"definitions", 0},
    {"properties", kObjectType},
    {"required", kObjectType},
    {"additionalProperties", kObjectType},
    {"propertyNames", kObjectType},
    {"patternProperties", kObjectType},
    {"unevaluatedProperties", kObjectType},
    {"items", kArrayType},
    {"prefixItems", kArrayType},
    {"minItems", kArrayType},
    {"maxItems", kArrayType},
    {"uniqueItems", kArrayType},
    {"minLength", kStringType},
    {"maxLength", kStringType},
    {"pattern", kStringType},
    {"format", kStringType},
    {"minimum", kNumberType | kIntegerType},
    {"maximum", kNumberType | kIntegerType},
    {"exclusiveMinimum", kNumberType | kIntegerType},
    {"exclusiveMaximum", kNumberType | kIntegerType},
}};

/// They say nothing of instances.
constexpr std::array<std::string_view, 15> kAnnotations = {
    "title",     "description", "default",         "examples",         "example",
    "$schema",   "$id",         "$comment",        "deprecated",       "readOnly",
    "writeOnly", "strict",      "contentEncoding", "contentMediaType", "discriminator"};

constexpr std::string_view kSupported =
    "supported are type, enum, const, anyOf, oneOf (of alternatives that exclude each other), "
    "allOf, $ref within the schema, properties, required, additionalProperties, items, "
    "prefixItems, minItems, maxItems, minLength, maxLength, pattern, format, minimum, maximum, "
    "exclusiveMinimum, exclusiveMaximum";

const Keyword* find_keyword(std::string_view name) {
  const auto found = std::find_if(kKeywords.begin(), kKeywords.end(),
                                  [&](const Keyword& known) { return known.name == name; });
  return found == kKeywords.end() ? nullptr : &*found;
}

unsigned type_bits(std::string_view name) {
  if (name == "null") return kNullType;
  if (name == "boolean") return kBooleanType;
  if (name == "object") return kObjectType;
  if (name == "array") return kArrayType;
  if (name == "string") return kStringType;
  if (name == "integer") return kIntegerType;
  if (name == "number") return kNumberType | kIntegerType;
  return 0;
}

unsigned type_bits(const json::value& type, const std::string& pointer) {
  const auto one = [&](const json::value& name, const std::string& at) {
    const unsigned bits = name.is_string() ? type_bits(std::string_view(name.get_string())) : 0;
    if (bits == 0) SchemaReader::fail(at, "must be the name of a JSON type, or a list of them");
    return bits;
  };
  if (!type.is_array()) return one(type, pointer);
  unsigned bits = 0;
  for (std::size_t i = 0; i < type.get_array().size(); ++i) {
    bits |= one(type.get_array()[i], pointer / i);
  }
  return bits;
}

bool is_number_equal(const json::value& a, const json::value& b) {
  return a.is_number() && b.is_number() && a.to_number<double>() == b.to_number<double>();
}

bool is_same(const json::value& a, const json::value& b) { return a == b || is_number_equal(a, b); }

}  // namespace

std::string operator/(const std::string& pointer, std::string_view key) {
  std::string path = pointer + '/';
  for (const char c : key) {
    if (c == '~') {
      path += "~0";
    } else if (c == '/') {
      path += "~1";
    } else {
      path += c;
    }
  }
  return path;
}

std::string operator/(const std::string& pointer, std::size_t index) {
  return fmt::format("{}/{}", pointer, index);
}

unsigned type_of(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return kNullType;
    case json::kind::bool_:
      return kBooleanType;
    case json::kind::object:
      return kObjectType;
    case json::kind::array:
      return kArrayType;
    case json::kind::string:
      return kStringType;
    case json::kind::int64:
    case json::kind::uint64:
      return kIntegerType;
    case json::kind::double_:
      break;
  }
  const double number = value.get_double();
  return number == std::floor(number) ? kIntegerType : kNumberType;
}

void SchemaReader::fail(const std::string& pointer, std::string_view rule) {
  throw_error(ErrorCode::kInvalidArgument, fmt::format("json_schema: \"{}\" {}", pointer, rule),
              "the JSON pointer leads to the place in the schema", "correct the schema there");
}

void SchemaReader::refuse(const std::string& pointer, std::string_view why) {
  throw_error(ErrorCode::kUnimplemented,
              fmt::format("json_schema: \"{}\" is not supported{}{}", pointer,
                          why.empty() ? "" : ": ", why),
              std::string(kSupported),
              "leave it out, and check the answer for it yourself, or say it in other words");
}

std::vector<Parts> SchemaReader::alternatives(const std::vector<Schema>& schemas) {
  std::vector<Parts> all = {{}};
  for (const Schema& schema : schemas) join(all, expand(schema));
  return all;
}

std::vector<Parts> SchemaReader::expand(const Schema& schema) {
  budget_->spend(1);
  if (schema.value->is_bool()) {
    return schema.value->get_bool() ? std::vector<Parts>{{}} : std::vector<Parts>{};
  }
  if (!schema.value->is_object())
    fail(schema.pointer, "must be a schema: an object, true or false");
  const json::object& object = schema.value->get_object();
  if (std::find(open_.begin(), open_.end(), schema.pointer) != open_.end()) {
    fail(schema.pointer, "refers to itself with nothing in between");
  }
  CompileBudget::require("max_depth", static_cast<std::int64_t>(open_.size()) + 1,
                         budget_->limits().max_depth);
  check_keywords(object, schema.pointer);
  open_.push_back(schema.pointer);
  std::vector<Parts> all = {{{&object, schema.pointer}}};
  if (const json::value* reference = object.if_contains("$ref")) {
    join(all, expand(resolve(*reference, schema.pointer / "$ref")));
  }
  for (const std::string_view word : {"allOf", "anyOf", "oneOf"}) {
    const json::value* list = object.if_contains(word);
    if (list == nullptr) continue;
    const std::string pointer = schema.pointer / word;
    if (!list->is_array() || list->get_array().empty()) fail(pointer, "must be a list of schemas");
    if (word == "oneOf") {
      require_disjoint({list, pointer}, stated_types({{&object, schema.pointer}}));
    }
    std::vector<Parts> any;
    for (std::size_t i = 0; i < list->get_array().size(); ++i) {
      const std::vector<Parts> one = expand({&list->get_array()[i], pointer / i});
      if (word == "allOf") {
        join(all, one);
      } else {
        any.insert(any.end(), one.begin(), one.end());
      }
    }
    if (word != "allOf") join(all, any);
  }
  open_.pop_back();
  return all;
}

/// Each of `all` together with each of `more`.
void SchemaReader::join(std::vector<Parts>& all, const std::vector<Parts>& more) {
  std::vector<Parts> joined;
  for (const Parts& left : all) {
    for (const Parts& right : more) {
      Parts both = left;
      for (const Part& part : right) {
        budget_->spend(1 + static_cast<std::int64_t>(both.size()));
        const bool known = std::any_of(both.begin(), both.end(), [&](const Part& other) {
          return other.pointer == part.pointer;
        });
        if (!known) both.push_back(part);
      }
      CompileBudget::require("max_states", static_cast<std::int64_t>(joined.size()) + 1,
                             budget_->limits().max_states);
      joined.push_back(std::move(both));
    }
  }
  all = std::move(joined);
}

void SchemaReader::check_keywords(const json::object& object, const std::string& pointer) {
  if (!checked_.insert(pointer).second) return;
  for (const auto& member : object) {
    budget_->spend(1);
    const std::string_view name = member.key();
    if (find_keyword(name) != nullptr || name.starts_with("x-")) continue;
    if (std::find(kAnnotations.begin(), kAnnotations.end(), name) != kAnnotations.end()) continue;
    refuse(pointer / name);
  }
  if (const json::value* type = object.if_contains("type")) {
    (void)type_bits(*type, pointer / "type");
  }
  const auto refuse_unless_false = [&](std::string_view name) {
    const json::value* value = object.if_contains(name);
    if (value != nullptr && *value != json::value(false)) refuse(pointer / name, "unless false");
  };
  refuse_unless_false("uniqueItems");
  refuse_unless_false("unevaluatedProperties");
}

Schema SchemaReader::resolve(const json::value& reference, const std::string& pointer) const {
  if (!reference.is_string()) fail(pointer, "must be a string");
  const std::string_view uri = reference.get_string();
  if (!uri.starts_with('#') || (uri.size() > 1 && uri[1] != '/')) {
    refuse(pointer, "only references into the same schema, such as #/$defs/name, are followed");
  }
  const std::optional<std::string> target = percent_decode(uri.substr(1));
  boost::system::error_code failure;
  const json::value* value = target ? root_->find_pointer(*target, failure) : nullptr;
  if (value == nullptr) fail(pointer, fmt::format("refers to \"{}\", which is not there", uri));
  return {value, *target};
}

unsigned SchemaReader::stated_types(const Parts& parts) {
  unsigned bits = kAllTypes;
  for (const Part& part : parts) {
    const json::value* type = part.object->if_contains("type");
    if (type != nullptr) bits &= type_bits(*type, part.pointer / "type");
  }
  return bits;
}

unsigned SchemaReader::types(const Parts& parts) {
  unsigned spoken_of = 0;
  for (const Part& part : parts) {
    if (part.object->contains("type")) return stated_types(parts);
    for (const auto& member : *part.object) {
      const Keyword* keyword = find_keyword(member.key());
      if (keyword != nullptr) spoken_of |= keyword->types;
    }
  }
  return spoken_of == 0 ? unsigned{kAllTypes} : spoken_of;
}

void SchemaReader::append_keywords(const Part& part, unsigned type, std::string& text) const {
  for (const auto& member : *part.object) {
    const Keyword* keyword = find_keyword(member.key());
    if (keyword == nullptr || (keyword->types & type) == 0) continue;
    const std::string value = json::serialize(member.value());
    budget_->spend(1 + static_cast<std::int64_t>(value.size() / 16));
    text.append(1, '\n').append(keyword->name).append(value);
  }
}

std::vector<std::string_view> SchemaReader::required(const Parts& parts) {
  std::vector<std::string_view> names;
  for (const Part& part : parts) {
    const json::value* list = part.object->if_contains("required");
    if (list == nullptr) continue;
    const std::string pointer = part.pointer / "required";
    if (!list->is_array()) fail(pointer, "must be a list of names");
    for (std::size_t i = 0; i < list->get_array().size(); ++i) {
      const json::value& name = list->get_array()[i];
      if (!name.is_string()) fail(pointer / i, "must be a name");
      names.push_back(name.get_string());
    }
  }
  return names;
}

std::optional<std::vector<Schema>> SchemaReader::values(const Parts& parts) const {
  std::optional<std::vector<Schema>> left;
  const unsigned bits = stated_types(parts);
  for (const Part& part : parts) {
    std::vector<Schema> own;
    const json::value* list = part.object->if_contains("enum");
    if (list != nullptr && !list->is_array()) fail(part.pointer / "enum", "must be a list");
    for (std::size_t i = 0; list != nullptr && i < list->get_array().size(); ++i) {
      own.push_back({&list->get_array()[i], part.pointer / "enum" / i});
    }
    const auto keep = [&](const std::vector<Schema>& wanted) {
      if (!left) left = wanted;
      std::erase_if(*left, [&](const Schema& value) {
        budget_->spend(static_cast<std::int64_t>(wanted.size()) / 16);
        return std::none_of(wanted.begin(), wanted.end(), [&](const Schema& other) {
          return is_same(*value.value, *other.value);
        });
      });
    };
    if (list != nullptr) keep(own);
    const json::value* single = part.object->if_contains("const");
    if (single != nullptr) keep({{single, part.pointer / "const"}});
  }
  if (!left) return left;
  std::erase_if(*left, [&](const Schema& value) { return (type_of(*value.value) & bits) == 0; });
  for (const Part& part : parts) {
    for (const auto& member : *part.object) {
      const Keyword* keyword = find_keyword(member.key());
      if (keyword == nullptr || keyword->types == 0) continue;
      const bool applies = std::any_of(left->begin(), left->end(), [&](const Schema& value) {
        return (type_of(*value.value) & keyword->types) != 0;
      });
      if (applies) refuse(part.pointer / member.key(), "beside enum or const");
    }
  }
  return left;
}

std::vector<Schema> SchemaReader::declared(const Parts& parts, std::string_view name) {
  std::vector<Schema> schemas;
  for (const Part& part : parts) {
    const json::value* properties = part.object->if_contains("properties");
    if (properties == nullptr || !properties->is_object()) continue;
    const json::value* schema = properties->get_object().if_contains(name);
    if (schema != nullptr) schemas.push_back({schema, part.pointer / "properties" / name});
  }
  return schemas;
}

/// No instance that has the type of the schema around may satisfy two of the alternatives.
void SchemaReader::require_disjoint(const Schema& one_of, unsigned around) {
  if (!checked_.insert(one_of.pointer).second) return;
  CompileBudget::require("max_depth", ++nesting_, budget_->limits().max_depth);
  // Properties are no longer in place: what they lead to may well be what is open now.
  const std::vector<std::string> open = std::exchange(open_, {});
  std::vector<std::vector<Parts>> each;
  const json::array& list = one_of.value->get_array();
  for (std::size_t i = 0; i < list.size(); ++i) {
    each.push_back(expand({&list[i], one_of.pointer / i}));
  }
  for (std::size_t i = 0; i < each.size(); ++i) {
    for (std::size_t j = i + 1; j < each.size(); ++j) {
      if (are_disjoint(each[i], each[j], around, 0)) continue;
      refuse(one_of.pointer,
             fmt::format("alternatives {} and {} must exclude each other by type, const or enum, "
                         "or by a property that one requires and both declare; or use anyOf",
                         i, j));
    }
  }
  open_ = open;
  --nesting_;
}

bool SchemaReader::are_disjoint(const std::vector<Parts>& a, const std::vector<Parts>& b,
                                unsigned around, int depth) {
  for (const Parts& left : a) {
    for (const Parts& right : b) {
      if (!are_disjoint(left, right, around, depth)) return false;
    }
  }
  return true;
}

bool SchemaReader::are_disjoint(const Parts& a, const Parts& b, unsigned around, int depth) {
  budget_->spend(static_cast<std::int64_t>(1 + a.size() + b.size()));
  const auto left = values(a);
  const auto right = values(b);
  const auto bits = [&](const Parts& parts, const std::optional<std::vector<Schema>>& list) {
    if (!list) return stated_types(parts);
    unsigned all = 0;
    for (const Schema& value : *list) all |= type_of(*value.value);
    return all;
  };
  const unsigned common = bits(a, left) & bits(b, right) & around;
  if (common == 0) return true;
  if (left && right) {
    for (const Schema& value : *left) {
      budget_->spend(static_cast<std::int64_t>(right->size()));
      for (const Schema& other : *right) {
        if (is_same(*value.value, *other.value)) return false;
      }
    }
    return true;
  }
  if (left || right || common != kObjectType || depth > 2) return false;
  std::vector<std::string_view> names = required(a);
  const std::vector<std::string_view> more = required(b);
  names.insert(names.end(), more.begin(), more.end());
  return std::any_of(names.begin(), names.end(), [&](std::string_view name) {
    return are_disjoint(alternatives(declared(a, name)), alternatives(declared(b, name)), kAllTypes,
                        depth + 1);
  });
}

}  // namespace cardloom::grammar
