// What strangers send: cut, bent and lying files. None may crash; each failure has a name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cardloom/image/decode.h"
#include "cardloom/image/exif.h"
#include "cardloom/image/test_pictures.h"

namespace cardloom {
namespace {

using test_pictures::as_bytes;
using test_pictures::Picture;
using testing::AnyOf;
using testing::HasSubstr;

constexpr DecodeOptions kSmall = {.max_pixels = 1 << 20, .apply_exif_orientation = true};

void expect_image_or_named_error(const Result<Image>& image, const std::string& name) {
  if (image) {
    EXPECT_TRUE(image->is_consistent()) << name;
    return;
  }
  EXPECT_NE(image.error().code, ErrorCode::kInternal) << name;
  EXPECT_THAT(image.error().message, HasSubstr(name));
  EXPECT_NE(image.error().at.line, 0U);
}

TEST(DamagedPicture, EveryPrefixIsAPictureOrANamedError) {
  for (const Picture& picture : test_pictures::committed_pictures()) {
    const std::string file = test_pictures::read(test_pictures::kFolder + picture.file);
    for (std::size_t length = 0; length < file.size(); ++length) {
      // A copy of its own, so that a sanitizer sees one byte too far.
      const std::vector<char> prefix(file.begin(),
                                     file.begin() + static_cast<std::ptrdiff_t>(length));
      const Result<Image> image =
          decode_image(std::as_bytes(std::span(prefix)), picture.file, kSmall);
      expect_image_or_named_error(image, picture.file);
      if (image) {
        EXPECT_EQ(test_pictures::sha256(*image), picture.oriented.rgb_sha256)
            << picture.file << " cut to " << length << " of " << file.size();
      }
      if (picture.decodes_from >= 0) {
        EXPECT_EQ(image.has_value(), static_cast<std::int64_t>(length) >= picture.decodes_from)
            << picture.file << " cut to " << length << " of " << file.size();
      }
    }
  }
}

TEST(DamagedPicture, BentBytesAreAPictureOrANamedError) {
  std::uint32_t random = 12345;
  const auto next = [&random](std::size_t below) {
    random = random * 1664525U + 1013904223U;
    return (random >> 8) % below;
  };
  for (const Picture& picture : test_pictures::committed_pictures()) {
    const std::string file = test_pictures::read(test_pictures::kFolder + picture.file);
    for (int i = 0; i < 100; ++i) {
      std::string bent = file;
      for (std::size_t flips = 1 + next(4); flips > 0; --flips) {
        bent[next(bent.size())] ^= static_cast<char>(1U << next(8));
      }
      expect_image_or_named_error(decode_image(as_bytes(bent), picture.file, kSmall),
                                  bent.compare(0, 3, file, 0, 3) == 0 ? picture.file : "");
    }
  }
}

std::string with_big_endian(std::string file, std::size_t at, std::uint32_t value,
                            std::size_t width) {
  for (std::size_t i = 0; i < width; ++i) {
    file[at + i] = static_cast<char>(value >> (8 * (width - 1 - i)));
  }
  return file;
}

/// The CRC of the IHDR chunk, which stands behind its 13 bytes.
std::string with_header_crc(std::string file) {
  std::uint32_t crc = 0xffffffffU;
  for (std::size_t i = 12; i < 29; ++i) {
    crc ^= static_cast<unsigned char>(file[i]);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (0xedb88320U & (0U - (crc & 1U)));
  }
  return with_big_endian(std::move(file), 29, ~crc, 4);
}

std::string png_claiming(std::uint32_t width, std::uint32_t height) {
  const std::string file = test_pictures::read(test_pictures::kFolder + "png_rgb8.png");
  return with_header_crc(with_big_endian(with_big_endian(file, 16, width, 4), 20, height, 4));
}

TEST(LyingHeader, PngSides) {
  struct Case {
    std::uint32_t width, height;
    ErrorCode code;
    const char* says;
  };
  const Case cases[] = {
      {1'000'000'000, 1'000'000'000, ErrorCode::kResourceExhausted,
       "1000000000 x 1000000000 = 1000000000000000000 pixels, more than the limit of 64000000"},
      {2'147'483'647, 2'147'483'647, ErrorCode::kResourceExhausted, "more than the limit"},
      {0xffffffffU, 0xffffffffU, ErrorCode::kResourceExhausted, "more than the limit"},
      {0, 9, ErrorCode::kDataLoss, "0 x 9 pixels; both sides must be at least 1"},
      {13, 0, ErrorCode::kDataLoss, "13 x 0 pixels; both sides must be at least 1"},
      {70'000, 1, ErrorCode::kResourceExhausted, "a side of 70000 pixels"},
      {1, 64'000'000, ErrorCode::kResourceExhausted, "a side of 64000000 pixels"},
      {60'000, 1'000, ErrorCode::kDataLoss, ""},  // within limits, but the pixels are not there
      {13, 10, ErrorCode::kDataLoss, ""},
  };
  for (const Case& c : cases) {
    const Result<Image> image = decode_image(as_bytes(png_claiming(c.width, c.height)), "lie.png");
    ASSERT_FALSE(image) << c.says;
    EXPECT_EQ(image.error().code, c.code) << image.error().describe();
    EXPECT_THAT(image.error().message, HasSubstr(c.says));
  }
}

TEST(LyingHeader, JpegSides) {
  const std::string file = test_pictures::read(test_pictures::kFolder + "jpeg_420.jpg");
  const std::size_t frame = file.find("\xff\xc0");  // marker 2, length 2, precision 1, H 2, W 2
  ASSERT_NE(frame, std::string::npos);
  const auto claiming = [&](std::uint32_t width, std::uint32_t height) {
    return with_big_endian(with_big_endian(file, frame + 7, width, 2), frame + 5, height, 2);
  };
  const Error huge = decode_image(as_bytes(claiming(65500, 65500)), "lie.jpg").error();
  EXPECT_EQ(huge.code, ErrorCode::kResourceExhausted);
  EXPECT_THAT(huge.message, HasSubstr("65500 x 65500 = 4290250000 pixels"));
  const Error beyond = decode_image(as_bytes(claiming(65535, 65535)), "lie.jpg").error();
  EXPECT_EQ(beyond.code, ErrorCode::kResourceExhausted);
  const Error wide = decode_image(as_bytes(claiming(65535, 1)), "lie.jpg").error();
  EXPECT_THAT(wide.message, HasSubstr("a side of 65535 pixels, more than the limit of 65500"));
  const Error none = decode_image(as_bytes(claiming(0, 25)), "lie.jpg").error();
  EXPECT_EQ(none.message, "lie.jpg: the JPEG is 0 x 25 pixels; both sides must be at least 1");
  const Error flat = decode_image(as_bytes(claiming(33, 0)), "lie.jpg").error();
  EXPECT_EQ(flat.message, "lie.jpg: the JPEG is 33 x 0 pixels; both sides must be at least 1");
  // An end marker before the last row is damage that libjpeg, and so the reference, fills with
  // grey.
  const Result<Image> tall = decode_image(as_bytes(claiming(33, 900)), "lie.jpg");
  ASSERT_TRUE(tall) << tall.error().describe();
  EXPECT_EQ(tall->height, 900);
}

TEST(LyingHeader, JpegOfAnotherCoding) {
  const std::string file = test_pictures::read(test_pictures::kFolder + "jpeg_420.jpg");
  const std::size_t frame = file.find("\xff\xc0");
  std::string deep = file;
  deep[frame + 4] = 12;
  const Error precision = decode_image(as_bytes(deep), "deep.jpg").error();
  EXPECT_EQ(precision.code, ErrorCode::kUnimplemented);
  EXPECT_EQ(precision.message,
            "deep.jpg: this JPEG has samples of other than 8 bits, which cardloom does not decode");
  std::string lossless = file;
  lossless[frame + 1] = '\xc3';
  EXPECT_EQ(decode_image(as_bytes(lossless), "x.jpg").error().code, ErrorCode::kUnimplemented);
}

TEST(DamagedPicture, SaysWhatIsWrong) {
  const std::string jpeg = test_pictures::read(test_pictures::kFolder + "jpeg_444.jpg");
  const Error cut = decode_image(as_bytes(jpeg.substr(0, jpeg.size() - 300)), "cut.jpg").error();
  EXPECT_EQ(cut.code, ErrorCode::kDataLoss);
  EXPECT_EQ(cut.message, "cut.jpg: the JPEG ends before the picture is complete");
  EXPECT_THAT(cut.detail, HasSubstr("of 25 is the last that is there"));
  EXPECT_THAT(cut.remedy, HasSubstr("send the whole file"));
  const std::string no_frame("\xff\xd8\xff\xd9", 4);
  const Error broken = decode_image(as_bytes(no_frame), "broken.jpg").error();
  EXPECT_EQ(broken.message, "broken.jpg: the JPEG is damaged");
  EXPECT_THAT(broken.detail, HasSubstr("the decoder says: "));

  const std::string png = test_pictures::read(test_pictures::kFolder + "png_resize.png");
  EXPECT_EQ(decode_image(as_bytes(png.substr(0, 900)), "cut.png").error().message,
            "cut.png: the PNG ends before the picture is complete");
  std::string bent = png;
  bent[800] ^= 1;
  EXPECT_EQ(decode_image(as_bytes(bent), "bent.png").error().message,
            "bent.png: the PNG is damaged");
  std::string bad_crc = png;
  bad_crc[30] ^= 1;
  EXPECT_EQ(decode_image(as_bytes(bad_crc), "x.png").error().code, ErrorCode::kDataLoss);

  const std::string webp = test_pictures::read(test_pictures::kFolder + "webp_lossless.webp");
  EXPECT_EQ(decode_image(as_bytes(webp.substr(0, 1000)), "cut.webp").error().message,
            "cut.webp: the WebP ends before the picture is complete");
}

TEST(DamagedPicture, EndlessScansAreRefused) {
  const std::string file = test_pictures::read(test_pictures::kFolder + "jpeg_progressive.jpg");
  // The last scan (a refinement of AC coefficients), again and again.
  const std::size_t scan = file.rfind("\xff\xda");
  const std::string last = file.substr(scan, file.size() - 2 - scan);
  std::string endless = file.substr(0, file.size() - 2);
  for (int i = 0; i < 300; ++i) endless += last;
  endless += "\xff\xd9";
  const Error error = decode_image(as_bytes(endless), "endless.jpg").error();
  EXPECT_EQ(error.code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(error.message, "endless.jpg: the JPEG has more than 200 scans, the limit");
}

}  // namespace
}  // namespace cardloom
