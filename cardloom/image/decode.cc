#include "cardloom/image/decode.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>

#include "cardloom/image/decode_formats.h"
#include "cardloom/image/exif.h"

namespace cardloom {

namespace image_formats {

namespace {
constexpr const char* kSupported = "cardloom decodes JPEG, PNG and WebP";
}  // namespace

Error Input::truncated(std::string detail) const {
  return make_error(
      ErrorCode::kDataLoss,
      fmt::format("{}: the {} ends before the picture is complete", name, format),
      fmt::format("{} bytes; {}", bytes.size(), detail),
      "send the whole file; if it is whole, open and save it again with a picture editor", caller);
}

Error Input::damaged(std::string detail) const {
  return make_error(ErrorCode::kDataLoss, fmt::format("{}: the {} is damaged", name, format),
                    fmt::format("{} bytes; the decoder says: {}", bytes.size(), detail),
                    "fetch the file again, or open and save it with a picture editor", caller);
}

Error Input::unsupported(std::string_view what) const {
  return make_error(
      ErrorCode::kUnimplemented,
      fmt::format("{}: this {} has {}, which cardloom does not decode", name, format, what), {},
      "convert it: 8-bit RGB or grey JPEG, PNG or WebP always work", caller);
}

Result<Image> allocate_image(const Input& input, std::int64_t width, std::int64_t height) {
  if (width < 1 || height < 1) {
    return make_error(ErrorCode::kDataLoss,
                      fmt::format("{}: the {} is {} x {} pixels; both sides must be at least 1",
                                  input.name, input.format, width, height),
                      {}, "check how the file was made", input.caller);
  }
  const std::int64_t limit = input.options.max_pixels;
  if (width > limit / height) {
    // In double, because a header may claim more pixels than an int64 holds.
    const double pixels = static_cast<double>(width) * static_cast<double>(height);
    return make_error(
        ErrorCode::kResourceExhausted,
        fmt::format("{}: the {} has {} x {} = {:.0f} pixels, more than the limit of {}", input.name,
                    input.format, width, height, pixels, limit),
        "judged from the header; nothing was decoded",
        fmt::format("make the picture smaller, or start with --max-image-pixels {:.0f}", pixels),
        input.caller);
  }
  if (const std::int64_t left = input.options.pixels_left; width * height > left) {
    return make_error(
        ErrorCode::kResourceExhausted,
        fmt::format("{}: the {} has {} x {} = {} pixels, but the pictures before it leave only {}",
                    input.name, input.format, width, height, width * height, left),
        "judged from the header; nothing was decoded", "show fewer or smaller pictures",
        input.caller);
  }
  if (std::max(width, height) > kMaxImageSide) {
    return make_error(ErrorCode::kResourceExhausted,
                      fmt::format("{}: the {} has a side of {} pixels, more than the limit of {}",
                                  input.name, input.format, std::max(width, height), kMaxImageSide),
                      fmt::format("{} x {} pixels", width, height),
                      "cut the picture into parts, or make it smaller", input.caller);
  }
  Image image{width, height, {}};
  image.rgb.resize(static_cast<std::size_t>(width * height * 3));
  return image;
}

}  // namespace image_formats

namespace {

using image_formats::Input;

struct Magic {
  const char* format;
  std::size_t offset;
  std::string_view bytes;
  Result<Image> (*decode)(const Input&);  ///< null: recognised, so that it can be refused by name
};

// std::string_view{"..", n}, because several signatures contain zeros.
constexpr Magic kMagics[] = {
    {"JPEG", 0, "\xff\xd8\xff", image_formats::decode_jpeg},
    {"PNG", 0, "\x89PNG\r\n\x1a\n", image_formats::decode_png},
    {"WebP", 8, "WEBP", image_formats::decode_webp},
    {"GIF", 0, "GIF87a", nullptr},
    {"GIF", 0, "GIF89a", nullptr},
    {"TIFF", 0, {"II*\0", 4}, nullptr},
    {"TIFF", 0, {"MM\0*", 4}, nullptr},
    {"TIFF", 0, {"II+\0", 4}, nullptr},
    {"TIFF", 0, {"MM\0+", 4}, nullptr},
    {"BMP", 0, "BM", nullptr},
    {"AVIF", 4, "ftypavif", nullptr},
    {"AVIF", 4, "ftypavis", nullptr},
    {"HEIC", 4, "ftyphei", nullptr},  // heic, heix, heim, heis
    {"HEIC", 4, "ftyphev", nullptr},  // hevc, hevx: sequences
    {"HEIF", 4, "ftypmif1", nullptr},
    {"HEIF", 4, "ftypmsf1", nullptr},
    {"JPEG 2000", 0, {"\0\0\0\x0cjP  ", 8}, nullptr},
    {"JPEG XL", 0, {"\0\0\0\x0cJXL ", 8}, nullptr},
    {"JPEG XL", 0, "\xff\x0a", nullptr},
    {"ICO", 0, {"\0\0\1\0", 4}, nullptr},
    {"PSD", 0, "8BPS", nullptr},
    {"SVG", 0, "<svg", nullptr},
    {"PDF", 0, "%PDF-", nullptr},
};

const Magic* recognise(std::string_view bytes) {
  for (const Magic& magic : kMagics) {
    if (bytes.size() < magic.offset + magic.bytes.size()) continue;
    if (bytes.substr(magic.offset, magic.bytes.size()) != magic.bytes) continue;
    // "WEBP" stands inside a RIFF container, whose size lies between the two words.
    if (magic.offset == 8 && bytes.substr(0, 4) != "RIFF") continue;
    return &magic;
  }
  return nullptr;
}

Error not_a_picture(std::string_view bytes, std::string_view name, Location caller) {
  if (bytes.empty()) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("{}: the picture is empty (0 bytes)", name), {},
                      "check that the file was written, or the upload finished", caller);
  }
  std::string first;
  for (const char byte : bytes.substr(0, 12)) {
    first += fmt::format(" {:02x}", static_cast<unsigned>(static_cast<unsigned char>(byte)));
  }
  return make_error(
      ErrorCode::kInvalidArgument, fmt::format("{}: not a picture", name),
      fmt::format("{} bytes that begin with{}, which is the beginning of no known "
                  "picture format",
                  bytes.size(), first),
      fmt::format("{}; check that this is the file you meant", image_formats::kSupported), caller);
}

}  // namespace

Result<Image> decode_image(std::span<const std::byte> bytes, std::string_view name,
                           const DecodeOptions& options, Location caller) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const Magic* magic = recognise(text);
  if (magic == nullptr) return not_a_picture(text, name, caller);
  if (magic->decode == nullptr) {
    return make_error(
        ErrorCode::kUnimplemented,
        fmt::format("{}: a {} file, which cardloom does not decode", name, magic->format), {},
        fmt::format("{}; convert it to one of these", image_formats::kSupported), caller);
  }
  try {
    Result<Image> image = magic->decode({bytes, name, magic->format, options, caller});
    if (!image || !options.apply_exif_orientation) return image;
    const int orientation = find_exif_orientation(bytes);
    if (orientation == 1) return image;
    return apply_orientation(*image, orientation);
  } catch (const std::bad_alloc&) {
    return make_error(ErrorCode::kResourceExhausted,
                      fmt::format("{}: not enough memory to decode this {}", name, magic->format),
                      {}, "make the picture smaller, or lower --max-image-pixels", caller);
  }
}

}  // namespace cardloom
