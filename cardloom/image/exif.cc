#include "cardloom/image/exif.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>

#include "cardloom/base/error.h"

namespace cardloom {
namespace {

/// Numbers at byte positions that may lie anywhere, also outside.
class Reader {
 public:
  Reader(std::span<const std::byte> bytes, bool big_endian)
      : bytes_(bytes), big_endian_(big_endian) {}

  /// The unsigned number of `width` bytes at `at`, or nothing if it leaves the bytes.
  [[nodiscard]] std::optional<std::uint32_t> number(std::uint64_t at, unsigned width) const {
    if (at > bytes_.size() || bytes_.size() - at < width) return std::nullopt;
    std::uint32_t value = 0;
    for (unsigned i = 0; i < width; ++i) {
      const unsigned place = big_endian_ ? i : width - 1 - i;
      value = value << 8 | std::to_integer<std::uint32_t>(bytes_[at + place]);
    }
    return value;
  }

  /// Whether `text` stands at `at`.
  [[nodiscard]] bool matches(std::uint64_t at, std::string_view text) const {
    return at <= bytes_.size() && bytes_.size() - at >= text.size() &&
           std::memcmp(bytes_.data() + at, text.data(), text.size()) == 0;
  }

  /// At most `count` bytes from `at`.
  [[nodiscard]] std::span<const std::byte> part(std::uint64_t at, std::uint64_t count) const {
    if (at > bytes_.size()) return {};
    return bytes_.subspan(at, std::min<std::uint64_t>(count, bytes_.size() - at));
  }

 private:
  std::span<const std::byte> bytes_;
  bool big_endian_;
};

constexpr std::string_view kExifPrefix("Exif\0\0", 6);

std::span<const std::byte> without_prefix(std::span<const std::byte> exif) {
  return Reader(exif, true).matches(0, kExifPrefix) ? exif.subspan(kExifPrefix.size()) : exif;
}

std::span<const std::byte> find_in_jpeg(std::span<const std::byte> picture) {
  const Reader reader(picture, true);
  std::uint64_t at = 2;
  while (true) {
    const std::optional<std::uint32_t> marker = reader.number(at, 2);
    if (!marker || *marker < 0xff00U) return {};
    if (*marker == 0xffffU) {  // a fill byte before the marker
      ++at;
      continue;
    }
    const bool has_scan_begun = *marker == 0xffdaU || *marker == 0xffd9U;
    const std::optional<std::uint32_t> length = reader.number(at + 2, 2);
    if (has_scan_begun || !length || *length < 2) return {};
    if (*marker == 0xffe1U && reader.matches(at + 4, kExifPrefix)) {
      return without_prefix(reader.part(at + 4, *length - 2));
    }
    at += 2 + std::uint64_t{*length};
  }
}

std::span<const std::byte> find_in_png(std::span<const std::byte> picture) {
  const Reader reader(picture, true);
  std::uint64_t at = 8;
  while (const std::optional<std::uint32_t> length = reader.number(at, 4)) {
    if (reader.matches(at + 4, "eXIf")) return without_prefix(reader.part(at + 8, *length));
    at += 12 + std::uint64_t{*length};
  }
  return {};
}

std::span<const std::byte> find_in_webp(std::span<const std::byte> picture) {
  const Reader reader(picture, false);
  std::uint64_t at = 12;
  while (const std::optional<std::uint32_t> length = reader.number(at + 4, 4)) {
    if (reader.matches(at, "EXIF")) return without_prefix(reader.part(at + 8, *length));
    at += 8 + std::uint64_t{*length} + (*length & 1U);  // chunks are padded to even lengths
  }
  return {};
}

struct Source {
  std::int64_t x = 0;
  std::int64_t y = 0;
};

/// The pixel of a w x h image that stands at (x, y) of the oriented one.
Source source_of(int orientation, std::int64_t x, std::int64_t y, std::int64_t w, std::int64_t h) {
  switch (orientation) {
    case 2:
      return {w - 1 - x, y};
    case 3:
      return {w - 1 - x, h - 1 - y};
    case 4:
      return {x, h - 1 - y};
    case 5:
      return {y, x};
    case 6:
      return {y, h - 1 - x};
    case 7:
      return {w - 1 - y, h - 1 - x};
    case 8:
      return {w - 1 - y, x};
    default:
      return {x, y};
  }
}

}  // namespace

int parse_exif_orientation(std::span<const std::byte> tiff) {
  constexpr std::uint32_t kOrientationTag = 0x0112;
  constexpr std::uint32_t kShort = 3;
  constexpr std::uint32_t kLong = 4;
  const bool big_endian = Reader(tiff, true).matches(0, std::string_view("MM\0*", 4));
  const Reader reader(tiff, big_endian);
  if (!big_endian && !reader.matches(0, std::string_view("II*\0", 4))) return 1;
  const std::optional<std::uint32_t> directory = reader.number(4, 4);
  if (!directory) return 1;
  const std::uint32_t num_entries = reader.number(*directory, 2).value_or(0);
  for (std::uint32_t i = 0; i < num_entries; ++i) {
    const std::uint64_t entry = std::uint64_t{*directory} + 2 + std::uint64_t{i} * 12;
    const std::optional<std::uint32_t> tag = reader.number(entry, 2);
    if (!tag) return 1;
    if (*tag != kOrientationTag) continue;
    const std::uint32_t type = reader.number(entry + 2, 2).value_or(0);
    if (type != kShort && type != kLong) return 1;
    const std::uint32_t value = reader.number(entry + 8, type == kShort ? 2 : 4).value_or(1);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

int find_exif_orientation(std::span<const std::byte> picture) {
  const Reader reader(picture, true);
  if (reader.matches(0, "\xff\xd8\xff")) return parse_exif_orientation(find_in_jpeg(picture));
  if (reader.matches(0, "\x89PNG\r\n\x1a\n")) return parse_exif_orientation(find_in_png(picture));
  if (reader.matches(0, "RIFF") && reader.matches(8, "WEBP")) {
    return parse_exif_orientation(find_in_webp(picture));
  }
  return 1;
}

Image apply_orientation(const Image& image, int orientation, Location caller) {
  if (orientation < 1 || orientation > 8) {
    throw_error(ErrorCode::kInvalidArgument,
                fmt::format("apply_orientation: orientation must be 1..8, not {}", orientation), {},
                {}, caller);
  }
  if (!image.is_consistent()) {
    throw_error(ErrorCode::kInvalidArgument,
                fmt::format("apply_orientation: a picture of {} x {} pixels cannot have {} bytes",
                            image.width, image.height, image.rgb.size()),
                {}, {}, caller);
  }
  const bool is_turned = orientation >= 5;
  Image out{is_turned ? image.height : image.width, is_turned ? image.width : image.height, {}};
  out.rgb.resize(image.rgb.size());
  for (std::int64_t y = 0; y < out.height; ++y) {
    std::uint8_t* row = out.row(y);
    for (std::int64_t x = 0; x < out.width; ++x) {
      const Source from = source_of(orientation, x, y, image.width, image.height);
      std::memcpy(row + x * 3, image.row(from.y) + from.x * 3, 3);
    }
  }
  return out;
}

}  // namespace cardloom
