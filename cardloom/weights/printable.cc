#include "cardloom/weights/printable.h"

namespace cardloom {

std::string printable(std::string_view name) {
  constexpr std::size_t kLongest = 120;
  std::string text = "\"";
  for (const char c : name.substr(0, kLongest)) {
    const auto byte = static_cast<unsigned char>(c);
    text += byte < 0x20 || byte == 0x7f ? '?' : c;
  }
  if (name.size() > kLongest) text += "...";
  return text + "\"";
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  constexpr std::size_t kMost = 8;
  std::string text = "[";
  for (std::size_t axis = 0; axis < shape.size() && axis < kMost; ++axis) {
    if (axis > 0) text += ", ";
    text += std::to_string(shape[axis]);
  }
  if (shape.size() > kMost) text += ", ...";
  return text + "]";
}

}  // namespace cardloom
