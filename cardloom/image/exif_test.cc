#include "cardloom/image/exif.h"

#include <gtest/gtest.h>

#include "cardloom/base/error.h"
#include "cardloom/image/decode.h"
#include "cardloom/image/test_pictures.h"

namespace cardloom {
namespace {

using test_pictures::as_bytes;

TEST(ExifOrientation, IsFoundInEveryContainer) {
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const std::string file = test_pictures::read(test_pictures::kFolder + "jpeg_exif_" +
                                                 std::to_string(orientation) + ".jpg");
    EXPECT_EQ(find_exif_orientation(as_bytes(file)), orientation);
  }
  const auto of = [](const char* name) {
    return find_exif_orientation(as_bytes(test_pictures::read(test_pictures::kFolder + name)));
  };
  EXPECT_EQ(of("png_exif_6.png"), 6);
  EXPECT_EQ(of("webp_exif_8.webp"), 8);
  EXPECT_EQ(of("jpeg_420.jpg"), 1);
  EXPECT_EQ(of("png_g8.png"), 1);
  EXPECT_EQ(of("webp_lossy.webp"), 1);
  EXPECT_EQ(find_exif_orientation({}), 1);
}

std::string tiff(const char* order, std::string_view directory) {
  return std::string(order, 4) + std::string(directory);
}

TEST(ExifOrientation, DamagedBlocksMeanAsStored) {
  using namespace std::string_view_literals;
  const std::string good = tiff("II*\0", "\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"sv);
  EXPECT_EQ(parse_exif_orientation(as_bytes(good)), 6);
  for (std::size_t length = 0; length < 20; ++length) {
    EXPECT_EQ(parse_exif_orientation(as_bytes(good.substr(0, length))), 1) << length;
  }
  const auto is_ignored = [](const std::string& block) {
    return parse_exif_orientation(as_bytes(block)) == 1;
  };
  EXPECT_TRUE(is_ignored(tiff("MM\0*", "\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"sv)));
  EXPECT_TRUE(is_ignored(tiff("II*\0", "\xff\xff\xff\xff\1\0\x12\1\3\0"sv)));
  EXPECT_TRUE(is_ignored(tiff("II*\0", "\x08\0\0\0\xff\xff\x12\2\3\0"sv)));
  EXPECT_TRUE(is_ignored(tiff("II*\0", "\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\x09\0\0\0"sv)));
  EXPECT_TRUE(is_ignored(tiff("II*\0", "\x08\0\0\0\1\0\x12\1\2\0\1\0\0\0\6\0\0\0"sv)));
  EXPECT_TRUE(is_ignored("Exif"));
}

TEST(ApplyOrientation, MovesEachPixelToItsPlace) {
  // 2 x 3 pixels, numbered by rows: 0 1 / 2 3 / 4 5.
  Image image{2, 3, {}};
  for (std::uint8_t i = 0; i < 6; ++i) image.rgb.insert(image.rgb.end(), 3, i);
  const std::uint8_t expected[8][6] = {{0, 1, 2, 3, 4, 5}, {1, 0, 3, 2, 5, 4}, {5, 4, 3, 2, 1, 0},
                                       {4, 5, 2, 3, 0, 1}, {0, 2, 4, 1, 3, 5}, {4, 2, 0, 5, 3, 1},
                                       {5, 3, 1, 4, 2, 0}, {1, 3, 5, 0, 2, 4}};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const Image out = apply_orientation(image, orientation);
    EXPECT_EQ(out.width, orientation < 5 ? 2 : 3);
    EXPECT_EQ(out.height, orientation < 5 ? 3 : 2);
    for (std::size_t i = 0; i < 6; ++i) {
      EXPECT_EQ(out.rgb[i * 3 + 1], expected[orientation - 1][i]) << orientation << " at " << i;
    }
  }
}

TEST(ApplyOrientation, RefusesWhatDoesNotFit) {
  const Image image{1, 1, {1, 2, 3}};
  EXPECT_THROW((void)apply_orientation(image, 0), Exception);
  EXPECT_THROW((void)apply_orientation(image, 9), Exception);
  EXPECT_THROW((void)apply_orientation(Image{2, 1, {1, 2, 3}}, 2), Exception);
}

}  // namespace
}  // namespace cardloom
