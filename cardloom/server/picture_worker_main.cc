#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#include "cardloom/image/decode.h"
#include "cardloom/models/glm4v/processor.h"
#include "cardloom/server/picture_sandbox.h"
#include "cardloom/server/picture_wire.h"
#include "cardloom/server/picture_workers.h"

namespace cardloom::server {
namespace {

using Clock = std::chrono::steady_clock;
constexpr Clock::time_point kNever = Clock::time_point::max();

#if defined(__SANITIZE_ADDRESS__)  // with it comes UBSan, which looks at memory through a pipe
constexpr int kMostFiles = kWorkerMemory + 1 + 2;
#else
constexpr int kMostFiles = kWorkerMemory + 1;
#endif

void limit(int what, rlim_t value) {
  rlimit limits{};
  getrlimit(static_cast<__rlimit_resource>(what), &limits);
  limits.rlim_cur = std::min(value, limits.rlim_max);
  if (what != RLIMIT_CPU) limits.rlim_max = limits.rlim_cur;  // raised again for each picture
  setrlimit(static_cast<__rlimit_resource>(what), &limits);
}

/// Nothing here is needed to decode a picture: no new files, no programs, no rights, no dumps of
/// what strangers sent; and the worker does not outlive its parent.
void give_up_rights() {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  prctl(PR_SET_DUMPABLE, 0);
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_FSIZE, 0);
  limit(RLIMIT_NOFILE, kMostFiles);
}

/// Address space for one picture: its bytes, its pixels three times (decoder's rows, RGB, one axis
/// resized), the output, and room for the program itself.
void limit_memory([[maybe_unused]] const PictureOrder& order) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they reserve terabytes
  constexpr std::int64_t kProgram = std::int64_t{512} << 20;
  const std::int64_t output = order.image_size * order.image_size * 3 * 4;
  limit(RLIMIT_AS,
        static_cast<rlim_t>(kProgram + 2 * order.max_bytes + 9 * order.max_pixels + 4 * output));
#endif
}

void limit_time(std::int64_t seconds) {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  limit(RLIMIT_CPU, static_cast<rlim_t>(used.ru_utime.tv_sec + used.ru_stime.tv_sec + seconds + 1));
}

/// Decodes, and writes the pixels to `out`.
Status serve(const PictureOrder& order, const std::string& bytes, std::span<std::byte> out,
             PictureAnswer& answer) {
  const Clock::time_point begin = Clock::now();
  const Result<Image> image = decode_image(std::as_bytes(std::span(bytes)), "the picture",
                                           {.max_pixels = order.max_pixels,
                                            .pixels_left = order.pixels_left,
                                            .apply_exif_orientation = order.exif != 0});
  if (!image) return image.error();
  const Clock::time_point decoded = Clock::now();
  const Tensor pixels = glm4v::make_pixel_values(*image, order.image_size);
  const auto size =
      static_cast<std::size_t>(order.image_size * order.image_size) * 3 * sizeof(float);
  if (size > out.size()) return make_error(ErrorCode::kInternal, "the pixels do not fit");
  std::memcpy(out.data(), pixels.view().at<float>(0), size);
  answer.num_pixels = image->width * image->height;
  answer.decode_ns = (decoded - begin).count();
  answer.preprocess_ns = (Clock::now() - decoded).count();
  return {};
}

Status serve_safely(const PictureOrder& order, const std::string& bytes, std::span<std::byte> out,
                    PictureAnswer& answer) {
  try {
    return serve(order, bytes, out, answer);
  } catch (const Exception& failure) {
    return failure.error();
  } catch (const std::bad_alloc&) {
    return make_error(ErrorCode::kResourceExhausted, "the picture: memory ran out", {},
                      "send a smaller picture");
  }
}

bool send_answer(const Status& status, PictureAnswer& answer) {
  std::string texts;
  if (!status) {
    const Error& error = status.error();
    answer.error_code = static_cast<std::int64_t>(error.code);
    const auto append = [&](const std::string& text) {
      texts.append(text, 0, static_cast<std::size_t>(kMaxErrorText));
      return static_cast<std::int64_t>(
          std::min(text.size(), static_cast<std::size_t>(kMaxErrorText)));
    };
    answer.message_bytes = append(error.message);
    answer.detail_bytes = append(error.detail);
    answer.remedy_bytes = append(error.remedy);
  }
  return write_all(kWorkerSocket, &answer, sizeof answer, kNever) &&
         write_all(kWorkerSocket, texts.data(), texts.size(), kNever);
}

}  // namespace

int run_picture_worker() {
  give_up_rights();
  struct stat status {};
  if (fstat(kWorkerMemory, &status) != 0 || status.st_size <= 0) return 2;
  const auto size = static_cast<std::size_t>(status.st_size);
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, kWorkerMemory, 0);
  if (memory == MAP_FAILED) return 2;
  const std::span<std::byte> out(static_cast<std::byte*>(memory), size);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they make calls of their own
  static_cast<void>(enter_picture_sandbox());  // without it the limits above still hold
#endif
  PictureOrder order;
  bool limited = false;
  while (read_all(kWorkerSocket, &order, sizeof order, kNever)) {
    if (!std::exchange(limited, true)) limit_memory(order);
    limit_time(order.cpu_seconds);
    if (order.num_bytes < 0 || order.num_bytes > order.max_bytes) return 2;
    std::string bytes(static_cast<std::size_t>(order.num_bytes), '\0');
    if (!read_all(kWorkerSocket, bytes.data(), bytes.size(), kNever)) break;
    PictureAnswer answer;
    const Status served = serve_safely(order, bytes, out, answer);
    if (!send_answer(served, answer)) break;
  }
  return 0;
}

}  // namespace cardloom::server
