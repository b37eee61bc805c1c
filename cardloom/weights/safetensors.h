#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cardloom/base/file.h"
#include "cardloom/base/result.h"
#include "cardloom/tensor/tensor_view.h"
#include "cardloom/weights/safetensors_header.h"

namespace cardloom {

/// A safetensors file, mapped: its tensors are views of the file itself.
///
///     Result<SafetensorsFile> file = SafetensorsFile::open("model.safetensors");
///     if (!file) return file.error();
///     Result<TensorView> weight = file->tensor("lm_head.weight");
///
/// The file must not shrink while it is open: pages that are gone kill the process (SIGBUS).
class SafetensorsFile {
 public:
  /// Returns as MappedFile::open and parse_safetensors_header do.
  static Result<SafetensorsFile> open(const std::string& path,
                                      Location caller = Location::current());

  /// What the header says about `name`, or nullptr.
  [[nodiscard]] const SafetensorInfo* find(std::string_view name) const {
    return header_.find(name);
  }

  /// All names, in the order of the header.
  [[nodiscard]] std::vector<std::string> names() const;

  /// The contiguous data of `name`, valid as long as this file is open, also if it is moved.
  /// READ ONLY: the pages are mapped so, a write faults. The format does not align data, hence
  /// `data` may be any address: read it by memcpy or by instructions for unaligned operands.
  /// Returns kNotFound if there is no such tensor, kUnimplemented if its dtype is not one of ours
  /// or it has more than 4 axes.
  [[nodiscard]] Result<TensorView> tensor(std::string_view name) const;

  /// As MappedFile's: the data of `name` will be read soon, or not again. No such tensor: nothing.
  void will_read(std::string_view name) const;
  void was_read(std::string_view name) const;

  [[nodiscard]] const SafetensorsHeader& header() const { return header_; }
  [[nodiscard]] const std::string& path() const { return file_.path(); }

 private:
  [[nodiscard]] std::span<const std::byte> data_of(std::string_view name) const;

  MappedFile file_;
  SafetensorsHeader header_;
};

}  // namespace cardloom
