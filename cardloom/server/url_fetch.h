#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "cardloom/base/result.h"

namespace cardloom::server {

/// Whether an address belongs to the public internet: not loopback, private, link-local, shared,
/// multicast, reserved or documentation, neither itself nor as the v4 address inside a v6 one
/// (mapped, compatible, 6to4, Teredo, NAT64).
/// Source: IANA special-purpose address registries (RFC 6890 and its updates).
[[nodiscard]] bool is_public_address(const sockaddr& address, socklen_t length);

struct UrlTarget {
  std::string host;  ///< lower case, without brackets
  std::uint16_t port = 0;
};
/// Where an http: or https: URL leads, as the fetcher itself reads it. kInvalidArgument if it is no
/// such URL or holds a user name or password.
Result<UrlTarget> target_of_url(const std::string& url);

struct FetchOptions {
  std::int64_t max_bytes = 0;
  int timeout_s = 10;
  bool any_address = false;  ///< also addresses that are not public
};

/// The answer to one GET request.
struct Fetched {
  std::string body;
  std::string redirect;  ///< an absolute URL to go to instead; "": none
};

/// Asks for an http: or https: URL, once: no redirect is followed, no proxy, cookie or credential
/// used, nothing decompressed. The address is judged when the socket is opened.
/// Errors as PictureSource::get lists them.
Result<Fetched> fetch_url(const std::string& url, const FetchOptions& options);

}  // namespace cardloom::server
