#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "cardloom/base/error.h"

/// What passes between PictureWorkers and their processes, over a socket: a header, then bytes. The
/// pixels themselves lie in a memory file that both have mapped.
namespace cardloom::server {

/// Where a worker finds its socket and its memory file.
inline constexpr int kWorkerSocket = 3;
inline constexpr int kWorkerMemory = 4;

struct PictureOrder {
  std::int64_t num_bytes = 0;  ///< of the picture, which follows
  std::int64_t max_bytes = 0;  ///< of any picture: what memory is needed follows from it
  std::int64_t image_size = 0;
  std::int64_t max_pixels = 0;
  std::int64_t pixels_left = 0;  ///< of all pictures of the request
  std::int64_t exif = 0;
  std::int64_t cpu_seconds = 0;  ///< it may take
};

/// kMaxErrorText bytes of each text at the most; they follow in this order.
struct PictureAnswer {
  std::int64_t error_code = -1;  ///< of ErrorCode; -1: none
  std::int64_t message_bytes = 0;
  std::int64_t detail_bytes = 0;
  std::int64_t remedy_bytes = 0;
  std::int64_t num_pixels = 0;  ///< that were decoded
  std::int64_t decode_ns = 0;
  std::int64_t preprocess_ns = 0;
};
inline constexpr std::int64_t kMaxErrorText = 4096;

/// All of `size` bytes, or false: the other side is gone, or (with a deadline) too slow.
bool read_all(int fd, void* data, std::size_t size, std::chrono::steady_clock::time_point deadline);
bool write_all(int fd, const void* data, std::size_t size,
               std::chrono::steady_clock::time_point deadline);

/// What a worker says of a picture: `error`, or that the pixels are there.
struct PictureReply {
  PictureAnswer answer;
  std::optional<Error> error;
};
/// Reads an answer as if a stranger had sent it, for the worker is one once a picture has got the
/// better of it. Nothing if it is none, or the other side is gone or too slow.
std::optional<PictureReply> read_reply(int fd, std::chrono::steady_clock::time_point deadline);

}  // namespace cardloom::server
