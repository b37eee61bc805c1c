#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cardloom/base/result.h"

namespace cardloom::server {

/// Where a picture's bytes may come from, beside data: URLs.
struct PictureSourceOptions {
  std::int64_t max_bytes = 20 << 20;
  /// Files below this folder may be named by file: URLs; "": none.
  std::string media_root;
  /// http: and https: URLs: kOff, hosts of `allowed_hosts` only, or every public address.
  enum class Fetch { kOff, kAllowed, kPublic };
  Fetch fetch = Fetch::kOff;
  /// "host": its ports 80 and 443, at public addresses; "host:port": that port, at any address.
  std::vector<std::string> allowed_hosts;
  int fetch_timeout_s = 10;
};

/// Gets a picture's bytes from its URL. Any thread.
class PictureSource {
 public:
  /// kNotFound if media_root is no folder.
  static Result<std::unique_ptr<PictureSource>> open(PictureSourceOptions options);
  ~PictureSource();
  PictureSource(const PictureSource&) = delete;
  PictureSource& operator=(const PictureSource&) = delete;

  /// The bytes behind a data:, file:, http: or https: URL.
  ///
  /// file:   resolved by the kernel below media_root (openat2, RESOLVE_BENEATH and no magic links):
  ///         neither "..", nor a symbolic link, nor an absolute path leads out of it.
  /// http:   one request without proxy, cookies or credentials; ports 80 and 443; at most 3
  ///         redirects; every address is judged when the socket is opened, so that no name can
  ///         mean one address when it is checked and another when it is used.
  ///
  /// kInvalidArgument for another scheme or a URL that is none, kUnimplemented if the scheme is
  /// switched off (how to switch it on is the operator's affair, and said), kNotFound,
  /// kResourceExhausted beyond max_bytes, kDeadlineExceeded, kUnavailable if the other side fails.
  /// No message tells what lies at a path or an address.
  [[nodiscard]] Result<std::string> get(const std::string& url) const;

 private:
  explicit PictureSource(PictureSourceOptions options) : options_(std::move(options)) {}
  [[nodiscard]] Result<std::string> read_media(const std::string& path) const;

  PictureSourceOptions options_;
  int media_root_ = -1;  ///< its descriptor
};

}  // namespace cardloom::server
