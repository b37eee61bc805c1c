#include "cardloom/http/acceptor.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

namespace cardloom::http {
namespace {

constexpr std::chrono::milliseconds kBackOff(100);
constexpr std::chrono::minutes kComplaintEvery(1);
/// Between looks at other work of the thread.
constexpr int kAcceptsAtOnce = 64;

std::string describe_peer(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.ss_family == AF_INET) {
    const auto* const v4 = reinterpret_cast<const sockaddr_in*>(&address);
    inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text));
    return fmt::format("{}:{}", text, ntohs(v4->sin_port));
  }
  if (address.ss_family == AF_INET6) {
    const auto* const v6 = reinterpret_cast<const sockaddr_in6*>(&address);
    inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text));
    return fmt::format("[{}]:{}", text, ntohs(v6->sin6_port));
  }
  return "unix";
}

/// A piece of a stream goes out at once. A client whose machine vanished without a word is noticed
/// within about a minute and a half while nothing is being sent, and after `write_stall` while
/// something is: the pieces of a stream would vanish into the kernel's buffer for minutes.
void set_tcp_options(int fd, std::chrono::milliseconds write_stall) {
  const auto set = [fd](int level, int option, int value) {
    setsockopt(fd, level, option, &value, sizeof(value));  // worse, not wrong, if it fails
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 60);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 10);
  set(IPPROTO_TCP, TCP_KEEPCNT, 3);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(write_stall.count()));
}

}  // namespace

Acceptor::Acceptor(boost::asio::io_context& context, ListenSocket socket,
                   std::chrono::seconds write_stall, Take take)
    : listener_(context, socket.descriptor.release()),
      timer_(context),
      write_stall_(write_stall),
      take_(std::move(take)) {}

void Acceptor::wait() {
  listener_.async_wait(boost::asio::posix::descriptor_base::wait_read,
                       [self = shared_from_this()](const boost::system::error_code& failure) {
                         if (failure || self->closed_) return;
                         switch (self->accept_waiting(kAcceptsAtOnce)) {
                           case Next::kWait:
                             return self->wait();
                           case Next::kBackOff:
                             return self->back_off();
                           case Next::kStop:
                             return;
                         }
                       });
}

void Acceptor::back_off() {
  timer_.expires_after(kBackOff);
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code& failure) {
    if (!failure && !self->closed_) self->wait();
  });
}

void Acceptor::close() {
  if (closed_) return;
  accept_waiting(1 << 16);
  closed_ = true;
  timer_.cancel();
  boost::system::error_code ignored;  // the descriptor is free either way
  listener_.close(ignored);
  take_ = nullptr;
}

Acceptor::Next Acceptor::accept_waiting(int most) {
  for (int count = 0; count < most; ++count) {
    sockaddr_storage address = {};
    socklen_t size = sizeof(address);
    Descriptor socket(accept4(listener_.native_handle(), reinterpret_cast<sockaddr*>(&address),
                              &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
    const int code = errno;
    if (socket.get() >= 0) {
      if (address.ss_family != AF_UNIX) set_tcp_options(socket.get(), write_stall_);
      take_(std::move(socket), describe_peer(address));
      continue;
    }
    if (code == EAGAIN || code == EWOULDBLOCK) return Next::kWait;
    if (code == EBADF || code == EINVAL || code == ENOTSOCK) return Next::kStop;
    if (code != EMFILE && code != ENFILE && code != ENOBUFS && code != ENOMEM) {
      continue;  // this client's trouble (it has gone, its network is down): the next one
    }
    const auto now = Clock::now();
    if (last_complaint_ == Clock::time_point() || now - last_complaint_ > kComplaintEvery) {
      last_complaint_ = now;
      fmt::print(stderr,
                 "http: cannot accept connections for now: {}; raise the limit of open files "
                 "(ulimit -n) or lower the number of connections\n",
                 std::system_category().message(code));
    }
    return Next::kBackOff;
  }
  return Next::kWait;
}

}  // namespace cardloom::http
