// Picture bytes from strangers: any bytes give a picture or a named error, and what is decoded can
// be turned, resized and normalised.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "cardloom/image/decode.h"
#include "cardloom/image/normalize.h"
#include "cardloom/image/resize.h"
#include "cardloom/tensor/tensor.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cardloom;  // NOLINT: a fuzz target's only scope
  // Small, so that the time goes into headers and not into pixels.
  const DecodeOptions options = {.max_pixels = 1 << 16, .apply_exif_orientation = true};
  const Result<Image> image = decode_image(std::as_bytes(std::span(data, size)), "fuzz", options);
  if (!image) {
    if (image.error().code == ErrorCode::kInternal || image.error().message.empty()) std::abort();
    return 0;
  }
  if (!image->is_consistent() || image->width * image->height > options.max_pixels) std::abort();
  static const Tensor pixel_values(DType::kF32, {3, 28, 28});
  normalize(resize_bicubic(*image, 28, 28), pixel_values);
  return 0;
}
