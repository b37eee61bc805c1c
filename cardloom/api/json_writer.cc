#include "cardloom/api/json_writer.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <iterator>

namespace cardloom::api {
namespace {

/// Bytes that a string cannot hold as they are, or that may begin such a character.
constexpr std::array<bool, 256> make_special_bytes() {
  std::array<bool, 256> special{};
  for (std::size_t byte = 0; byte < 0x20; ++byte) special[byte] = true;
  special['"'] = true;
  special['\\'] = true;
  special[0xC2] = true;  // U+0085 is C2 85
  special[0xE2] = true;  // U+2028 is E2 80 A8, U+2029 E2 80 A9
  return special;
}
constexpr std::array<bool, 256> kSpecialBytes = make_special_bytes();

/// The short escape of an ASCII character, or 0.
constexpr char short_escape(char c) {
  switch (c) {
    case '"':
    case '\\':
      return c;
    case '\n':
      return 'n';
    case '\r':
      return 'r';
    case '\t':
      return 't';
    case '\b':
      return 'b';
    case '\f':
      return 'f';
    default:
      return 0;
  }
}

/// Appends the escape of what begins at `pos`; how many bytes it stands for, 0: needs none.
std::size_t append_escape(std::string& out, std::string_view text, std::size_t pos) {
  const char c = text[pos];
  if (static_cast<unsigned char>(c) < 0x80) {
    if (const char letter = short_escape(c); letter != 0) {
      out += '\\';
      out += letter;
    } else {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
    }
    return 1;
  }
  if (text.compare(pos, 2, "\xC2\x85") == 0) {
    out += "\\u0085";
    return 2;
  }
  if (text.compare(pos, 3, "\xE2\x80\xA8") == 0) {
    out += "\\u2028";
    return 3;
  }
  if (text.compare(pos, 3, "\xE2\x80\xA9") == 0) {
    out += "\\u2029";
    return 3;
  }
  return 0;
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  std::size_t begin = 0;  // of what is not copied yet
  for (std::size_t pos = 0; pos < text.size();) {
    if (!kSpecialBytes[static_cast<unsigned char>(text[pos])]) {
      ++pos;
      continue;
    }
    out.append(text, begin, pos - begin);
    const std::size_t num_bytes = append_escape(out, text, pos);
    begin = pos + num_bytes;
    pos += num_bytes == 0 ? 1 : num_bytes;
  }
  out.append(text, begin, text.size() - begin);
  out += '"';
}

void append_integer(std::string& out, std::int64_t number) {
  const fmt::format_int text(number);
  out.append(text.data(), text.size());
}

void append_real(std::string& out, double number) {
  if (!std::isfinite(number)) {
    out += "null";
    return;
  }
  fmt::format_to(std::back_inserter(out), "{}", number);
}

void JsonWriter::separate() {
  if (out_.empty()) return;
  const char last = out_.back();
  // A string ends with its quote, so none of these can be the end of a value.
  if (last == '{' || last == '[' || last == ':' || last == ' ' || last == '\n') return;
  out_ += ',';
}

JsonWriter& JsonWriter::open(char bracket) {
  separate();
  out_ += bracket;
  return *this;
}

JsonWriter& JsonWriter::close(char bracket) {
  out_ += bracket;
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  separate();
  out_ += '"';
  out_ += name;
  out_ += "\":";
  return *this;
}

JsonWriter& JsonWriter::escaped_key(std::string_view name) {
  separate();
  append_json_string(out_, name);
  out_ += ':';
  return *this;
}

JsonWriter& JsonWriter::string(std::string_view text) {
  separate();
  append_json_string(out_, text);
  return *this;
}

JsonWriter& JsonWriter::integer(std::int64_t number) {
  separate();
  append_integer(out_, number);
  return *this;
}

JsonWriter& JsonWriter::real(double number) {
  separate();
  append_real(out_, number);
  return *this;
}

JsonWriter& JsonWriter::boolean(bool truth) { return raw(truth ? "true" : "false"); }

JsonWriter& JsonWriter::null() { return raw("null"); }

JsonWriter& JsonWriter::raw(std::string_view text) {
  separate();
  out_ += text;
  return *this;
}

JsonWriter& JsonWriter::text_or_null(std::string_view name, std::string_view text) {
  return text.empty() ? null_field(name) : field(name, text);
}

std::string typed_event(std::string_view type, const std::function<void(JsonWriter&)>& write) {
  std::string bytes = "event: ";
  bytes += type;
  bytes += "\ndata: ";
  JsonWriter json(bytes);
  json.begin_object().field("type", type);
  write(json);
  json.end_object();
  return bytes + "\n\n";
}

}  // namespace cardloom::api
