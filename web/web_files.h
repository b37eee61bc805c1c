#pragma once

#include <span>
#include <string>
#include <string_view>

namespace cardloom {

/// One file of the chat page, as it lies in the binary.
struct WebFile {
  std::string_view path;          ///< "index.html", "assets/index-3Cd5qwWd.css"; no leading slash
  std::string_view content_type;  ///< "text/html; charset=utf-8"
  std::string_view etag;  ///< as the header wants it, with its quotes; of the unpacked bytes
  std::string_view gzip;  ///< the file, packed: send with `Content-Encoding: gzip`
  bool immutable;         ///< its name holds a hash of its bytes: may be cached for ever
};

/// All files of the page, sorted by path. The page asks for nothing else from the server but its
/// API, by addresses relative to itself.
[[nodiscard]] std::span<const WebFile> web_files();

/// The file to answer `GET /<path>` with: "" is index.html. nullptr if there is none.
[[nodiscard]] const WebFile* find_web_file(std::string_view path);

/// The file's bytes as they lay in web/dist, for a client that cannot unpack them itself.
[[nodiscard]] std::string unpacked(const WebFile& file);

/// Whether a client that sends this Accept-Encoding ("" if it sends none) wants to unpack gzip
/// itself.
[[nodiscard]] bool accepts_gzip(std::string_view accept_encoding);

/// The header that every answer with a WebFile must bear. img-src is what stops an answer of the
/// model from carrying data away in a picture's address: never widen it.
inline constexpr std::string_view kContentSecurityPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; frame-ancestors 'none'; "
    "base-uri 'none'";

}  // namespace cardloom
