#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cardloom/base/json.h"
#include "cardloom/base/result.h"

namespace cardloom::glm4v {

/// Reads the fields of one JSON object and keeps the first thing that is wrong.
///
///     ConfigFields fields(object, "config.json", "");
///     config.hidden_size = fields.integer("hidden_size", 1, 1 << 20);
///     if (!fields.status()) return fields.status().error();
///
/// After a failure every reader returns something harmless, so that code can go on to the next
/// check of status(). Null counts as absent.
class ConfigFields {
 public:
  /// `what` names the file; `prefix` stands before field names in errors ("vision_config.").
  ConfigFields(const json::object& object, std::string what, std::string prefix)
      : object_(object), what_(std::move(what)), prefix_(std::move(prefix)) {}

  /// Whether the field is there and not null.
  [[nodiscard]] bool has(const char* name) const { return value(name) != nullptr; }

  /// A whole number in [least, most]; fails with kInvalidArgument if it is absent or is not one.
  std::int64_t integer(const char* name, std::int64_t least, std::int64_t most);
  std::optional<std::int64_t> optional_integer(const char* name, std::int64_t least,
                                               std::int64_t most);

  /// A finite number in [least, most].
  double number(const char* name, double least, double most);
  double number_or(const char* name, double least, double most, double absent);

  bool boolean_or(const char* name, bool absent);
  std::string text(const char* name);
  std::string text_or(const char* name, std::string absent);

  /// One id or a list of ids, each in [0, vocab_size); empty if the field is absent.
  std::vector<std::int32_t> token_ids(const char* name, std::int64_t vocab_size);
  std::optional<std::int32_t> token_id(const char* name, std::int64_t vocab_size);

  /// Strings of a list; empty if the field is absent.
  std::vector<std::string> texts(const char* name);

  /// An object, or nullptr if the field is absent or (a failure) something else.
  const json::object* object(const char* name);

  /// Fails with kUnimplemented, naming the field and its value, unless it is `supported` or absent
  /// with `supported` as its default.
  void require_boolean(const char* name, bool supported, bool absent, const char* reason);

  /// Fails with kInvalidArgument and "<file>: <rule>".
  void require(bool holds, const std::string& rule);
  /// Fails with kUnimplemented.
  void unsupported(const std::string& rule, std::string detail, std::string remedy);
  void missing(const char* name);

  [[nodiscard]] const Status& status() const { return status_; }

 private:
  [[nodiscard]] const json::value* value(const char* name) const;
  void wrong(const char* name, const json::value& found, const std::string& wanted);
  void fail(ErrorCode code, std::string rule, std::string detail, std::string remedy);
  std::optional<std::int32_t> id_from(const char* name, const json::value& found,
                                      std::int64_t vocab_size);

  const json::object& object_;
  std::string what_;
  std::string prefix_;
  Status status_;
};

}  // namespace cardloom::glm4v
