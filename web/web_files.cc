#include "web/web_files.h"

#include <algorithm>
#include <boost/beast/zlib/inflate_stream.hpp>
#include <cctype>
#include <cstddef>

namespace cardloom {

const WebFile* find_web_file(std::string_view path) {
  if (path.empty()) path = "index.html";
  const auto files = web_files();
  const auto found = std::lower_bound(
      files.begin(), files.end(), path,
      [](const WebFile& file, std::string_view wanted) { return file.path < wanted; });
  return found != files.end() && found->path == path ? &*found : nullptr;
}

std::string unpacked(const WebFile& file) {
  // RFC 1952: embed.cmake packs without name, so the header has 10 bytes; behind the data stand the
  // checksum and the size, of four bytes each.
  constexpr std::size_t kHeaderBytes = 10;
  constexpr std::size_t kTailBytes = 8;
  const std::string_view packed = file.gzip;
  std::size_t size = 0;
  for (std::size_t i = 1; i <= 4; ++i)
    size = size << 8 | static_cast<unsigned char>(packed[packed.size() - i]);
  std::string bytes(size, '\0');
  boost::beast::zlib::z_params params;
  params.next_in = packed.data() + kHeaderBytes;
  params.avail_in = packed.size() - kHeaderBytes - kTailBytes;
  params.next_out = bytes.data();
  params.avail_out = bytes.size();
  boost::beast::zlib::inflate_stream inflate;
  boost::system::error_code error;
  inflate.write(params, boost::beast::zlib::Flush::finish, error);
  bytes.resize(params.total_out);
  return bytes;
}

bool accepts_gzip(std::string_view accept_encoding) {
  while (!accept_encoding.empty()) {
    const std::size_t comma = std::min(accept_encoding.find(','), accept_encoding.size());
    std::string coding;
    for (const char c : accept_encoding.substr(0, comma)) {
      if (c != ' ' && c != '\t')
        coding += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
    accept_encoding.remove_prefix(std::min(comma + 1, accept_encoding.size()));
    const std::size_t semicolon = std::min(coding.find(';'), coding.size());
    const std::string_view name = std::string_view(coding).substr(0, semicolon);
    if (name != "gzip" && name != "x-gzip" && name != "*") continue;
    const std::string_view weight = std::string_view(coding).substr(semicolon);
    return weight.find_first_of("123456789") != std::string_view::npos || weight.empty();
  }
  return false;
}

}  // namespace cardloom
