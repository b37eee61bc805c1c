#pragma once

// For the tests of this folder: a client that sends exactly the bytes it is told.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "cardloom/http/http_server.h"

namespace cardloom::http {

using std::chrono::milliseconds;

/// What must happen is waited for this long, on a machine with other things to do.
constexpr milliseconds kPatience(30000);

struct Reply {
  int status = 0;     ///< 0: the connection ended before a whole reply
  std::string head;   ///< status line and headers
  std::string body;   ///< without chunk framing
  bool whole = true;  ///< false: a chunked body lacked its end
};

class Client {
 public:
  explicit Client(std::uint16_t port, int receive_buffer = 0)
      : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    if (receive_buffer > 0) {
      setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    }
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  explicit Client(const std::string& path) : fd_(socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  ~Client() { hang_up(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  [[nodiscard]] bool connected() const { return connected_; }
  void send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  void hang_up() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  /// As a crash does: the server gets a reset.
  void reset() {
    const linger at_once = {1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    hang_up();
  }
  [[nodiscard]] int fd() const { return fd_; }

  /// One more piece of the reply; false at its end or after `wait`.
  bool receive(milliseconds wait = kPatience) {
    pollfd ready = {fd_, POLLIN, 0};
    if (poll(&ready, 1, static_cast<int>(wait.count())) != 1) return false;
    char bytes[65536];
    const ssize_t count = recv(fd_, bytes, sizeof(bytes), 0);
    if (count <= 0) return false;
    in_.append(bytes, static_cast<std::size_t>(count));
    return true;
  }
  /// Whether the server closes within `wait`; what came before is kept.
  bool is_closed_by_server(milliseconds wait = kPatience) {
    const auto end = std::chrono::steady_clock::now() + wait;
    while (std::chrono::steady_clock::now() < end) {
      if (receive(milliseconds(20))) continue;
      char byte = 0;
      const ssize_t count = recv(fd_, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
      if (count == 0 || (count < 0 && errno != EAGAIN)) return true;
    }
    return false;
  }
  Reply read_reply(bool head_only = false) {
    Reply reply;
    while (in_.find("\r\n\r\n") == std::string::npos) {
      if (!receive()) return reply;
    }
    const std::size_t end = in_.find("\r\n\r\n") + 4;
    reply.head = in_.substr(0, end);
    in_.erase(0, end);
    reply.status = std::atoi(reply.head.c_str() + 9);
    if (head_only) return reply;
    const std::size_t length = reply.head.find("content-length: ");
    if (length != std::string::npos) {
      const std::size_t size = std::strtoull(reply.head.c_str() + length + 16, nullptr, 10);
      while (in_.size() < size && receive()) {
      }
      reply.whole = in_.size() >= size;
      reply.body = in_.substr(0, size);
      in_.erase(0, size);
    } else if (reply.head.find("transfer-encoding: chunked") != std::string::npos) {
      while (read_chunk(reply)) {
      }
    }
    return reply;
  }
  /// True for a chunk with bytes, which are added to `reply`.
  bool read_chunk(Reply& reply) {
    std::size_t line = 0;
    while ((line = in_.find("\r\n")) == std::string::npos) {
      if (!receive()) return reply.whole = false;
    }
    const std::size_t size = std::strtoull(in_.c_str(), nullptr, 16);
    while (in_.size() < line + 2 + size + 2) {
      if (!receive()) return reply.whole = false;
    }
    reply.body += in_.substr(line + 2, size);
    in_.erase(0, line + 2 + size + 2);
    return size > 0;
  }
  Reply ask(std::string_view request) {
    send(request);
    return read_reply();
  }
  [[nodiscard]] const std::string& unread() const { return in_; }

 private:
  int fd_ = -1;
  bool connected_ = false;
  std::string in_;
};

inline std::string get(std::string_view path, std::string_view more = "") {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n" + std::string(more) +
         "\r\n";
}
inline std::string post(std::string_view path, std::string_view body, std::string_view more = "") {
  return "POST " + std::string(path) +
         " HTTP/1.1\r\nHost: localhost\r\ncontent-length: " + std::to_string(body.size()) + "\r\n" +
         std::string(more) + "\r\n" + std::string(body);
}

/// Whether `holds` becomes true in time.
template <class Holds>
bool eventually(Holds holds, milliseconds wait = kPatience) {
  const auto end = std::chrono::steady_clock::now() + wait;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(milliseconds(1));
  }
  return true;
}

}  // namespace cardloom::http
