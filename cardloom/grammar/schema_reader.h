#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "cardloom/base/json.h"
#include "cardloom/grammar/compile_budget.h"

namespace cardloom::grammar {

/// A schema where it stands.
struct Schema {
  const json::value* value = nullptr;
  std::string pointer;  ///< RFC 6901, "" for the whole
};

/// A schema object all of whose own keywords must hold; those that refer to schemas in place
/// ($ref, allOf, anyOf, oneOf) have been followed.
struct Part {
  const json::object* object = nullptr;
  std::string pointer;
};

/// All hold. No parts: anything.
using Parts = std::vector<Part>;

enum TypeBit : unsigned {
  kNullType = 1,
  kBooleanType = 2,
  kObjectType = 4,
  kArrayType = 8,
  kStringType = 16,
  kIntegerType = 32,
  kNumberType = 64,  ///< those that are not integers; "number" sets both bits
  kAllTypes = 127,
};

/// Reads a JSON Schema, and takes the words between schemas out of the way.
class SchemaReader {
 public:
  SchemaReader(const json::value& root, CompileBudget& budget) : root_(&root), budget_(&budget) {}

  /// The ways in which all of `schemas` can hold: an instance is one that satisfies all parts of
  /// one alternative. None: nothing is an instance.
  ///
  /// Throws kUnimplemented at a keyword that is not supported, and at oneOf unless no instance can
  /// satisfy two of it; kInvalidArgument at what is no schema or refers to nothing or in a circle.
  std::vector<Parts> alternatives(const std::vector<Schema>& schemas);

  /// Bits of the types that instances of all parts may have. Without `type`, those that the
  /// keywords speak of.
  [[nodiscard]] static unsigned types(const Parts& parts);

  /// The values of enum and const, if there are any; throws kUnimplemented at keywords beside them
  /// other than `type`.
  [[nodiscard]] std::optional<std::vector<Schema>> values(const Parts& parts) const;

  /// Appends to `text` all that `part` says of values of `type` alone: equal texts, equal values.
  void append_keywords(const Part& part, unsigned type, std::string& text) const;

  /// The names that any part requires, perhaps some of them twice.
  [[nodiscard]] static std::vector<std::string_view> required(const Parts& parts);

  /// The schemas of property `name`, of all parts that declare it.
  [[nodiscard]] static std::vector<Schema> declared(const Parts& parts, std::string_view name);

  /// Throws kInvalidArgument: `rule` is broken at `pointer`.
  [[noreturn]] static void fail(const std::string& pointer, std::string_view rule);
  /// Throws kUnimplemented: `pointer` is not supported, `why`.
  [[noreturn]] static void refuse(const std::string& pointer, std::string_view why = {});

 private:
  std::vector<Parts> expand(const Schema& schema);
  void check_keywords(const json::object& object, const std::string& pointer);
  Schema resolve(const json::value& reference, const std::string& pointer) const;
  void join(std::vector<Parts>& all, const std::vector<Parts>& more);
  [[nodiscard]] static unsigned stated_types(const Parts& parts);
  void require_disjoint(const Schema& one_of, unsigned around);
  bool are_disjoint(const Parts& a, const Parts& b, unsigned around, int depth);
  bool are_disjoint(const std::vector<Parts>& a, const std::vector<Parts>& b, unsigned around,
                    int depth);

  const json::value* root_;
  CompileBudget* budget_;
  std::set<std::string> checked_;  ///< pointers of schemas, and of oneOf, looked at before
  std::int64_t nesting_ = 0;       ///< of oneOf, while it is looked at
  std::vector<std::string> open_;  ///< pointers of the schemas that are being expanded
};

/// `key` as the last step of a pointer.
[[nodiscard]] std::string operator/(const std::string& pointer, std::string_view key);
[[nodiscard]] std::string operator/(const std::string& pointer, std::size_t index);

/// The bit of the value's own type; an integral double is an integer.
[[nodiscard]] unsigned type_of(const json::value& value);

}  // namespace cardloom::grammar
