#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace cardloom::api {

/// Appends `text` as a JSON string, quotes and all; `text` must be valid UTF-8.
///
/// Beside what JSON demands, U+0085, U+2028 and U+2029 are escaped: some clients' line readers
/// (Python's str.splitlines) take them for ends of a line and would tear an event apart.
void append_json_string(std::string& out, std::string_view text);
void append_integer(std::string& out, std::int64_t number);
/// The shortest decimal that is read back as `number`; null if it is not finite.
void append_real(std::string& out, double number);

/// Writes JSON into a string, comma by comma: whether one is needed shows in the last byte.
///
///     JsonWriter json(out);
///     json.begin_object().field("index", choice).key("delta").begin_object();
///     json.field("content", text).end_object().end_object();
///
/// Names must need no escape. What is written is valid if begins and ends match.
class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) : out_(out) {}

  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_list() { return open('['); }
  JsonWriter& end_list() { return close(']'); }

  JsonWriter& key(std::string_view name);
  /// A name of any text.
  JsonWriter& escaped_key(std::string_view name);
  JsonWriter& string(std::string_view text);
  JsonWriter& integer(std::int64_t number);
  JsonWriter& real(double number);
  JsonWriter& boolean(bool truth);
  JsonWriter& null();
  /// JSON as it is.
  JsonWriter& raw(std::string_view text);

  JsonWriter& field(std::string_view name, std::string_view text) { return key(name).string(text); }
  // Else a literal would be a boolean.
  JsonWriter& field(std::string_view name, const char* text) { return key(name).string(text); }
  JsonWriter& field(std::string_view name, std::int64_t number) {
    return key(name).integer(number);
  }
  JsonWriter& field(std::string_view name, double number) { return key(name).real(number); }
  JsonWriter& field(std::string_view name, bool truth) { return key(name).boolean(truth); }
  JsonWriter& null_field(std::string_view name) { return key(name).null(); }
  /// null if `text` is empty.
  JsonWriter& text_or_null(std::string_view name, std::string_view text);

 private:
  JsonWriter& open(char bracket);
  JsonWriter& close(char bracket);
  void separate();

  std::string& out_;
};

/// A server-sent event as Responses and Messages have them: named `type`, with an object whose
/// field `type` says so again; `write` adds what is behind.
[[nodiscard]] std::string typed_event(std::string_view type,
                                      const std::function<void(JsonWriter&)>& write);

}  // namespace cardloom::api
