#include "cardloom/image/resize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cardloom/base/error.h"
#include "cardloom/image/decode.h"
#include "cardloom/image/test_pictures.h"

namespace cardloom {
namespace {

using test_pictures::Expected;
using test_pictures::Picture;

void expect_resizes(const Image& image, const std::vector<Expected>& sizes,
                    const std::string& name) {
  for (const Expected& size : sizes) {
    const Image resized = resize_bicubic(image, size.width, size.height);
    EXPECT_EQ(resized.width, size.width);
    EXPECT_EQ(resized.height, size.height);
    EXPECT_EQ(test_pictures::sha256(resized), size.rgb_sha256)
        << name << " to " << size.width << " x " << size.height;
  }
}

TEST(ResizeBicubic, EqualsPillowOnEveryCommittedPicture) {
  for (const Picture& picture : test_pictures::committed_pictures()) {
    const std::string file = test_pictures::read(test_pictures::kFolder + picture.file);
    const Result<Image> image = decode_image(test_pictures::as_bytes(file), picture.file);
    ASSERT_TRUE(image) << image.error().describe();
    expect_resizes(*image, picture.resized, picture.file);
  }
}

// Among them strips of 3 x 20000 pixels, whose rows do not fit into one stripe.
TEST(ResizeBicubic, EqualsPillowOnComputedPictures) {
  for (const Picture& picture :
       test_pictures::parse_manifest(test_pictures::kFolder + "manifest.json", "computed")) {
    const Image image =
        test_pictures::computed_image(picture.decoded.width, picture.decoded.height);
    ASSERT_EQ(test_pictures::sha256(image), picture.decoded.rgb_sha256);
    expect_resizes(image, picture.resized, std::to_string(image.width));
  }
}

TEST(ResizeBicubic, SameSizeIsTheSamePicture) {
  const Image image = test_pictures::computed_image(31, 17);
  EXPECT_EQ(resize_bicubic(image, 31, 17).rgb, image.rgb);
}

TEST(ResizeBicubic, AFlatPictureStaysFlat) {
  Image image{7, 5, {}};
  image.rgb.assign(7 * 5 * 3, 255);
  for (const std::int64_t side : {1, 3, 6, 50}) {
    const Image resized = resize_bicubic(image, side, side + 1);
    EXPECT_THAT(resized.rgb, testing::Each(255));
  }
}

TEST(ResizeBicubic, RefusesWhatDoesNotFit) {
  const Image image{1, 1, {1, 2, 3}};
  EXPECT_THROW((void)resize_bicubic(image, 0, 1), Exception);
  EXPECT_THROW((void)resize_bicubic(image, 1, -1), Exception);
  EXPECT_THROW((void)resize_bicubic(image, kMaxImageSide + 1, 1), Exception);
  EXPECT_THROW((void)resize_bicubic(Image{}, 1, 1), Exception);
  EXPECT_THROW((void)resize_bicubic(Image{2, 2, {1, 2, 3}}, 1, 1), Exception);
  try {
    (void)resize_bicubic(image, 0, 7);
  } catch (const Exception& exception) {
    EXPECT_EQ(exception.error().message,
              "resize_bicubic: sides must be 1..65500, not 1 x 1 to 0 x 7");
  }
}

}  // namespace
}  // namespace cardloom
