#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "cardloom/base/result.h"
#include "cardloom/image/decode.h"
#include "cardloom/tensor/tensor.h"

namespace cardloom::server {

struct PictureWorkerOptions {
  int num_workers = 1;
  std::int64_t image_size = 0;  ///< S of pixel_values
  std::int64_t max_bytes = 20 << 20;
  DecodeOptions decode{};
  std::chrono::milliseconds deadline{20'000};  ///< of one picture
  /// The program that runs as a worker when it is given kPictureWorkerArgument alone.
  std::string program = "/proc/self/exe";
};

/// The argument with which `cardloom` becomes a worker.
inline constexpr const char* kPictureWorkerArgument = "--picture-worker";

struct DecodedPicture {
  std::int64_t num_pixels = 0;  ///< of the file
  Tensor pixel_values;          ///< f32 [3, S, S], as glm4v::make_pixel_values makes them
  std::chrono::nanoseconds decode{};
  std::chrono::nanoseconds preprocess{};
};

/// Processes of their own that turn strangers' bytes into pixels: with limits on memory, time,
/// files and system calls, and without anything of ours to steal. One that dies or dawdles costs
/// its picture, no more: the next finds a new one.
class PictureWorkers {
 public:
  /// Starts the processes; kUnavailable if that fails.
  static Result<std::unique_ptr<PictureWorkers>> start(PictureWorkerOptions options);
  ~PictureWorkers();
  PictureWorkers(const PictureWorkers&) = delete;
  PictureWorkers& operator=(const PictureWorkers&) = delete;

  /// Waits for a free worker, then for the picture, which may have `pixels_left` pixels. Errors as
  /// decode_image returns them; kInvalidArgument if two processes died over it or one took longer
  /// than the deadline, kUnavailable if no worker can be started. Any thread.
  Result<DecodedPicture> decode(
      std::string_view bytes, std::int64_t pixels_left = std::numeric_limits<std::int64_t>::max());

 private:
  struct Worker;
  explicit PictureWorkers(PictureWorkerOptions options);
  Status restart(Worker& worker) const;
  Result<DecodedPicture> attempt(Worker& worker, std::string_view bytes,
                                 std::int64_t pixels_left) const;
  Result<DecodedPicture> run(Worker& worker, std::string_view bytes,
                             std::int64_t pixels_left) const;

  PictureWorkerOptions options_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::mutex mutex_;  ///< guards free_
  std::condition_variable freed_;
  std::vector<Worker*> free_;
};

/// What the process does: serves pictures until its parent is gone. Returns the exit code.
int run_picture_worker();

}  // namespace cardloom::server
