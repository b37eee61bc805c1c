#include "cardloom/tensor/tensor.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "cardloom/base/error.h"
#include "cardloom/base/integer_math.h"

namespace cardloom {
namespace {

/// From here on, pages of 2 MiB pay: fewer TLB misses when weights stream.
constexpr std::size_t kHugePage = std::size_t{2} << 20;
/// MADV_POPULATE_WRITE, which older headers lack.
constexpr int kPopulateWrite = 23;

}  // namespace

void UnmapMemory::operator()(std::byte* data) const { ::munmap(data, bytes); }

Tensor::Tensor(DType dtype, std::initializer_list<std::int64_t> shape, DeviceId device,
               Location caller)
    : view_(make_view(nullptr, dtype, shape, device, caller)) {
  std::optional<std::int64_t> bytes = size_of(dtype);
  for (const std::int64_t length : shape) {
    if (bytes) bytes = checked_mul(*bytes, length);
  }
  if (!bytes) {
    throw_error(ErrorCode::kResourceExhausted,
                fmt::format("{} has too many bytes", to_string(view_)), {}, {}, caller);
  }
  if (*bytes == 0) return;
  const auto size = static_cast<std::size_t>(*bytes);
  void* address = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) {
    throw_error(ErrorCode::kResourceExhausted, fmt::format("no memory for {}", to_string(view_)),
                fmt::format("{} bytes", *bytes), "use fewer tokens, a smaller dtype or more cards",
                caller);
  }
  if (size >= kHugePage) ::madvise(address, size, MADV_HUGEPAGE);
  memory_ = {static_cast<std::byte*>(address), UnmapMemory{size}};
  view_.data = memory_.get();
}

void Tensor::populate(Location caller) const {
  populate_memory(memory_.get(), size_bytes(), caller);
}

void populate_memory(std::byte* data, std::int64_t bytes, Location caller) {
  if (data == nullptr || bytes == 0) return;
  const std::int64_t page = ::sysconf(_SC_PAGESIZE);
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  const std::uintptr_t begin = address - address % static_cast<std::uintptr_t>(page);
  const std::size_t size = address + static_cast<std::size_t>(bytes) - begin;
  if (::madvise(reinterpret_cast<void*>(begin), size, kPopulateWrite) == 0) return;
  if (errno == ENOMEM || errno == EFAULT || errno == EHWPOISON) {
    throw_error(ErrorCode::kResourceExhausted,
                fmt::format("the system has no {} bytes of memory left", bytes),
                std::strerror(errno), "free memory, or use fewer tokens or a smaller format",
                caller);
  }
  for (std::int64_t at = 0; at < bytes; at += page) {  // a kernel before 5.14 does not know it
    auto* const byte = reinterpret_cast<volatile std::byte*>(data + at);
    *byte = *byte;
  }
}

}  // namespace cardloom
