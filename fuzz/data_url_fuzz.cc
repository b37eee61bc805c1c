// Input: the URL of a picture. Base64 has one spelling; a file: URL reads what lies below the media
// folder and never what lies beside it; no http: URL leads anywhere while no host is allowed.
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>

#include "cardloom/base/utf8.h"
#include "cardloom/server/data_url.h"
#include "cardloom/server/picture_source.h"
#include "cardloom/server/url_fetch.h"
#include "fuzz/require.h"

namespace {

using namespace cardloom;          // NOLINT: a program of one file
using namespace cardloom::server;  // NOLINT

constexpr std::int64_t kMaxBytes = 64;
constexpr std::string_view kSecret = "secret";

void write(const std::filesystem::path& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

/// A folder with a file, a folder and links that lead inside and out of it; the secret beside it.
class MediaFolder {
 public:
  MediaFolder() {
    namespace fs = std::filesystem;
    fs::remove_all(base_);
    fs::create_directories(root() / "b");
    write(base_ / "secret", kSecret);
    write(root() / "a", "public");
    write(root() / "b" / "c", "deeper");
    write(root() / "large", std::string(kMaxBytes + 1, 'x'));
    fs::create_symlink("../secret", root() / "out");
    fs::create_symlink(base_ / "secret", root() / "b" / "far");
    fs::create_symlink("b/c", root() / "in");
    fs::create_symlink("/proc/self/root", root() / "magic");
  }
  ~MediaFolder() { std::filesystem::remove_all(base_); }
  MediaFolder(const MediaFolder&) = delete;
  MediaFolder& operator=(const MediaFolder&) = delete;

  [[nodiscard]] std::filesystem::path root() const { return base_ / "root"; }

 private:
  std::filesystem::path base_ =
      std::filesystem::temp_directory_path() / ("cardloom-media-" + std::to_string(getpid()));
};

const PictureSource& source(PictureSourceOptions::Fetch fetch) {
  static const MediaFolder folder;
  const auto open = [](PictureSourceOptions::Fetch how) {
    PictureSourceOptions options;
    options.max_bytes = kMaxBytes;
    options.media_root = folder.root();
    options.fetch = how;
    return PictureSource::open(options).value_or_throw();
  };
  static const std::unique_ptr<PictureSource> off = open(PictureSourceOptions::Fetch::kOff);
  static const std::unique_ptr<PictureSource> none = open(PictureSourceOptions::Fetch::kAllowed);
  return fetch == PictureSourceOptions::Fetch::kOff ? *off : *none;
}

std::string base64_of(std::string_view bytes) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      const auto byte = at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0U;
      bits = bits << 8 | byte;
    }
    for (std::size_t i = 0; i < 4; ++i) {
      const bool is_padding = at + i > bytes.size();
      text += is_padding ? '=' : kAlphabet[bits >> (18 - 6 * i) & 63];
    }
  }
  return text;
}

void check_error(const Error& error) {
  require(!error.message.empty() && error.code != ErrorCode::kInternal);
  for (const std::string* text : {&error.message, &error.detail, &error.remedy}) {
    require(is_valid_utf8(*text) && text->size() < 1024);
    require(text->find("cardloom-media") == std::string::npos);  // no path of ours
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string url(reinterpret_cast<const char*>(data), size);
  for (const auto fetch :
       {PictureSourceOptions::Fetch::kOff, PictureSourceOptions::Fetch::kAllowed}) {
    const Result<std::string> bytes = source(fetch).get(url);
    if (!bytes) {
      check_error(bytes.error());
      continue;
    }
    require(static_cast<std::int64_t>(bytes->size()) <= kMaxBytes);
    require(bytes->find(kSecret) == std::string::npos || url.starts_with("data:"));
    require(!url.starts_with("http"));
    if (url.starts_with("data:")) {
      require(url.ends_with(";base64," + base64_of(*bytes)));
    } else {
      require(url.starts_with("file://") && (*bytes == "public" || *bytes == "deeper"));
    }
  }
  if (const Result<UrlTarget> target = target_of_url(url)) {
    require(!target->host.empty() && url.find('\0') == std::string::npos);
    require(target->host.find_first_of("/@\\?# ") == std::string::npos);
  } else {
    check_error(target.error());
  }
  return 0;
}
