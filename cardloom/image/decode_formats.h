#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "cardloom/base/result.h"
#include "cardloom/image/decode.h"

/// What the decoders of the formats share; internal to this folder.
namespace cardloom::image_formats {

/// One picture file on its way through a decoder.
struct Input {
  std::span<const std::byte> bytes;
  std::string_view name;
  const char* format = "";  ///< "JPEG", for messages
  DecodeOptions options;
  Location caller;

  [[nodiscard]] const std::uint8_t* data() const {
    return reinterpret_cast<const std::uint8_t*>(bytes.data());
  }

  /// kDataLoss: "cat.jpg: the JPEG ends before the picture is complete".
  [[nodiscard]] Error truncated(std::string detail) const;

  /// kDataLoss: "cat.jpg: the JPEG is damaged"; `detail` in the words of the decoder.
  [[nodiscard]] Error damaged(std::string detail) const;

  /// kUnimplemented: "cat.jpg: this JPEG has `what`, which cardloom does not decode".
  [[nodiscard]] Error unsupported(std::string_view what) const;
};

/// A black picture of the size that the header claims, once the size is found to be within limits.
/// Returns kDataLoss if a side is 0, kResourceExhausted if it is too large.
Result<Image> allocate_image(const Input& input, std::int64_t width, std::int64_t height);

Result<Image> decode_jpeg(const Input& input);
Result<Image> decode_png(const Input& input);
Result<Image> decode_webp(const Input& input);

}  // namespace cardloom::image_formats
