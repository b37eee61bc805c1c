#include "cardloom/image/normalize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cardloom/base/error.h"
#include "cardloom/image/decode.h"
#include "cardloom/image/resize.h"
#include "cardloom/image/test_pictures.h"
#include "cardloom/tensor/tensor.h"

namespace cardloom {
namespace {

struct GoldenPicture {
  const char* file;
  std::int64_t width, height;
  const char* rgb_sha256;
  const char* resized_rgb_sha256;   ///< 56 x 56
  const char* pixel_values_sha256;  ///< f32 [3, 56, 56], little endian
};

// From the golden run of the original model's preprocessing (torchvision on Pillow pictures).
constexpr GoldenPicture kGolden[] = {
    {"images/wide.png", 140, 89, "26b0cd44021793b9baf126d8d5260be8ff250f65243a1cd49fd453515ec3e8e8",
     "5a6016756ee483c96a88bc7c897f6dcff3d5cb20acf3abc2e807ad046e354963",
     "de01c7bcdb2ae2526a3f6d674c2660d38152684c14fe38f5e1c68abe995e33a3"},
    {"images/tall.png", 42, 168, "a6f1008a795254241f7b5686f596abb747f9255a1b3e5a15be517edab1ba7530",
     "7418831f73dcbbe302e7ee5eff406b728b2a8e47b187e1605c2f65ddb217e249",
     "30ea97d03a7bcd0c1278162a72fd2b7f63a7b229643e1232e92cb79328b42d6f"},
    {"images/small.png", 9, 5, "5d10ef5ee211ed4177e231363469fc18e4e85ae9d2329c7f9230667e242c84b1",
     "0ea919547c87b078294766ac19ebca4f5f562e9e06db1a0e2a711bd1a8d37d54",
     "ddca804076f1d6f83d72ed6fb61d0947d2977f9af659f2a250bdaee4d08d84de"},
    {"images/exact.png", 56, 56, "bb2f7587aa796d194899b994b760676275489a68611f5a2ea3de91e034cb7797",
     "bb2f7587aa796d194899b994b760676275489a68611f5a2ea3de91e034cb7797",
     "e93fc13f4e29f185cb1cc11d5fe9c778fdf1e0ab136f1c7dcca58a341a587ae8"},
    {"images/alpha.png", 69, 49, "4cf833bd23427f2745010d1112dbb3246e0ea413c7f65fec6cffe3770b313791",
     "f147e4b766aee0532ff32e96336ee39194280630b529666ad4092b259722f01b",
     "01a9a080a1f2252b1ae4e8558a2abed37d21496859e3bfff77d72e282e028f7f"},
    {"images/grey.png", 61, 87, "54246313eeaa98058fd0c79eb08ff9adb6911cd5b50428c26c8ff5032a5ea555",
     "feb494aa45eeb525647b7aa6fbefe4c38c6edae0f22756c274c0654a9ec437b1",
     "df53bd8d5112b2e8637361da4dc621632234b8ee63770218b10777c82315061b"},
    {"images/palette.png", 112, 56,
     "5112a2a0bdebcb8bf32ee5845e26dae138bcdd8f4374102b522a178716ba9aff",
     "8789694d2cfd7418e90ca8b04e9cfa8db0bf80dbb1846d42f81acc6f07cf0e3b",
     "4de417d39d65f55e2ce60482d131ffc0e721897ff2ca679b07ea21777eaf4b68"},
};

TEST(Normalize, PixelValuesEqualTheOriginalsBitForBit) {
  for (const GoldenPicture& golden : kGolden) {
    const std::string file = test_pictures::read(test_pictures::kGoldenFolder + golden.file);
    const Result<Image> image = decode_image(test_pictures::as_bytes(file), golden.file);
    ASSERT_TRUE(image) << image.error().describe();
    EXPECT_EQ(image->width, golden.width) << golden.file;
    EXPECT_EQ(image->height, golden.height) << golden.file;
    EXPECT_EQ(test_pictures::sha256(*image), golden.rgb_sha256) << golden.file;
    const Image resized = resize_bicubic(*image, 56, 56);
    EXPECT_EQ(test_pictures::sha256(resized), golden.resized_rgb_sha256) << golden.file;
    const Tensor pixel_values(DType::kF32, {3, 56, 56});
    normalize(resized, pixel_values);
    EXPECT_EQ(testing_support::sha256(
                  {pixel_values.view().data, static_cast<std::size_t>(pixel_values.size_bytes())}),
              golden.pixel_values_sha256)
        << golden.file;
  }
}

TEST(Normalize, WritesThroughAnyStrides) {
  const Image image = test_pictures::computed_image(5, 4);
  const Tensor dense(DType::kF32, {3, 4, 5});
  normalize(image, dense);
  const Tensor buffer(DType::kF32, {5, 7, 3});
  const TensorView strided = buffer.view().slice(1, 2, 6).permute({2, 1, 0}).reverse(2);
  normalize(image, strided);
  for (std::int64_t c = 0; c < 3; ++c) {
    for (std::int64_t y = 0; y < 4; ++y) {
      for (std::int64_t x = 0; x < 5; ++x) {
        EXPECT_EQ(*strided.at<float>(c, y, x), *dense.view().at<float>(c, y, x));
      }
    }
  }
  EXPECT_EQ(*buffer.view().at<float>(0, 0, 0), 0.0F);  // outside the slice
}

TEST(Normalize, RefusesWhatDoesNotFit) {
  const Image image = test_pictures::computed_image(5, 4);
  EXPECT_THROW(normalize(image, Tensor(DType::kF32, {3, 5, 4})), Exception);
  EXPECT_THROW(normalize(image, Tensor(DType::kBF16, {3, 4, 5})), Exception);
  EXPECT_THROW(normalize(image, Tensor(DType::kF32, {4, 5, 3})), Exception);
  EXPECT_THROW(normalize(image, Tensor(DType::kF32, {1, 3, 4, 5})), Exception);
  try {
    normalize(image, Tensor(DType::kF32, {3, 5, 4}));
  } catch (const Exception& exception) {
    EXPECT_EQ(exception.error().message,
              "normalize: pixel_values must be f32[3, 4, 5], as the picture is");
    EXPECT_THAT(exception.error().detail, testing::HasSubstr("f32[3, 5, 4]{20, 4, 1}@cpu:0"));
  }
}

}  // namespace
}  // namespace cardloom
