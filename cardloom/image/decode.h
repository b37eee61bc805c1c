#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

#include "cardloom/base/result.h"
#include "cardloom/image/image.h"

namespace cardloom {

struct DecodeOptions {
  /// Largest width * height that is decoded; judged from the file's header, before any memory is
  /// taken. 64 million: a 12k x 5k panorama; 192 MB as RGB.
  std::int64_t max_pixels = 64'000'000;

  /// The same, but what pictures decoded before leave of a limit for all of them.
  std::int64_t pixels_left = std::numeric_limits<std::int64_t>::max();

  /// Turns the picture as its EXIF orientation says. Off, because the reference does not.
  bool apply_exif_orientation = false;
};

/// The longest side that is decoded, in pixels: what libjpeg allows a JPEG. A resize must first
/// scale one axis alone, so its cost grows with the longest side and not with the pixel count: a
/// 1 x 64,000,000 strip, 60 KB as a file, would keep a core busy for many minutes.
constexpr std::int64_t kMaxImageSide = 65'500;

/// The picture in a file's bytes, every byte as Pillow's `Image.open(f).convert("RGB")` gives it.
///
///     Result<Image> image = decode_image(bytes, "cat.jpg");
///
/// JPEG   baseline and progressive; grey, YCbCr, RGB; CMYK and YCCK, taken as inverted (as Adobe
///        writes them) and turned to RGB without a colour profile. Damage that libjpeg knows how to
///        conceal is concealed; a file that ends too early is refused.
/// PNG    all colour types, depths and interlacing. Alpha and tRNS are dropped, never composited;
///        16-bit colours keep their high byte, but 16-bit grey is *clipped* at 255: that is what
///        Pillow does, and the model was trained behind it.
/// WebP   lossy and lossless, alpha dropped; of an animation the first frame.
///
/// `name` stands in front of every message ("cat.jpg", "image 2 of the request").
/// Returns kInvalidArgument if the bytes are no picture; kUnimplemented, naming the format, for a
/// picture of another kind (GIF, TIFF, HEIC ...) or a rare variety; kDataLoss if it is truncated or
/// damaged; kResourceExhausted, with both numbers, if it exceeds max_pixels, pixels_left or
/// kMaxImageSide or memory is short. Never throws. Any number of threads.
Result<Image> decode_image(std::span<const std::byte> bytes, std::string_view name,
                           const DecodeOptions& options = {},
                           Location caller = Location::current());

}  // namespace cardloom
