#pragma once

#include <map>
#include <string>
#include <vector>

#include "cardloom/base/json.h"
#include "cardloom/grammar/byte_nfa.h"
#include "cardloom/grammar/number_rules.h"
#include "cardloom/grammar/regex.h"
#include "cardloom/grammar/schema_reader.h"

namespace cardloom::grammar {

/// JSON texts that a schema admits, as rules: one for each type of value at each place of the
/// schema. Places that are the same (by $ref) are one rule, so recursion ends.
class SchemaCompiler {
 public:
  SchemaCompiler(const json::value& schema, ByteNfa& nfa)
      : nfa_(&nfa), budget_(&nfa.budget()), reader_(schema, nfa.budget()), root_(&schema) {}

  /// Adds rule 0 and all that it needs. Throws as SchemaReader does.
  void compile();

  /// The same without rule 0: a value leads from `from` to `to`.
  void add_value(std::int32_t from, std::int32_t to);

 private:
  /// A rule whose body is still to be added.
  struct Work {
    std::int32_t rule = 0;
    unsigned type = 0;  ///< one bit; 0: the value `literal`
    Parts parts;
    Schema literal;
  };
  struct Property {
    std::string_view name;
    bool required = false;
    std::vector<std::int32_t> rules;
  };
  /// What an object may have beside the properties that are named.
  struct Rest {
    bool open = false;
    std::vector<std::int32_t> rules;
    std::vector<Parts> keys;   ///< what names must be; none: anything
    std::string_view pattern;  ///< that names must match; with `has_pattern`
    bool has_pattern = false;
    std::string pattern_pointer;
  };

  std::vector<std::int32_t> rules_of(const std::vector<Schema>& schemas, const std::string& origin);
  void add_rules(const Parts& parts, const std::string& origin, std::vector<std::int32_t>& rules);
  void add_value_rules(const std::vector<Schema>& values, const std::string& origin,
                       std::vector<std::int32_t>& rules);
  std::int32_t rule_of(const Parts& parts, unsigned type, const std::string& origin);
  void call(std::int32_t from, const std::vector<std::int32_t>& rules, std::int32_t to);

  void build(const Work& work);
  void build_literal(const Work& work, std::int32_t start, std::int32_t end);
  void build_object(const Work& work, std::int32_t start, std::int32_t end);
  void build_array(const Work& work, std::int32_t start, std::int32_t end);
  void add_string(std::int32_t from, const Parts& parts, Spelling spelling, std::int32_t to);
  void add_members(std::int32_t rule, std::int32_t start, const std::vector<Property>& properties,
                   const Rest& rest, std::int32_t end);
  void add_rest(std::int32_t rule, std::int32_t key, std::int32_t first, std::int32_t later,
                const std::vector<Property>& properties, const Rest& rest);
  std::int32_t add_colon(std::int32_t rule, std::int32_t after_key);
  void add_close(std::int32_t rule, std::int32_t from, char bracket, std::int32_t to);
  std::vector<Property> properties_of(const Work& work);
  Property property_of(const Work& work, std::string_view name, bool required);
  Rest rest_of(const Work& work, const std::vector<Property>& properties);
  bool read_pattern_properties(const Work& work, bool has_properties, Rest& rest);
  [[nodiscard]] static std::int64_t count_at(const Part& part, std::string_view keyword,
                                             std::int64_t otherwise);
  [[nodiscard]] LengthRange range_of(const Parts& parts, std::string_view min,
                                     std::string_view max) const;
  [[nodiscard]] NumberRange numbers_of(const Parts& parts, bool integers) const;
  CharNfa pattern_at(std::string_view pattern, const std::string& pointer);

  ByteNfa* nfa_;
  CompileBudget* budget_;
  SchemaReader reader_;
  const json::value* root_;
  std::map<std::string, std::int32_t> known_;
  std::vector<Work> waiting_;
};

}  // namespace cardloom::grammar
