#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cardloom {

/// A picture in memory: channel c (0 red, 1 green, 2 blue) of pixel (x, y) is
/// rgb[(y * width + x) * 3 + c], with x from the left and y from the top.
/// An Image that this library makes has width, height >= 1 and rgb.size() == width * height * 3.
struct Image {
  std::int64_t width = 0;   ///< in pixels
  std::int64_t height = 0;  ///< in pixels
  std::vector<std::uint8_t> rgb;

  /// The 3 * width bytes of row y.
  [[nodiscard]] const std::uint8_t* row(std::int64_t y) const { return rgb.data() + y * width * 3; }
  [[nodiscard]] std::uint8_t* row(std::int64_t y) { return rgb.data() + y * width * 3; }

  /// Whether the sizes above hold.
  [[nodiscard]] bool is_consistent() const {
    return width >= 1 && height >= 1 && width <= (INT64_MAX / 3) / height &&
           rgb.size() == static_cast<std::size_t>(width * height * 3);
  }
};

}  // namespace cardloom
