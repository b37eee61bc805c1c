#include "cardloom/api/field_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cardloom/api/ranges.h"
#include "cardloom/base/ascii.h"
#include "cardloom/base/utf8.h"

namespace cardloom::api {
namespace {

constexpr std::size_t kMaxQuotedBytes = 40;
constexpr std::size_t kMaxIgnored = 16;
constexpr std::size_t kMaxIgnoredBytes = 64;

std::string with_note(std::string message, std::string_view note) {
  if (!note.empty()) message += fmt::format("; {}", note);
  return message;
}

std::string number_text(const json::value& value) {
  if (value.is_int64()) return fmt::format("{}", value.get_int64());
  if (value.is_uint64()) return fmt::format("{}", value.get_uint64());
  return fmt::format("{}", value.get_double());
}

[[noreturn]] void refuse_kind(const std::string& param, std::string_view wanted,
                              const json::value& value) {
  refuse(param, fmt::format("{} must be {}, is {}", param, wanted, kind_of(value)));
}

/// The integer that a JSON number stands for, if it is one of 64 bits.
std::optional<std::int64_t> exact_integer(const json::value& value) {
  if (value.is_int64()) return value.get_int64();
  if (!value.is_double()) return {};  // an uint64 that was no int64: too large
  const double number = value.get_double();
  // Not <=: 2^63 itself is a double, but no int64. NaN fails both.
  if (!(number >= -0x1p63 && number < 0x1p63)) return {};
  return static_cast<std::int64_t>(number);
}

}  // namespace

void refuse(std::string param, std::string message, std::string code) {
  throw Refusal(invalid(std::move(param), std::move(message), std::move(code)));
}

std::string quoted(std::string_view text) {
  if (text.size() <= kMaxQuotedBytes) return fmt::format("\"{}\"", text);
  std::string_view head = text.substr(0, kMaxQuotedBytes);
  head.remove_suffix(num_truncated_bytes(head));
  return fmt::format("\"{}...\"", head);
}

std::int64_t integer_of(const json::value& value, const std::string& param,
                        std::string_view range_name) {
  const IntegerRange& range = integer_range(range_name);
  if (!value.is_number()) refuse_kind(param, "an integer", value);
  if (value.is_double() && value.get_double() != std::trunc(value.get_double())) {
    refuse(param, fmt::format("{} must be an integer, is {}", param, number_text(value)));
  }
  const std::optional<std::int64_t> number = exact_integer(value);
  if (!number || *number < range.min || *number > range.max) {
    refuse(param, with_note(fmt::format("{} must be an integer from {} to {}, is {}", param,
                                        range.min, range.max, number_text(value)),
                            range.note));
  }
  return *number;
}

double real_of(const json::value& value, const std::string& param, std::string_view range_name) {
  const RealRange& range = real_range(range_name);
  if (!value.is_number()) refuse_kind(param, "a number", value);
  const double number = value.to_number<double>();
  const bool is_inside =
      (range.above_min ? number > range.min : number >= range.min) && number <= range.max;
  if (!is_inside) {
    refuse(param, with_note(fmt::format("{} must be a number {} {} {} {}, is {}", param,
                                        range.above_min ? "above" : "from", range.min,
                                        range.above_min ? "and up to" : "to", range.max,
                                        number_text(value)),
                            range.note));
  }
  return number + 0.0;  // -0 + 0 is 0
}

std::string_view string_of(const json::value& value, const std::string& param) {
  if (!value.is_string()) refuse_kind(param, "a string", value);
  return value.get_string();
}

const json::object& object_of(const json::value& value, const std::string& param) {
  if (!value.is_object()) refuse_kind(param, "an object", value);
  return value.get_object();
}

const json::array& list_of(const json::value& value, const std::string& param) {
  if (!value.is_array()) refuse_kind(param, "a list", value);
  return value.get_array();
}

void note_ignored(ReadNotes& notes, std::string_view path) {
  if (notes.ignored.size() >= kMaxIgnored) return;
  std::string name(path.substr(0, kMaxIgnoredBytes));
  for (char& c : name) {
    // It goes into a header as one of a list.
    if (c <= ' ' || c > '~' || c == ',') c = '?';
  }
  notes.ignored.push_back(std::move(name));
}

ObjectReader::ObjectReader(const json::object& object, std::string path, ReadNotes& notes)
    : object_(object), path_(std::move(path)), notes_(notes) {}

std::string ObjectReader::path_of(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

const json::value* ObjectReader::find(std::string_view name) {
  known_.push_back(name);
  const json::value* value = object_.if_contains(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

const json::value& ObjectReader::require(std::string_view name) {
  const json::value* value = find(name);
  if (value == nullptr) {
    const std::string param = path_of(name);
    refuse(param, fmt::format("{} is required, but {}", param,
                              object_.contains(name) ? "is null" : "is not there"));
  }
  return *value;
}

std::optional<std::string_view> ObjectReader::string(std::string_view name) {
  const json::value* value = find(name);
  if (value == nullptr) return {};
  return string_of(*value, path_of(name));
}

std::string_view ObjectReader::require_string(std::string_view name) {
  return string_of(require(name), path_of(name));
}

std::optional<bool> ObjectReader::boolean(std::string_view name) {
  const json::value* value = find(name);
  if (value == nullptr) return {};
  if (!value->is_bool()) refuse_kind(path_of(name), "true or false", *value);
  return value->get_bool();
}

std::optional<std::int64_t> ObjectReader::integer(std::string_view name, std::string_view range) {
  const json::value* value = find(name);
  if (value == nullptr) return {};
  return integer_of(*value, path_of(name), range.empty() ? name : range);
}

std::optional<double> ObjectReader::real(std::string_view name, std::string_view range) {
  const json::value* value = find(name);
  if (value == nullptr) return {};
  return real_of(*value, path_of(name), range.empty() ? name : range);
}

const json::object* ObjectReader::object(std::string_view name) {
  const json::value* value = find(name);
  return value == nullptr ? nullptr : &object_of(*value, path_of(name));
}

const json::array* ObjectReader::list(std::string_view name) {
  const json::value* value = find(name);
  return value == nullptr ? nullptr : &list_of(*value, path_of(name));
}

void ObjectReader::accept(std::initializer_list<std::string_view> names) {
  known_.insert(known_.end(), names);
}

void ObjectReader::ignore(std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    if (find(name) != nullptr) note_ignored(notes_, path_of(name));
  }
}

void ObjectReader::refuse_fields(std::initializer_list<std::string_view> names,
                                 std::string_view remedy) {
  for (const std::string_view name : names) {
    // Not find(): a field that is always refused is nobody's nearest name.
    const json::value* value = object_.if_contains(name);
    if (value == nullptr) continue;
    if (value->is_null()) {
      known_.push_back(name);
      continue;
    }
    const std::string param = path_of(name);
    refuse(param, fmt::format("{} is not supported; {}", param, remedy), "unsupported_parameter");
  }
}

void ObjectReader::finish() {
  for (const auto& field : object_) {
    const std::string_view name = field.key();
    if (std::find(known_.begin(), known_.end(), name) != known_.end()) continue;
    if (!notes_.strict) {
      note_ignored(notes_, path_of(name));
      continue;
    }
    const std::string_view head = name.substr(0, 64);
    const auto farther = [head](std::string_view a, std::string_view b) {
      return edit_distance(head, a) < edit_distance(head, b);
    };
    const auto nearest = std::min_element(known_.begin(), known_.end(), farther);
    std::string message =
        fmt::format("{} is not a field of {}", quoted(name),
                    path_.empty() ? std::string("this request") : fmt::format("{}", path_));
    if (nearest != known_.end()) message += fmt::format("; the nearest is \"{}\"", *nearest);
    refuse(path_of(head.substr(0, head.size() - num_truncated_bytes(head))), std::move(message),
           "unknown_parameter");
  }
}

}  // namespace cardloom::api
