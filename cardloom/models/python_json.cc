#include "cardloom/models/python_json.h"

#include <fmt/format.h>

#include <cmath>
#include <string_view>
#include <utility>

namespace cardloom {
namespace {

void write_string(std::string_view text, std::string& out) {
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

/// float.__repr__, and json's names for what is not finite.
void write_double(double number, std::string& out) {
  if (std::isnan(number)) {
    out += "NaN";
    return;
  }
  if (std::isinf(number)) {
    out += number < 0 ? "-Infinity" : "Infinity";
    return;
  }
  // fmt's shortest form has Python's digits and borders (1e-05 .. 1e+16), but drops ".0".
  const std::string digits = fmt::format("{}", number);
  out += digits;
  if (digits.find_first_of(".e") == std::string::npos) out += ".0";
}

/// Writes until there is more than is wanted; then what is written no longer counts.
class Writer {
 public:
  explicit Writer(std::size_t max_bytes) : max_bytes_(max_bytes) {}

  void write(const json::value& value, std::size_t depth) {
    if (is_full()) return;
    switch (value.kind()) {
      case json::kind::null:
        out_ += "null";
        break;
      case json::kind::bool_:
        out_ += value.get_bool() ? "true" : "false";
        break;
      case json::kind::int64:
        out_ += std::to_string(value.get_int64());
        break;
      case json::kind::uint64:
        out_ += std::to_string(value.get_uint64());
        break;
      case json::kind::double_:
        write_double(value.get_double(), out_);
        break;
      case json::kind::string:
        write_string(value.get_string(), out_);
        break;
      case json::kind::array:
        write_array(value.get_array(), depth);
        break;
      case json::kind::object:
        write_object(value.get_object(), depth);
        break;
    }
  }

  [[nodiscard]] std::optional<std::string> take() {
    if (is_full()) return std::nullopt;
    return std::move(out_);
  }

 private:
  [[nodiscard]] bool is_full() const { return out_.size() > max_bytes_; }

  void new_line(std::size_t depth) {
    out_ += '\n';
    out_.append(4 * depth, ' ');
  }

  void write_array(const json::array& array, std::size_t depth) {
    if (array.empty()) {
      out_ += "[]";
      return;
    }
    out_ += '[';
    bool is_first = true;
    for (const json::value& element : array) {
      if (is_full()) return;
      if (!std::exchange(is_first, false)) out_ += ',';
      new_line(depth + 1);
      write(element, depth + 1);
    }
    new_line(depth);
    out_ += ']';
  }

  void write_object(const json::object& object, std::size_t depth) {
    if (object.empty()) {
      out_ += "{}";
      return;
    }
    out_ += '{';
    bool is_first = true;
    for (const auto& [key, element] : object) {
      if (is_full()) return;
      if (!std::exchange(is_first, false)) out_ += ',';
      new_line(depth + 1);
      write_string(key, out_);
      out_ += ": ";
      write(element, depth + 1);
    }
    new_line(depth);
    out_ += '}';
  }

  std::string out_;
  std::size_t max_bytes_;
};

}  // namespace

std::optional<std::string> dump_python_json(const json::value& value, std::size_t max_bytes) {
  Writer writer(max_bytes);
  writer.write(value, 0);
  return writer.take();
}

}  // namespace cardloom
