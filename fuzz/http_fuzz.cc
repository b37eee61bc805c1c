// What strangers send to the port, over a real socket: any bytes, in pieces of any size, get
// answers that begin as HTTP does or none, and the server goes on. The first byte of the input
// says how long the pieces are.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "cardloom/http/http_server.h"

namespace {

using namespace cardloom;  // NOLINT: a fuzz target's only scope

std::string socket_path() {
  return std::filesystem::temp_directory_path() /
         ("cardloom-fuzz-" + std::to_string(getpid()) + ".sock");
}

/// Small limits, so that short inputs reach them. What the parser lets through is judged here.
http::Hooks hooks() {
  http::Hooks hooks;
  hooks.admit = [](const http::RequestHead& head) {
    if (head.path.find('\0') != std::string::npos || head.path.empty()) std::abort();
    http::Admission admission;
    admission.max_body_bytes = 256;
    if (head.path == "/no") admission.refusal = http::Response{401, {}, "no"};
    return admission;
  };
  hooks.handle = [](const std::shared_ptr<http::Exchange>& exchange) {
    if (exchange->body().size() > 256) std::abort();
    if (exchange->head().path == "/drop") return;
    if (exchange->head().path == "/stream") {
      exchange->begin_stream({200, {}, "one"});
      exchange->write("two");
      return exchange->end_stream();
    }
    exchange->respond({200, exchange->head().headers, exchange->head().path});
  };
  hooks.refuse = [](int status, std::string why) {
    if (status < 400 || why.empty()) std::abort();
    return http::Response{status, {}, std::move(why)};
  };
  return hooks;
}

http::Server& server() {
  static const std::unique_ptr<http::Server> running = [] {
    http::ServerOptions options;
    options.unix_socket = socket_path();
    options.io_threads = 1;
    options.max_header_bytes = 512;
    options.max_headers = 8;
    return http::Server::start(options, hooks()).value_or_throw();
  }();
  return *running;
}

int connect_to_server() {
  server();
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, socket_path().c_str(), sizeof(address.sun_path) - 1);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) std::abort();
  const timeval most = {60, 0};  // a machine may be busy
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most));
  return fd;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t piece = data[0] == 0 ? size : data[0];
  const int fd = connect_to_server();
  for (std::size_t begin = 1; begin < size; begin += piece) {
    if (send(fd, data + begin, std::min(piece, size - begin), MSG_NOSIGNAL) <= 0) break;
  }
  shutdown(fd, SHUT_WR);
  // The server closes when it has read the end: a connection that hangs is a finding.
  std::string answers;
  char bytes[4096];
  ssize_t count = 0;
  while ((count = recv(fd, bytes, sizeof(bytes), 0)) > 0 || (count < 0 && errno == EINTR)) {
    answers.append(bytes, static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
  }
  if (count < 0 && errno != ECONNRESET) std::abort();
  close(fd);
  constexpr std::string_view kBegin = "HTTP/1.1 ";
  if (answers.substr(0, kBegin.size()) != kBegin.substr(0, answers.size())) std::abort();
  return 0;
}
