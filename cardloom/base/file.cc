#include "cardloom/base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace cardloom {
namespace {

/// Closes its descriptor.
struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

Error cannot(const char* verb, const std::string& path, Location caller) {
  const int number = errno;
  return make_error(number == ENOMEM ? ErrorCode::kResourceExhausted : ErrorCode::kNotFound,
                    fmt::format("cannot {} {}", verb, path), std::strerror(number),
                    "check the path and its permissions", caller);
}

/// The size of a regular file opened read-only into `descriptor`.
Result<std::int64_t> open_regular(const std::string& path, Descriptor& descriptor,
                                  Location caller) {
  // O_NONBLOCK: opening a pipe nobody writes to must not hang (promise 4).
  descriptor.fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor.fd < 0) return cannot("open", path, caller);
  struct stat info {};
  if (::fstat(descriptor.fd, &info) != 0) return cannot("read the size of", path, caller);
  if (!S_ISREG(info.st_mode)) {
    return make_error(ErrorCode::kInvalidArgument, fmt::format("{} is not a regular file", path),
                      S_ISDIR(info.st_mode) ? "it is a directory" : "it is a device or pipe",
                      "give the path of a file", caller);
  }
  return static_cast<std::int64_t>(info.st_size);
}

}  // namespace

Result<std::string> read_file(const std::string& path, std::int64_t max_bytes, Location caller) {
  Descriptor file;
  const Result<std::int64_t> size = open_regular(path, file, caller);
  if (!size) return size.error();
  if (*size > max_bytes) {
    return make_error(ErrorCode::kResourceExhausted, fmt::format("{} is too large", path),
                      fmt::format("{} bytes, the limit is {}", *size, max_bytes), {}, caller);
  }
  std::string bytes(static_cast<std::size_t>(*size), '\0');
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t got = ::read(file.fd, bytes.data() + filled, bytes.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return cannot("read", path, caller);
    if (got == 0) break;  // it shrank while we read: what is there is what we have
    filled += static_cast<std::size_t>(got);
  }
  bytes.resize(filled);
  return bytes;
}

Result<MappedFile> MappedFile::open(const std::string& path, Location caller) {
  Descriptor file;
  const Result<std::int64_t> size = open_regular(path, file, caller);
  if (!size) return size.error();
  MappedFile mapped;
  mapped.path_ = path;
  if (*size == 0) return mapped;
  void* address =
      ::mmap(nullptr, static_cast<std::size_t>(*size), PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (address == MAP_FAILED) return cannot("map", path, caller);
  mapped.data_ = static_cast<const std::byte*>(address);
  mapped.size_ = static_cast<std::size_t>(*size);
  return mapped;
}

/// Only inside our own mapping: elsewhere the same advice may empty pages.
void MappedFile::advise(std::span<const std::byte> part, int advice) const {
  if (part.empty() || part.data() < data_ || part.data() + part.size() > data_ + size_) return;
  static const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(part.data()) / page * page;
  const auto end = reinterpret_cast<std::uintptr_t>(part.data()) + part.size();
  static_cast<void>(::madvise(reinterpret_cast<void*>(begin), end - begin, advice));
}

void MappedFile::will_read(std::span<const std::byte> part) const { advise(part, MADV_WILLNEED); }
void MappedFile::was_read(std::span<const std::byte> part) const { advise(part, MADV_DONTNEED); }

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      path_(std::move(other.path_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(path_, other.path_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace cardloom
