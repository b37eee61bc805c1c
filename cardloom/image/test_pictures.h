#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "cardloom/base/file.h"
#include "cardloom/base/json.h"
#include "cardloom/image/image.h"
#include "tests/support/sha256.h"

/// What the tests of this folder share: the committed pictures, and what Pillow makes of them.
/// Made by tools/make_test_images.py.
namespace cardloom::test_pictures {

inline const std::string kFolder = std::string(CARDLOOM_SOURCE_DIR) + "/tests/images/";
inline const std::string kGoldenFolder = std::string(CARDLOOM_SOURCE_DIR) + "/tests/golden/tiny/";
/// Photographs that are not part of the repository; tests on them are skipped where it is absent.
inline const std::string kSharedFolder = std::string(CARDLOOM_SOURCE_DIR) + "/../shared/";

inline std::span<const std::byte> as_bytes(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

inline std::string read(const std::string& path) {
  return read_file(path, std::int64_t{1} << 28).value_or_throw();
}

inline std::string sha256(const Image& image) {
  return testing_support::sha256(std::as_bytes(std::span(image.rgb)));
}

struct Expected {
  std::int64_t width = 0;
  std::int64_t height = 0;
  std::string rgb_sha256;
};

struct Picture {
  std::string file;
  Expected decoded;
  Expected oriented;  ///< after its EXIF orientation; as `decoded` if it has none
  std::int64_t decodes_from =
      -1;  ///< the prefix length from which on Pillow decodes it; -1: unknown
  std::vector<Expected> resized;
};

inline Expected parse_expected(const json::value& value) {
  return {value.at("width").to_number<std::int64_t>(), value.at("height").to_number<std::int64_t>(),
          value.at("rgb_sha256").as_string().c_str()};
}

/// `key` is "pictures" or, for those that read() cannot give, "computed".
inline std::vector<Picture> parse_manifest(const std::string& path, const char* key) {
  const json::value manifest = parse_json(read(path), path).value_or_throw();
  std::vector<Picture> pictures;
  for (const json::value& value : manifest.at(key).as_array()) {
    Picture picture;
    picture.decoded = parse_expected(value);
    picture.oriented = picture.decoded;
    const json::object& object = value.as_object();
    if (object.contains("file")) picture.file = object.at("file").as_string().c_str();
    if (object.contains("oriented")) picture.oriented = parse_expected(object.at("oriented"));
    if (object.contains("decodes_from")) {
      picture.decodes_from = object.at("decodes_from").to_number<std::int64_t>();
    }
    for (const json::value& size : object.at("resized").as_array()) {
      picture.resized.push_back(parse_expected(size));
    }
    pictures.push_back(picture);
  }
  return pictures;
}

inline std::vector<Picture> committed_pictures() {
  return parse_manifest(kFolder + "manifest.json", "pictures");
}

/// Byte i is the upper byte of i * 2654435761 mod 2^32, as in the generator.
inline Image computed_image(std::int64_t width, std::int64_t height) {
  Image image{width, height, {}};
  image.rgb.resize(static_cast<std::size_t>(width * height * 3));
  std::uint32_t value = 0;
  for (std::uint8_t& byte : image.rgb) {
    byte = static_cast<std::uint8_t>(value >> 24);
    value += 2654435761U;
  }
  return image;
}

}  // namespace cardloom::test_pictures
