#include <fmt/format.h>
#include <spng.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "cardloom/image/decode_formats.h"

namespace cardloom::image_formats {
namespace {

// What text, profile and other side chunks may occupy, uncompressed: a workflow in a text chunk is
// a few megabytes; 64 MiB is also Pillow's limit.
constexpr std::size_t kMaxChunkBytes = std::size_t{64} << 20;

struct FreeContext {
  void operator()(spng_ctx* context) const { spng_ctx_free(context); }
};

Error failure(const Input& input, int code) {
  switch (code) {
    case SPNG_EMEM:
      throw std::bad_alloc();
    case SPNG_EOF:
    case SPNG_IO_EOF:
      return input.truncated("the data ends inside a chunk");
    case SPNG_EIDAT_TOO_SHORT:
      return input.truncated("the compressed pixels end too early");
    case SPNG_ECHUNK_LIMITS:
      return make_error(ErrorCode::kResourceExhausted,
                        fmt::format("{}: the PNG's text or profile is larger than the limit of {} "
                                    "bytes",
                                    input.name, kMaxChunkBytes),
                        {}, "save the picture again without metadata", input.caller);
    default:
      return input.damaged(spng_strerror(code));
  }
}

using Palette = std::array<std::uint8_t, 256 * 3>;

/// Colours that the file does not define are grey ramps in Pillow: entry i is (i, i, i).
Palette read_palette(spng_ctx* context) {
  Palette palette;
  for (std::size_t i = 0; i < palette.size(); ++i) palette[i] = static_cast<std::uint8_t>(i / 3);
  spng_plte entries = {};
  if (spng_get_plte(context, &entries) != 0) return palette;
  for (std::size_t i = 0; i < std::min<std::size_t>(entries.n_entries, 256); ++i) {
    palette[i * 3] = entries.entries[i].red;
    palette[i * 3 + 1] = entries.entries[i].green;
    palette[i * 3 + 2] = entries.entries[i].blue;
  }
  return palette;
}

/// Indices of 1, 2, 4 or 8 bits, high bits first, to colours.
void write_palette_row(const std::uint8_t* packed, unsigned bit_depth, const Palette& palette,
                       std::uint8_t* rgb, std::size_t width) {
  const unsigned per_byte = 8 / bit_depth;
  const unsigned mask = (1U << bit_depth) - 1;
  for (std::size_t x = 0; x < width; ++x) {
    const auto place = static_cast<unsigned>(x % per_byte);
    const unsigned index = (packed[x / per_byte] >> (8 - bit_depth * (place + 1))) & mask;
    std::memcpy(rgb + x * 3, palette.data() + std::size_t{index} * 3, 3);
  }
}

/// 16-bit grey is an integer picture ("I") to Pillow, and such are clipped, not scaled.
void write_grey16_row(const std::uint8_t* samples, std::uint8_t* rgb, std::size_t width) {
  for (std::size_t x = 0; x < width; ++x) {
    std::uint16_t sample = 0;
    std::memcpy(&sample, samples + x * 2, 2);
    std::memset(rgb + x * 3, std::min<int>(sample, 255), 3);
  }
}

/// The two kinds that Pillow turns to RGB by its own rules: palette and 16-bit grey.
int decode_special(spng_ctx* context, const spng_ihdr& header, Image& image) {
  const Palette palette = read_palette(context);  // afterwards spng would want the file's end first
  std::size_t size = 0;
  if (const int code = spng_decoded_image_size(context, SPNG_FMT_PNG, &size)) return code;
  std::vector<std::uint8_t> samples(size);
  if (const int code = spng_decode_image(context, samples.data(), size, SPNG_FMT_PNG, 0)) {
    return code;
  }
  const std::size_t row_bytes = size / header.height;
  for (std::size_t y = 0; y < header.height; ++y) {
    const std::uint8_t* row = samples.data() + y * row_bytes;
    std::uint8_t* target = image.row(static_cast<std::int64_t>(y));
    if (header.color_type == SPNG_COLOR_TYPE_INDEXED) {
      write_palette_row(row, header.bit_depth, palette, target, header.width);
    } else {
      write_grey16_row(row, target, header.width);
    }
  }
  return 0;
}

/// Sides that the format itself forbids, 0 or above 2^31 - 1; spng keeps the numbers to itself.
Error refuse_sides(const Input& input) {
  const auto side = [&](std::size_t at) {
    std::int64_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) value = value << 8 | input.data()[at + i];
    return value;
  };
  constexpr std::size_t kWidthAt = 16;  // signature 8, chunk length 4, "IHDR" 4
  constexpr std::size_t kHeightAt = 20;
  if (input.bytes.size() < kHeightAt + 4) return input.truncated("the header is incomplete");
  const Result<Image> refusal = allocate_image(input, side(kWidthAt), side(kHeightAt));
  return refusal ? input.damaged("the header's sides are invalid") : refusal.error();
}

}  // namespace

Result<Image> decode_png(const Input& input) {
  const std::unique_ptr<spng_ctx, FreeContext> context(spng_ctx_new(0));
  if (context == nullptr) throw std::bad_alloc();
  if (const int code = spng_set_chunk_limits(context.get(), kMaxChunkBytes, kMaxChunkBytes)) {
    return failure(input, code);
  }
  if (const int code = spng_set_png_buffer(context.get(), input.data(), input.bytes.size())) {
    return failure(input, code);
  }
  spng_ihdr header = {};
  const int header_code = spng_get_ihdr(context.get(), &header);
  if (header_code == SPNG_EWIDTH || header_code == SPNG_EHEIGHT || header_code == SPNG_EOVERFLOW) {
    return refuse_sides(input);
  }
  if (header_code != 0) return failure(input, header_code);
  Result<Image> image = allocate_image(input, header.width, header.height);
  if (!image) return image;
  const bool is_grey16 = header.color_type == SPNG_COLOR_TYPE_GRAYSCALE && header.bit_depth == 16;
  const int code = header.color_type == SPNG_COLOR_TYPE_INDEXED || is_grey16
                       ? decode_special(context.get(), header, *image)
                       : spng_decode_image(context.get(), image->rgb.data(), image->rgb.size(),
                                           SPNG_FMT_RGB8, 0);
  if (code != 0) return failure(input, code);
  return image;
}

}  // namespace cardloom::image_formats
