#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "cardloom/base/result.h"

namespace cardloom::http {

/// A file descriptor, closed with its owner.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor();

  [[nodiscard]] int get() const { return fd_; }
  /// The caller closes it.
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

struct ListenSocket {
  Descriptor descriptor;  ///< non-blocking
  int family = 0;
  std::uint16_t port = 0;  ///< TCP: the one that was asked for, or given
};

/// Listens on `host` (an IPv4 or IPv6 address, or "localhost") and `port`, 0 for any free one.
/// Returns kUnavailable if the port is taken, kInvalidArgument if the address is none, is not of
/// this machine, or the port is not allowed.
Result<ListenSocket> listen_tcp(const std::string& host, std::uint16_t port);

/// Listens on a unix socket at `path`, mode 0660. A socket file that nobody listens on, left by a
/// server that was killed, is replaced. Returns kUnavailable if somebody listens there,
/// kInvalidArgument if the path is too long, is another kind of file, or cannot be made.
Result<ListenSocket> listen_unix(const std::string& path);

}  // namespace cardloom::http
