#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "cardloom/base/result.h"

namespace cardloom {

/// The bytes of a regular file. Returns kNotFound if it cannot be opened, kInvalidArgument if it is
/// not a regular file, kResourceExhausted (with both sizes) if it is larger than `max_bytes`.
Result<std::string> read_file(const std::string& path, std::int64_t max_bytes,
                              Location caller = Location::current());

/// A file mapped read-only for as long as this lives. Moves, does not copy.
class MappedFile {
 public:
  /// Returns as read_file does. An empty file gives an empty span.
  static Result<MappedFile> open(const std::string& path, Location caller = Location::current());

  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  [[nodiscard]] std::span<const std::byte> bytes() const { return {data_, size_}; }
  [[nodiscard]] const std::string& path() const { return path_; }

  /// Tells the kernel that `part` of bytes() will be read soon, or not again: it reads ahead, or
  /// takes the pages out of this process (they stay cached, and come back if they are read after
  /// all). Hints: nothing happens if they cannot be followed.
  void will_read(std::span<const std::byte> part) const;
  void was_read(std::span<const std::byte> part) const;

 private:
  void advise(std::span<const std::byte> part, int advice) const;

  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::string path_;
};

}  // namespace cardloom
