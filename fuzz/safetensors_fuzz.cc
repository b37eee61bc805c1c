// Headers of safetensors files as strangers send them: whatever parses must be sound.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "cardloom/weights/safetensors_header.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  // As a whole file, and as the beginning of one of 4 GiB, of which only the header is at hand.
  for (const std::int64_t file_size : {static_cast<std::int64_t>(size), std::int64_t{1} << 32}) {
    const auto header = cardloom::parse_safetensors_header(bytes, file_size, "fuzz");
    if (!header) {
      if (header.error().message.empty()) std::abort();
      continue;
    }
    for (const cardloom::SafetensorInfo& tensor : header->tensors) {
      const bool sound = 0 <= tensor.begin && tensor.begin <= tensor.end &&
                         tensor.end <= file_size - header->data_begin &&
                         header->find(tensor.name) == &tensor;
      if (!sound) std::abort();
    }
  }
  return 0;
}
