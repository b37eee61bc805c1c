#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cardloom/base/result.h"
#include "cardloom/tensor/dtype.h"

namespace cardloom {

/// One tensor as a safetensors header describes it.
struct SafetensorInfo {
  std::string name;
  std::string dtype_name;      ///< as the file spells it: "BF16"
  std::optional<DType> dtype;  ///< empty: a dtype this program does not read
  std::vector<std::int64_t> shape;
  std::int64_t begin = 0;  ///< bytes from SafetensorsHeader::data_begin
  std::int64_t end = 0;    ///< likewise, one past the last
};

/// Everything a safetensors file says about itself; every offset in it has been checked.
struct SafetensorsHeader {
  std::vector<SafetensorInfo> tensors;          ///< in the order of the header
  std::map<std::string, std::string> metadata;  ///< `__metadata__`
  std::int64_t data_begin = 0;                  ///< bytes from the start of the file
  std::vector<std::size_t> by_name;             ///< indices into `tensors`, sorted by name

  /// The tensor of that name, or nullptr.
  [[nodiscard]] const SafetensorInfo* find(std::string_view name) const;
};

/// Longest header accepted, as in the format's reference implementation.
inline constexpr std::int64_t kMaxSafetensorsHeaderBytes = 100'000'000;

/// The header at the start of a safetensors file: 8 bytes of length (little endian), then JSON.
///
/// file_prefix  the first bytes of the file, at least as far as its header reaches
/// file_size    bytes of the whole file
/// path         names the file in errors
///
/// Checked: the length; the JSON and that it holds nothing but tensors {dtype, shape, data_offsets}
/// and a `__metadata__` of strings; names and fields that appear twice; begin <= end; size =
/// product of the shape times the dtype's size, without overflow; tensors that overlap; data beyond
/// the end of the file. Gaps between tensors and bytes behind the last are let pass: they harm
/// nobody. A dtype unknown to us is kept by name and its size is not checked.
///
/// Returns kDataLoss, naming the file, the tensor and both values. Never throws.
/// Source: the format's description, https://github.com/huggingface/safetensors#format
Result<SafetensorsHeader> parse_safetensors_header(std::span<const std::byte> file_prefix,
                                                   std::int64_t file_size, const std::string& path);

/// The DType that safetensors calls `name` ("BF16"), if we have it.
[[nodiscard]] std::optional<DType> dtype_of_safetensors_name(std::string_view name);

/// "BF16" for kBF16, and so on.
[[nodiscard]] std::string_view safetensors_name_of(DType dtype);

}  // namespace cardloom
