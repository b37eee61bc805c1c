#include "web/web_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

namespace cardloom {
namespace {

const std::filesystem::path kDist = std::filesystem::path(CARDLOOM_SOURCE_DIR) / "web" / "dist";

std::uint32_t last_word(std::string_view bytes) {
  std::uint32_t word = 0;
  for (int i = 1; i <= 4; ++i)
    word = word << 8 | static_cast<unsigned char>(bytes[bytes.size() - i]);
  return word;
}

TEST(WebFiles, AreAllFilesOfDist) {
  std::set<std::string> expected;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kDist)) {
    if (entry.is_regular_file()) expected.insert(entry.path().lexically_relative(kDist).string());
  }
  std::set<std::string> found;
  for (const WebFile& file : web_files()) found.emplace(file.path);
  EXPECT_EQ(found, expected);
  EXPECT_EQ(found.size(), web_files().size());
  EXPECT_TRUE(std::ranges::is_sorted(web_files(), {}, &WebFile::path));
}

TEST(WebFiles, ArePackedWithoutNameAndTime) {
  for (const WebFile& file : web_files()) {
    SCOPED_TRACE(file.path);
    ASSERT_GE(file.gzip.size(), 18U);
    EXPECT_EQ(file.gzip.substr(0, 8), std::string_view("\x1f\x8b\x08\0\0\0\0\0", 8));
    // The last word of a gzip is the size of what is in it.
    EXPECT_EQ(last_word(file.gzip), std::filesystem::file_size(kDist / file.path));
  }
}

TEST(WebFiles, UnpackToTheFilesOfDist) {
  for (const WebFile& file : web_files()) {
    std::ifstream in(kDist / file.path, std::ios::binary);
    const std::string expected{std::istreambuf_iterator<char>(in), {}};
    EXPECT_TRUE(unpacked(file) == expected) << file.path;
  }
}

TEST(WebFiles, GzipIsSentToWhoAcceptsIt) {
  for (const char* accepted : {"gzip", "gzip, deflate, br, zstd", "br;q=1.0, GZIP;q=0.5", "*",
                               "x-gzip", "identity;q=0.5 , gzip ; q=1", "gzip;q=0.01"}) {
    EXPECT_TRUE(accepts_gzip(accepted)) << accepted;
  }
  for (const char* refused : {"", "identity", "br", "gzip;q=0", "gzip; q=0.000", "gzipped", ",,",
                              "*;q=0", "gzip;q=0, *", "deflate, gzip;q=0"}) {
    EXPECT_FALSE(accepts_gzip(refused)) << refused;
  }
}

TEST(WebFiles, HaveTagsAndTypes) {
  std::set<std::string_view> etags;
  for (const WebFile& file : web_files()) {
    SCOPED_TRACE(file.path);
    EXPECT_THAT(std::string(file.etag), testing::MatchesRegex("\"[0-9a-f]{16}\""));
    EXPECT_FALSE(file.content_type.empty());
    EXPECT_EQ(file.immutable, file.path.starts_with("assets/"));
    etags.insert(file.etag);
  }
  EXPECT_EQ(etags.size(), web_files().size());
}

TEST(WebFiles, AreFoundByPath) {
  for (const WebFile& file : web_files()) EXPECT_EQ(find_web_file(file.path), &file);
  ASSERT_NE(find_web_file(""), nullptr);
  EXPECT_EQ(find_web_file("")->path, "index.html");
  EXPECT_EQ(find_web_file("")->content_type, "text/html; charset=utf-8");
  for (const char* path : {"/", "assets", "assets/", "../index.html", "index.htm", "zzz"}) {
    EXPECT_EQ(find_web_file(path), nullptr) << path;
  }
}

// What the policy forbids must not be needed: a script or a style in index.html, an address
// elsewhere, a path that a prefix before the page would break.
TEST(WebFiles, IndexKeepsThePolicy) {
  std::ifstream in(kDist / "index.html", std::ios::binary);
  const std::string html{std::istreambuf_iterator<char>(in), {}};
  EXPECT_THAT(html, testing::Not(testing::ContainsRegex("<script>|<style|http:|https:|=\"/")));
  for (std::size_t at = html.find("=\"./"); at != std::string::npos;
       at = html.find("=\"./", at + 1)) {
    const std::string path = html.substr(at + 4, html.find('"', at + 4) - at - 4);
    EXPECT_NE(find_web_file(path), nullptr) << path;
  }
}

}  // namespace
}  // namespace cardloom
