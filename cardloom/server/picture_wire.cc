#include "cardloom/server/picture_wire.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

namespace cardloom::server {
namespace {

using Deadline = std::chrono::steady_clock::time_point;

/// Until `fd` is ready for `events`; false at the deadline.
bool wait_ready(int fd, short events, Deadline deadline) {
  for (;;) {
    int timeout = -1;
    if (deadline != Deadline::max()) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
      if (left.count() <= 0) return false;
      timeout = static_cast<int>(std::min<std::int64_t>(left.count(), 60'000));
    }
    pollfd end{fd, events, 0};
    const int ready = poll(&end, 1, timeout);
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

}  // namespace

bool read_all(int fd, void* data, std::size_t size, Deadline deadline) {
  auto* bytes = static_cast<std::byte*>(data);
  while (size > 0) {
    if (!wait_ready(fd, POLLIN, deadline)) return false;
    const ssize_t count = recv(fd, bytes, size, MSG_DONTWAIT);
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count <= 0) return false;
    bytes += count;
    size -= static_cast<std::size_t>(count);
  }
  return true;
}

bool write_all(int fd, const void* data, std::size_t size, Deadline deadline) {
  const auto* bytes = static_cast<const std::byte*>(data);
  while (size > 0) {
    if (!wait_ready(fd, POLLOUT, deadline)) return false;
    const ssize_t count = send(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count <= 0) return false;
    bytes += count;
    size -= static_cast<std::size_t>(count);
  }
  return true;
}

std::optional<PictureReply> read_reply(int fd, Deadline deadline) {
  PictureReply reply;
  PictureAnswer& answer = reply.answer;
  if (!read_all(fd, &answer, sizeof answer, deadline)) return std::nullopt;
  for (const std::int64_t size : {answer.message_bytes, answer.detail_bytes, answer.remedy_bytes}) {
    if (size < 0 || size > kMaxErrorText) return std::nullopt;
  }
  if (answer.num_pixels < 0 || answer.decode_ns < 0 || answer.preprocess_ns < 0) {
    return std::nullopt;
  }
  const auto message = static_cast<std::size_t>(answer.message_bytes);
  const auto detail = static_cast<std::size_t>(answer.detail_bytes);
  std::string texts(message + detail + static_cast<std::size_t>(answer.remedy_bytes), '\0');
  if (!read_all(fd, texts.data(), texts.size(), deadline)) return std::nullopt;
  if (answer.error_code < 0) return reply;
  const bool is_known = answer.error_code <= static_cast<std::int64_t>(ErrorCode::kInternal);
  reply.error = make_error(
      is_known ? static_cast<ErrorCode>(answer.error_code) : ErrorCode::kInternal,
      texts.substr(0, message), texts.substr(message, detail), texts.substr(message + detail));
  return reply;
}

}  // namespace cardloom::server
