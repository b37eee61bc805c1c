#include "cardloom/image/normalize.h"

#include <fmt/format.h>

#include <array>

#include "cardloom/base/error.h"

namespace cardloom {

void normalize(const Image& image, const TensorView& pixel_values, Location caller) {
  const TensorView& out = pixel_values;
  if (!image.is_consistent() || out.dtype != DType::kF32 || out.rank != 3 || out.shape[0] != 3 ||
      out.shape[1] != image.height || out.shape[2] != image.width) {
    throw_error(ErrorCode::kInvalidArgument,
                fmt::format("normalize: pixel_values must be f32[3, {}, {}], as the picture is",
                            image.height, image.width),
                fmt::format("operands picture of {} x {} pixels in {} bytes, {}", image.width,
                            image.height, image.rgb.size(), to_string(out)),
                {}, caller);
  }
  for (std::int64_t c = 0; c < 3; ++c) {
    // A byte has 256 values: dividing once for each gives the bits of dividing at every pixel.
    std::array<float, 256> value_of;
    for (std::size_t byte = 0; byte < value_of.size(); ++byte) {
      value_of[byte] = (static_cast<float>(byte) / 255.0F - kClipMean[c]) / kClipStd[c];
    }
    for (std::int64_t y = 0; y < image.height; ++y) {
      const std::uint8_t* in = image.row(y) + c;
      float* row = out.at<float>(c, y);
      for (std::int64_t x = 0; x < image.width; ++x) row[x * out.stride[2]] = value_of[in[x * 3]];
    }
  }
}

}  // namespace cardloom
