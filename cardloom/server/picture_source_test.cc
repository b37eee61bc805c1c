#include "cardloom/server/picture_source.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace cardloom::server {
namespace {

/// A folder with a picture, a secret beside it, and ways that lead out.
class MediaRoot : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "cardloom-media-" + std::to_string(getpid());
    std::filesystem::create_directories(folder_ + "/media/cats");
    std::ofstream(folder_ + "/media/cats/tom.jpg") << "tom";
    std::ofstream(folder_ + "/media/two words.png") << "two";
    std::ofstream(folder_ + "/secret") << "secret";
    std::filesystem::create_symlink("../secret", folder_ + "/media/out");
    std::filesystem::create_symlink(folder_, folder_ + "/media/up");
    std::filesystem::create_symlink("cats/tom.jpg", folder_ + "/media/inside");
    ASSERT_EQ(mkfifo((folder_ + "/media/pipe").c_str(), 0600), 0);
    PictureSourceOptions options;
    options.media_root = folder_ + "/media";
    options.max_bytes = 10;
    source_ = *PictureSource::open(options);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string folder_;
  std::unique_ptr<PictureSource> source_;
};

TEST_F(MediaRoot, GivesFilesBelowIt) {
  for (const char* url :
       {"file:///cats/tom.jpg", "file://cats/tom.jpg", "file:///cats/../cats/tom.jpg",
        "file:///inside", "file:////cats//tom.jpg"}) {
    const Result<std::string> bytes = source_->get(url);
    ASSERT_TRUE(bytes) << url;
    EXPECT_EQ(*bytes, "tom");
  }
  EXPECT_EQ(*source_->get("file:///two%20words.png"), "two");
}

TEST_F(MediaRoot, LeadsNowhereElse) {
  for (const std::string& url :
       {std::string("file:///../secret"), std::string("file:///out"),
        std::string("file:///up/secret"), std::string("file:///cats/../../secret"),
        std::string("file:///%2e%2e/secret"), "file://" + folder_ + "/secret",
        std::string("file:///etc/passwd"), std::string("file:///"), std::string("file://"),
        std::string("file:///cats"), std::string("file:///pipe"), std::string("file:///nothing"),
        std::string("file:///cats/tom.jpg%00"), std::string("file:///cats/tom.jpg%"),
        std::string("file:///proc/self/root/secret")}) {
    const Result<std::string> bytes = source_->get(url);
    ASSERT_FALSE(bytes) << url;
    EXPECT_EQ(bytes.error().code, ErrorCode::kNotFound) << url;
    EXPECT_EQ(bytes.error().message.find(folder_), std::string::npos);
  }
}

TEST_F(MediaRoot, LimitsTheBytes) {
  std::ofstream(folder_ + "/media/big") << std::string(11, 'x');
  EXPECT_EQ(source_->get("file:///big").error().code, ErrorCode::kResourceExhausted);
}

TEST(PictureSource, IsShutByDefault) {
  const auto source = *PictureSource::open({});
  for (const char* url : {"file:///etc/passwd", "http://example.com/x", "https://example.com/x"}) {
    const Result<std::string> bytes = source->get(url);
    ASSERT_FALSE(bytes) << url;
    EXPECT_EQ(bytes.error().code, ErrorCode::kUnimplemented) << url;
  }
  for (const char* url : {"", "cat.jpg", "/etc/passwd", "ftp://example.com/x", "javascript:x"}) {
    EXPECT_EQ(source->get(url).error().code, ErrorCode::kInvalidArgument) << url;
  }
  EXPECT_EQ(*source->get("data:image/png;base64,QUJD"), "ABC");
}

TEST(PictureSource, AMediaFolderThatIsNotThereHasAName) {
  PictureSourceOptions options;
  options.media_root = "/no/such/folder";
  const auto source = PictureSource::open(options);
  ASSERT_FALSE(source);
  EXPECT_NE(source.error().message.find("/no/such/folder"), std::string::npos);
}

}  // namespace
}  // namespace cardloom::server
