#include "cardloom/server/picture_workers.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "cardloom/server/picture_wire.h"

namespace cardloom::server {
namespace {

using Clock = std::chrono::steady_clock;

/// A descriptor above those that a worker is given, so that handing one over cannot close another.
int above_worker(int fd) {
  constexpr int kFirst = 16;
  const int moved = fcntl(fd, F_DUPFD_CLOEXEC, kFirst);
  close(fd);
  return moved;
}

Error cannot_start(const char* what, int number) {
  return make_error(ErrorCode::kUnavailable, "a picture worker cannot be started",
                    fmt::format("{}: {}", what, std::strerror(number)),
                    "see `ulimit -a` for processes and open files");
}

/// Starts `program` as a worker with these two descriptors and nothing else of ours.
int spawn_worker(const std::string& program, int socket, int memory, pid_t& pid) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, socket, kWorkerSocket);
  posix_spawn_file_actions_adddup2(&actions, memory, kWorkerMemory);
  posix_spawn_file_actions_addclosefrom_np(&actions, kWorkerMemory + 1);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  // Ctrl-C on the terminal is for the server alone, which decides when its workers go.
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  std::string name = "cardloom";
  std::string argument = kPictureWorkerArgument;
  char* const arguments[] = {name.data(), argument.data(), nullptr};
  char* const environment[] = {nullptr};
  const int failed =
      posix_spawn(&pid, program.c_str(), &actions, &attributes, arguments, environment);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return failed;
}

}  // namespace

struct PictureWorkers::Worker {
  Worker() = default;
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker() {
    end_process();
    if (pixels != nullptr) munmap(pixels, num_bytes);
    if (memory >= 0) close(memory);
  }

  void end_process() {
    if (socket >= 0) close(socket);
    socket = -1;
    if (pid <= 0) return;
    kill(pid, SIGKILL);
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    pid = 0;
  }

  /// Not so if it was killed while it had nothing to do, by a system short of memory, say.
  [[nodiscard]] bool is_alive() {
    if (pid > 0 && waitpid(pid, nullptr, WNOHANG) != 0) pid = 0;
    return pid > 0;
  }

  Status map_memory(std::size_t size) {
    memory = memfd_create("cardloom-pixels", MFD_CLOEXEC);
    if (memory < 0) return cannot_start("memfd_create", errno);
    memory = above_worker(memory);
    if (memory < 0 || ftruncate(memory, static_cast<off_t>(size)) != 0) {
      return cannot_start("memory file", errno);
    }
    pixels = mmap(nullptr, size, PROT_READ, MAP_SHARED, memory, 0);
    if (pixels == MAP_FAILED) pixels = nullptr;
    num_bytes = size;
    return pixels != nullptr ? Status() : cannot_start("mmap", errno);
  }

  pid_t pid = 0;
  bool broke = false;  ///< whether its last picture ended the process, in time
  int socket = -1;
  int memory = -1;
  void* pixels = nullptr;
  std::size_t num_bytes = 0;
};

PictureWorkers::PictureWorkers(PictureWorkerOptions options) : options_(std::move(options)) {}
PictureWorkers::~PictureWorkers() = default;

Result<std::unique_ptr<PictureWorkers>> PictureWorkers::start(PictureWorkerOptions options) {
  std::unique_ptr<PictureWorkers> workers(new PictureWorkers(std::move(options)));
  const std::int64_t size = workers->options_.image_size;
  for (int index = 0; index < workers->options_.num_workers; ++index) {
    auto worker = std::make_unique<Worker>();
    Status status = worker->map_memory(static_cast<std::size_t>(size * size) * 3 * sizeof(float));
    if (status) status = workers->restart(*worker);
    if (!status) return status.error();
    workers->free_.push_back(worker.get());
    workers->workers_.push_back(std::move(worker));
  }
  return workers;
}

Status PictureWorkers::restart(Worker& worker) const {
  worker.end_process();
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return cannot_start("socketpair", errno);
  }
  worker.socket = above_worker(ends[0]);
  const int theirs = above_worker(ends[1]);
  const int failed = worker.socket < 0 || theirs < 0
                         ? EMFILE
                         : spawn_worker(options_.program, theirs, worker.memory, worker.pid);
  if (theirs >= 0) close(theirs);
  if (failed == 0) return {};
  worker.pid = 0;
  return cannot_start(options_.program.c_str(), failed);
}

Result<DecodedPicture> PictureWorkers::decode(std::string_view bytes, std::int64_t pixels_left) {
  Worker* worker = nullptr;
  {
    std::unique_lock lock(mutex_);
    freed_.wait(lock, [&] { return !free_.empty(); });
    worker = free_.back();
    free_.pop_back();
  }
  // Whose process was killed, by a system short of memory, say, is tried once more: that may have
  // been before it had the picture. A picture that breaks the decoder does so twice.
  Result<DecodedPicture> picture = attempt(*worker, bytes, pixels_left);
  if (worker->broke) picture = attempt(*worker, bytes, pixels_left);
  {
    const std::lock_guard lock(mutex_);
    free_.push_back(worker);
  }
  freed_.notify_one();
  return picture;
}

Result<DecodedPicture> PictureWorkers::attempt(Worker& worker, std::string_view bytes,
                                               std::int64_t pixels_left) const {
  worker.broke = false;
  if (!worker.is_alive()) {
    if (const Status ready = restart(worker); !ready) return ready.error();
  }
  return run(worker, bytes, pixels_left);
}

Result<DecodedPicture> PictureWorkers::run(Worker& worker, std::string_view bytes,
                                           std::int64_t pixels_left) const {
  const Clock::time_point deadline = Clock::now() + options_.deadline;
  const PictureOrder order{
      .num_bytes = static_cast<std::int64_t>(bytes.size()),
      .max_bytes = options_.max_bytes,
      .image_size = options_.image_size,
      .max_pixels = options_.decode.max_pixels,
      .pixels_left = pixels_left,
      .exif = options_.decode.apply_exif_orientation ? 1 : 0,
      .cpu_seconds = std::chrono::ceil<std::chrono::seconds>(options_.deadline).count()};
  std::optional<PictureReply> reply;
  if (write_all(worker.socket, &order, sizeof order, deadline) &&
      write_all(worker.socket, bytes.data(), bytes.size(), deadline)) {
    reply = read_reply(worker.socket, deadline);
  }
  if (!reply) {
    worker.end_process();  // the next picture starts a new one
    worker.broke = Clock::now() < deadline;
    return make_error(
        ErrorCode::kInvalidArgument,
        !worker.broke
            ? fmt::format("the picture takes longer than {} s to decode",
                          std::chrono::ceil<std::chrono::seconds>(options_.deadline).count())
            : std::string("the picture cannot be decoded: it broke the decoder"),
        {}, "save it again as JPEG or PNG with another program");
  }
  if (reply->error) return *std::move(reply->error);
  DecodedPicture picture;
  picture.num_pixels = reply->answer.num_pixels;
  picture.pixel_values = Tensor(DType::kF32, {3, options_.image_size, options_.image_size});
  std::memcpy(picture.pixel_values.view().at<float>(0), worker.pixels, worker.num_bytes);
  picture.decode = std::chrono::nanoseconds(reply->answer.decode_ns);
  picture.preprocess = std::chrono::nanoseconds(reply->answer.preprocess_ns);
  return picture;
}

}  // namespace cardloom::server
