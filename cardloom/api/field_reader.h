#pragma once

#include <cstdint>
#include <exception>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cardloom/api/api_error.h"
#include "cardloom/base/json.h"

namespace cardloom::api {

/// How a parser says no: thrown where the fault is seen, caught by the parse_... functions, which
/// return it. Half a hundred fields with four ways each to be wrong read as a list this way; with a
/// status behind every one the rules would drown.
class Refusal : public std::exception {
 public:
  explicit Refusal(ApiError error) : error_(std::move(error)) {}
  [[nodiscard]] const ApiError& error() const { return error_; }
  [[nodiscard]] const char* what() const noexcept override { return error_.message.c_str(); }

 private:
  ApiError error_;
};

/// Throws Refusal(invalid(...)).
[[noreturn]] void refuse(std::string param, std::string message, std::string code = {});

/// A stranger's text for an error: in quotes, at most 40 bytes of it, cut between characters.
[[nodiscard]] std::string quoted(std::string_view text);

/// `value` as an integer of the row `range` (ranges.h): 1.0 is one, 1.5 is not. Throws Refusal.
[[nodiscard]] std::int64_t integer_of(const json::value& value, const std::string& param,
                                      std::string_view range);
/// Likewise a finite number; -0 is 0.
[[nodiscard]] double real_of(const json::value& value, const std::string& param,
                             std::string_view range);
[[nodiscard]] std::string_view string_of(const json::value& value, const std::string& param);
[[nodiscard]] const json::object& object_of(const json::value& value, const std::string& param);
[[nodiscard]] const json::array& list_of(const json::value& value, const std::string& param);

/// What is gathered while a request is read.
struct ReadNotes {
  bool strict = false;                 ///< an unknown field is an error
  std::vector<std::string> ignored{};  ///< paths of fields without effect, fit for a header
};
/// Takes note of `path`; the first 16 count, as printable ASCII of at most 64 bytes each.
void note_ignored(ReadNotes& notes, std::string_view path);

/// Reads one JSON object, field by field; JSON's null is an absent field.
///
///     ObjectReader reader(object, "messages[0]", notes);
///     const std::string_view role = reader.require_string("role");
///     const double top_p = reader.real("top_p").value_or(1);
///     reader.finish();
///
/// Every member throws Refusal, naming the path, the wanted type and the one that is there. The
/// object and the notes must outlive the reader; views are into the object.
class ObjectReader {
 public:
  /// `path` "": the body itself.
  ObjectReader(const json::object& object, std::string path, ReadNotes& notes);

  [[nodiscard]] std::string path_of(std::string_view name) const;
  [[nodiscard]] ReadNotes& notes() const { return notes_; }

  /// The field, or null; from here on its name is a known one.
  const json::value* find(std::string_view name);
  /// As find, but absent is an error.
  const json::value& require(std::string_view name);

  std::optional<std::string_view> string(std::string_view name);
  std::string_view require_string(std::string_view name);
  std::optional<bool> boolean(std::string_view name);
  /// `range`: the row of ranges.h, if it is not the field's own name.
  std::optional<std::int64_t> integer(std::string_view name, std::string_view range = {});
  std::optional<double> real(std::string_view name, std::string_view range = {});
  const json::object* object(std::string_view name);
  const json::array* list(std::string_view name);

  /// Known fields that change nothing of an answer and may have any value.
  void accept(std::initializer_list<std::string_view> names);
  /// Known fields that would change it elsewhere: told in `ignored` if they are there.
  void ignore(std::initializer_list<std::string_view> names);
  /// Fields that cannot be honoured: an error if there is one. `remedy` ends its message.
  void refuse_fields(std::initializer_list<std::string_view> names, std::string_view remedy);

  /// Fields nobody asked for: told in `ignored`, or if strict an error with the nearest known name.
  void finish();

 private:
  const json::object& object_;
  std::string path_;
  ReadNotes& notes_;
  std::vector<std::string_view> known_;
};

}  // namespace cardloom::api
