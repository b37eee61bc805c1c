#include "cardloom/http/listen_socket.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "cardloom/http/port_holder.h"

namespace cardloom::http {
namespace {

/// Connections that may wait to be accepted; the kernel takes less if net.core.somaxconn is less.
constexpr int kBacklog = 4096;

std::string reason(int code) { return std::system_category().message(code); }

struct Address {
  sockaddr_storage storage = {};
  socklen_t size = 0;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  [[nodiscard]] sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

Result<Address> parse_address(const std::string& host, std::uint16_t port) {
  std::string text = host == "localhost" ? "127.0.0.1" : host;
  if (text.size() > 2 && text.front() == '[' && text.back() == ']') {
    text = text.substr(1, text.size() - 2);
  }
  Address address;
  auto* const v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* const v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address.size = sizeof(sockaddr_in);
    return address;
  }
  if (inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    address.size = sizeof(sockaddr_in6);
    return address;
  }
  return make_error(ErrorCode::kInvalidArgument,
                    fmt::format("the address to listen on must be an IP address; it is '{}'", host),
                    {}, "127.0.0.1 serves this machine only, 0.0.0.0 or :: every network it is in");
}

Error cannot_listen(int code, const std::string& host, std::uint16_t port) {
  const std::string detail = reason(code);
  if (code == EADDRINUSE) {
    const std::string holder = port_holder(port);
    return make_error(ErrorCode::kUnavailable,
                      fmt::format("port {} of {} is taken by {}", port, host,
                                  holder.empty() ? "another program" : holder),
                      detail,
                      fmt::format("choose another port (0: any free one), or see who has it: "
                                  "ss -ltnp 'sport = :{}'",
                                  port));
  }
  if (code == EADDRNOTAVAIL) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("{} is not an address of this machine", host), detail,
                      "see those it has: ip -brief address");
  }
  if (code == EACCES || code == EPERM) {
    return make_error(
        ErrorCode::kUnavailable,
        fmt::format("this user may not listen on port {} of {}", port, host), detail,
        "choose a port from 1024 on, or allow it: setcap cap_net_bind_service=+ep on the program");
  }
  return make_error(ErrorCode::kUnavailable, fmt::format("cannot listen on {} port {}", host, port),
                    detail);
}

Error bad_path(ErrorCode code, const std::string& path, const std::string& rule, std::string detail,
               std::string remedy = {}) {
  return make_error(code, fmt::format("unix socket {}: {}", path, rule), std::move(detail),
                    std::move(remedy));
}

Descriptor open_socket(int family) {
  return Descriptor(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

/// Makes way for a new socket file: nothing at the path, or a socket on which nobody listens.
Status remove_stale(const std::string& path, const Address& address) {
  struct stat found = {};
  if (lstat(path.c_str(), &found) != 0) return {};  // bind says what else is wrong
  if (!S_ISSOCK(found.st_mode)) {
    return bad_path(ErrorCode::kInvalidArgument, path, "there is a file that is not a socket", {},
                    "choose another path, or move the file away");
  }
  const Descriptor probe = open_socket(AF_UNIX);
  const int connected = connect(probe.get(), address.get(), address.size);
  // EAGAIN: somebody listens whose queue is full.
  if (connected == 0 || errno == EAGAIN) {
    return bad_path(ErrorCode::kUnavailable, path, "another program listens on it", {},
                    "choose another path, or stop that program");
  }
  if (errno == ECONNREFUSED) unlink(path.c_str());
  return {};
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) close(fd_);
}

Result<ListenSocket> listen_tcp(const std::string& host, std::uint16_t port) {
  Result<Address> address = parse_address(host, port);
  if (!address) return address.error();
  ListenSocket result;
  result.family = address->storage.ss_family;
  result.descriptor = open_socket(result.family);
  const int fd = result.descriptor.get();
  if (fd < 0) return cannot_listen(errno, host, port);
  // A port whose last connections linger in TIME_WAIT is free all the same. Not SO_REUSEPORT: with
  // it a second server would silently share the port with this one.
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(fd, address->get(), address->size) != 0 || listen(fd, kBacklog) != 0) {
    return cannot_listen(errno, host, port);
  }
  Address bound;
  bound.size = sizeof(bound.storage);
  if (getsockname(fd, bound.get(), &bound.size) != 0) return cannot_listen(errno, host, port);
  result.port = ntohs(result.family == AF_INET
                          ? reinterpret_cast<const sockaddr_in*>(&bound.storage)->sin_port
                          : reinterpret_cast<const sockaddr_in6*>(&bound.storage)->sin6_port);
  return result;
}

Result<ListenSocket> listen_unix(const std::string& path) {
  Address address;
  auto* const unix_address = reinterpret_cast<sockaddr_un*>(&address.storage);
  if (path.empty() || path.size() >= sizeof(unix_address->sun_path)) {
    return bad_path(ErrorCode::kInvalidArgument, path,
                    fmt::format("the path must have 1 to {} bytes; it has {}",
                                sizeof(unix_address->sun_path) - 1, path.size()),
                    {}, "choose a shorter path, such as one in /run or /tmp");
  }
  unix_address->sun_family = AF_UNIX;
  std::memcpy(unix_address->sun_path, path.c_str(), path.size() + 1);
  address.size = sizeof(sockaddr_un);
  if (const Status free = remove_stale(path, address); !free) return free.error();
  ListenSocket result;
  result.family = AF_UNIX;
  result.descriptor = open_socket(AF_UNIX);
  const int fd = result.descriptor.get();
  // The mode before listen(): nobody connects in between.
  if (fd < 0 || bind(fd, address.get(), address.size) != 0 || chmod(path.c_str(), 0660) != 0 ||
      listen(fd, kBacklog) != 0) {
    const int code = errno;
    return bad_path(code == EADDRINUSE ? ErrorCode::kUnavailable : ErrorCode::kInvalidArgument,
                    path, "cannot listen on it", reason(code),
                    "its folder must exist and be writable");
  }
  return result;
}

}  // namespace cardloom::http
