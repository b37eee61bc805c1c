#include "cardloom/weights/safetensors_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <boost/json/serialize.hpp>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <span>

#include "cardloom/base/integer_math.h"
#include "cardloom/base/json.h"
#include "cardloom/weights/printable.h"
#include "cardloom/weights/safetensors_header.h"

namespace cardloom {
namespace {

constexpr std::int64_t kMaxDataBytes = std::int64_t{1}
                                       << 60;  // leaves room for the header's length
constexpr std::string_view kMetadataName = "__metadata__";

using Entry = std::pair<std::string, TensorView>;

/// A file that vanishes again unless it is published under its final name.
class PartialFile {
 public:
  explicit PartialFile(std::string path)
      : path_(std::move(path)), partial_(fmt::format("{}.partial-{}", path_, ::getpid())) {
    ::unlink(partial_.c_str());  // left over from a killed process that had our id
    fd_ = ::open(partial_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd_ < 0) failure_ = errno;
  }
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;
  ~PartialFile() {
    if (fd_ < 0) return;
    ::close(fd_);
    ::unlink(partial_.c_str());
  }

  [[nodiscard]] bool is_open() const { return fd_ >= 0; }

  void write(const void* data, std::size_t bytes) {
    const auto* next = static_cast<const char*>(data);
    while (bytes > 0 && failure_ == 0) {
      const ssize_t done = ::write(fd_, next, bytes);
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) {
        failure_ = errno;
        return;
      }
      next += done;
      bytes -= static_cast<std::size_t>(done);
    }
  }

  void publish() {
    if (failure_ == 0 && ::fsync(fd_) != 0) failure_ = errno;
    if (failure_ == 0 && ::rename(partial_.c_str(), path_.c_str()) != 0) failure_ = errno;
    if (failure_ != 0) return;
    const int fd = std::exchange(fd_, -1);
    if (::close(fd) != 0) failure_ = errno;
  }

  [[nodiscard]] Status status() const {
    if (failure_ == 0) return {};
    const bool full = failure_ == ENOSPC || failure_ == EDQUOT || failure_ == EFBIG;
    return make_error(full ? ErrorCode::kResourceExhausted : ErrorCode::kNotFound,
                      fmt::format("cannot write {}", path_), std::strerror(failure_),
                      full ? "free space on the disk" : "check the folder and its permissions");
  }

 private:
  std::string path_;
  std::string partial_;
  int fd_ = -1;
  int failure_ = 0;
};

/// Bytes of the elements of `view`, or nothing if they overflow.
std::optional<std::int64_t> bytes_of(const TensorView& view) {
  std::optional<std::int64_t> bytes = size_of(view.dtype);
  for (int axis = 0; axis < view.rank && bytes; ++axis)
    bytes = checked_mul(*bytes, view.shape[axis]);
  return bytes;
}

/// The 8 bytes of length and the JSON, padded with spaces so that data begins at a multiple of 8.
Result<std::string> make_header(const std::string& path, const std::vector<Entry>& entries,
                                const std::map<std::string, std::string>& metadata) {
  std::string text = "{";
  if (!metadata.empty()) {
    json::object object;
    for (const auto& [key, value] : metadata) object[key] = value;
    text += "\"__metadata__\":" + json::serialize(object);
  }
  std::int64_t offset = 0;
  for (const auto& [name, view] : entries) {
    const std::optional<std::int64_t> bytes = bytes_of(view);
    const std::optional<std::int64_t> end = bytes ? checked_add(offset, *bytes) : std::nullopt;
    if (!end || *end > kMaxDataBytes || (*bytes > 0 && view.data == nullptr) ||
        name == kMetadataName) {
      return make_error(ErrorCode::kInvalidArgument,
                        fmt::format("{}: tensor {} cannot be written: {}", path, printable(name),
                                    !end || *end > kMaxDataBytes ? "it has too many bytes"
                                    : name == kMetadataName      ? "the name is reserved"
                                                                 : "it has no data"),
                        to_string(view));
    }
    const std::vector<std::int64_t> shape(view.shape, view.shape + view.rank);
    text += fmt::format(R"({}{}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                        text.size() > 1 ? "," : "", json::serialize(json::string(name)),
                        safetensors_name_of(view.dtype), fmt::join(shape, ","), offset, *end);
    offset = *end;
  }
  text += "}";
  text.resize(static_cast<std::size_t>(round_up(static_cast<std::int64_t>(text.size()), 8)), ' ');
  const auto length = static_cast<std::uint64_t>(text.size());
  text.insert(0, reinterpret_cast<const char*>(&length), sizeof length);
  // Reading back what will be written finds names that appear twice or are not UTF-8.
  const Result<SafetensorsHeader> read =
      parse_safetensors_header(std::as_bytes(std::span<const char>(text)),
                               static_cast<std::int64_t>(text.size()) + offset, path);
  if (!read) {
    return make_error(ErrorCode::kInvalidArgument, read.error().message, read.error().detail,
                      "give every tensor a name of its own, in UTF-8");
  }
  return text;
}

/// Copies the elements of a view, in order, through a small buffer.
class Gatherer {
 public:
  explicit Gatherer(PartialFile& file) : file_(file) {}

  void write(const TensorView& view) {
    if (view.num_elements() == 0) return;
    if (view.is_contiguous()) {
      file_.write(view.data, static_cast<std::size_t>(view.num_elements() * size_of(view.dtype)));
      return;
    }
    walk(view, 0, view.data);
    flush();
  }

 private:
  /// Elements from `axis` on in row-major order; needs rank > 0, which a view that is not
  /// contiguous has.
  void walk(const TensorView& view, int axis, const std::byte* from) {
    const std::int64_t element = size_of(view.dtype);
    // The bound that g++ cannot see: a view has at most kMaxRank axes.
    const bool is_last = axis + 1 == view.rank || axis + 1 >= TensorView::kMaxRank;
    if (is_last && view.stride[axis] == 1) {
      return append(from, static_cast<std::size_t>(element * view.shape[axis]));
    }
    for (std::int64_t i = 0; i < view.shape[axis]; ++i) {
      const std::byte* at = from + i * view.stride[axis] * element;
      if (is_last) {
        append(at, static_cast<std::size_t>(element));
      } else {
        walk(view, axis + 1, at);
      }
    }
  }

  void append(const std::byte* from, std::size_t bytes) {
    constexpr std::size_t kBufferBytes = std::size_t{256}
                                         << 10;  // large enough to hide the system call
    buffer_.insert(buffer_.end(), from, from + bytes);
    if (buffer_.size() >= kBufferBytes) flush();
  }

  void flush() {
    file_.write(buffer_.data(), buffer_.size());
    buffer_.clear();
  }

  PartialFile& file_;
  std::vector<std::byte> buffer_;
};

}  // namespace

Status write_safetensors(const std::string& path, const std::vector<Entry>& tensors,
                         const std::map<std::string, std::string>& metadata) {
  std::vector<Entry> entries = tensors;
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return size_of(a.second.dtype) > size_of(b.second.dtype);
  });
  const Result<std::string> header = make_header(path, entries, metadata);
  if (!header) return header.error();
  PartialFile file(path);
  if (!file.is_open()) return file.status();
  file.write(header->data(), header->size());
  Gatherer gatherer(file);
  for (const auto& [name, view] : entries) gatherer.write(view);
  file.publish();
  return file.status();
}

}  // namespace cardloom
