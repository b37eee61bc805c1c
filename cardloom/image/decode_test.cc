#include "cardloom/image/decode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cardloom/image/resize.h"
#include "cardloom/image/test_pictures.h"

namespace cardloom {
namespace {

using test_pictures::as_bytes;
using test_pictures::Picture;
using testing::HasSubstr;

TEST(Sha256, KnowsTheStandardsExamples) {
  EXPECT_EQ(testing_support::sha256({}),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(testing_support::sha256(as_bytes("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(
      testing_support::sha256(as_bytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(DecodeImage, EqualsPillowOnEveryCommittedPicture) {
  const std::vector<Picture> pictures = test_pictures::committed_pictures();
  EXPECT_GE(pictures.size(), 60U);
  for (const Picture& picture : pictures) {
    const std::string file = test_pictures::read(test_pictures::kFolder + picture.file);
    const Result<Image> image = decode_image(as_bytes(file), picture.file);
    ASSERT_TRUE(image) << image.error().describe();
    EXPECT_EQ(image->width, picture.decoded.width) << picture.file;
    EXPECT_EQ(image->height, picture.decoded.height) << picture.file;
    EXPECT_EQ(test_pictures::sha256(*image), picture.decoded.rgb_sha256) << picture.file;
    const Result<Image> turned =
        decode_image(as_bytes(file), picture.file, {.apply_exif_orientation = true});
    ASSERT_TRUE(turned) << turned.error().describe();
    EXPECT_EQ(turned->width, picture.oriented.width) << picture.file;
    EXPECT_EQ(test_pictures::sha256(*turned), picture.oriented.rgb_sha256) << picture.file;
  }
}

TEST(DecodeImage, EqualsPillowOnPhotographs) {
  const std::string folder = test_pictures::kSharedFolder + "data/images/";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no photographs at " << folder;
  for (const Picture& picture :
       test_pictures::parse_manifest(test_pictures::kFolder + "photographs.json", "pictures")) {
    if (!std::filesystem::exists(folder + picture.file)) continue;
    const std::string file = test_pictures::read(folder + picture.file);
    const Result<Image> image = decode_image(as_bytes(file), picture.file);
    ASSERT_TRUE(image) << image.error().describe();
    EXPECT_EQ(test_pictures::sha256(*image), picture.decoded.rgb_sha256) << picture.file;
    for (const test_pictures::Expected& size : picture.resized) {
      const Image resized = resize_bicubic(*image, size.width, size.height);
      EXPECT_EQ(test_pictures::sha256(resized), size.rgb_sha256) << picture.file << size.width;
    }
    const Result<Image> turned =
        decode_image(as_bytes(file), picture.file, {.apply_exif_orientation = true});
    ASSERT_TRUE(turned) << turned.error().describe();
    EXPECT_EQ(test_pictures::sha256(*turned), picture.oriented.rgb_sha256) << picture.file;
  }
  const std::string cut = test_pictures::read(folder + "skimage/truncated.jpg");
  EXPECT_EQ(decode_image(as_bytes(cut), "truncated.jpg").error().code, ErrorCode::kDataLoss);
  const std::string gif = test_pictures::read(folder + "skimage/newtonscradle.gif");
  EXPECT_THAT(decode_image(as_bytes(gif), "x.gif").error().message, HasSubstr("a GIF file"));
}

TEST(DecodeImage, RefusesOtherFormatsByName) {
  struct Case {
    std::string bytes;
    const char* format;
  };
  const Case cases[] = {
      {"GIF89a______", "GIF"},
      {"GIF87a______", "GIF"},
      {std::string("II*\0____", 8), "TIFF"},
      {std::string("MM\0*____", 8), "TIFF"},
      {"BM__________", "BMP"},
      {std::string("\0\0\0\x18"
                   "ftypheic",
                   12),
       "HEIC"},
      {std::string("\0\0\0\x18"
                   "ftypmif1",
                   12),
       "HEIF"},
      {std::string("\0\0\0\x18"
                   "ftypavif",
                   12),
       "AVIF"},
      {std::string("\0\0\0\x0cjP  ", 8), "JPEG 2000"},
      {"\xff\x0a__", "JPEG XL"},
      {"<svg xmlns=", "SVG"},
      {"%PDF-1.7", "PDF"},
  };
  for (const Case& c : cases) {
    const Error error = decode_image(as_bytes(c.bytes), "a.bin").error();
    EXPECT_EQ(error.code, ErrorCode::kUnimplemented) << c.format;
    EXPECT_EQ(error.message,
              std::string("a.bin: a ") + c.format + " file, which cardloom does not decode");
    EXPECT_THAT(error.remedy, HasSubstr("JPEG, PNG and WebP"));
  }
}

TEST(DecodeImage, RefusesWhatIsNoPicture) {
  const Error empty = decode_image({}, "a.png").error();
  const unsigned line = __LINE__ - 1;
  EXPECT_EQ(empty.code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(empty.message, "a.png: the picture is empty (0 bytes)");
  EXPECT_EQ(empty.at.line, line);
  const Error text = decode_image(as_bytes("<html>404 not found"), "a.png").error();
  EXPECT_EQ(text.code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(text.message, "a.png: not a picture");
  EXPECT_THAT(text.detail, HasSubstr("19 bytes that begin with 3c 68 74 6d 6c"));
  for (const char* shorty : {"\xff", "\x89PNG", "RIFF", "RIFF1234WEB", "B", "I"}) {
    EXPECT_EQ(decode_image(as_bytes(shorty), "x").error().code, ErrorCode::kInvalidArgument);
  }
  const std::string wave("RIFF\x10\0\0\0WAVEfmt ", 16);
  EXPECT_EQ(decode_image(as_bytes(wave), "x").error().code, ErrorCode::kInvalidArgument);
}

TEST(DecodeImage, JudgesThePixelCountBeforeDecoding) {
  for (const char* name : {"jpeg_420.jpg", "png_resize.png", "webp_lossy.webp"}) {
    const std::string file = test_pictures::read(test_pictures::kFolder + name);
    EXPECT_TRUE(decode_image(as_bytes(file), name, {.max_pixels = 825})) << name;
    // Cut behind the header: only the header may be needed for the verdict.
    const std::string header = file.substr(0, file.size() - 40);
    const Error error = decode_image(as_bytes(header), name, {.max_pixels = 824}).error();
    EXPECT_EQ(error.code, ErrorCode::kResourceExhausted) << name;
    EXPECT_THAT(error.message, HasSubstr("33 x 25 = 825 pixels, more than the limit of 824"));
    EXPECT_THAT(error.remedy, HasSubstr("--max-image-pixels 825"));
  }
}

TEST(DecodeImage, JudgesWhatOtherPicturesLeave) {
  for (const char* name : {"jpeg_420.jpg", "png_resize.png", "webp_lossy.webp"}) {
    const std::string file = test_pictures::read(test_pictures::kFolder + name);
    EXPECT_TRUE(decode_image(as_bytes(file), name, {.pixels_left = 825})) << name;
    for (const std::int64_t left : {std::int64_t{824}, std::int64_t{0}, std::int64_t{-5}}) {
      const std::string header = file.substr(0, file.size() - 40);
      const Error error = decode_image(as_bytes(header), name, {.pixels_left = left}).error();
      EXPECT_EQ(error.code, ErrorCode::kResourceExhausted) << name;
      EXPECT_THAT(error.message, HasSubstr("33 x 25 = 825 pixels, but the pictures before it "
                                           "leave only " +
                                           std::to_string(left)));
    }
  }
}

}  // namespace
}  // namespace cardloom
