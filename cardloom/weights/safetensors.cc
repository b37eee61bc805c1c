#include "cardloom/weights/safetensors.h"

#include <fmt/format.h>

#include "cardloom/weights/printable.h"

namespace cardloom {

Result<SafetensorsFile> SafetensorsFile::open(const std::string& path, Location caller) {
  Result<MappedFile> mapped = MappedFile::open(path, caller);
  if (!mapped) return mapped.error();
  SafetensorsFile file;
  file.file_ = *std::move(mapped);
  const std::span<const std::byte> bytes = file.file_.bytes();
  Result<SafetensorsHeader> header =
      parse_safetensors_header(bytes, static_cast<std::int64_t>(bytes.size()), path);
  if (!header) return header.error();
  file.header_ = *std::move(header);
  return file;
}

std::vector<std::string> SafetensorsFile::names() const {
  std::vector<std::string> names;
  names.reserve(header_.tensors.size());
  for (const SafetensorInfo& tensor : header_.tensors) names.push_back(tensor.name);
  return names;
}

Result<TensorView> SafetensorsFile::tensor(std::string_view name) const {
  const SafetensorInfo* info = find(name);
  if (info == nullptr) {
    return make_error(ErrorCode::kNotFound,
                      fmt::format("{}: there is no tensor {}", path(), printable(name)),
                      fmt::format("the file has {} tensors", header_.tensors.size()));
  }
  if (!info->dtype) {
    return make_error(ErrorCode::kUnimplemented,
                      fmt::format("{}: tensor {} is of dtype {}", path(), printable(name),
                                  printable(info->dtype_name)),
                      "supported: F32, BF16, F16, I8, U8, I32, I64",
                      "convert the checkpoint to BF16, F16 or F32");
  }
  if (info->shape.size() > TensorView::kMaxRank) {
    return make_error(ErrorCode::kUnimplemented,
                      fmt::format("{}: tensor {} has {} axes, at most {} are supported", path(),
                                  printable(name), info->shape.size(), TensorView::kMaxRank),
                      shape_text(info->shape));
  }
  TensorView view;
  // A TensorView has no const twin; the header's doc comment says that these are not to be written.
  view.data = const_cast<std::byte*>(file_.bytes().data() + header_.data_begin + info->begin);
  view.dtype = *info->dtype;
  view.rank = static_cast<int>(info->shape.size());
  std::int64_t stride = 1;  // cannot overflow: the header's check counted empty axes as 1
  for (int axis = view.rank - 1; axis >= 0; --axis) {
    view.shape[axis] = info->shape[static_cast<std::size_t>(axis)];
    view.stride[axis] = stride;
    stride *= view.shape[axis];
  }
  return view;
}

std::span<const std::byte> SafetensorsFile::data_of(std::string_view name) const {
  const SafetensorInfo* info = find(name);
  if (info == nullptr) return {};
  return file_.bytes().subspan(static_cast<std::size_t>(header_.data_begin + info->begin),
                               static_cast<std::size_t>(info->end - info->begin));
}

void SafetensorsFile::will_read(std::string_view name) const { file_.will_read(data_of(name)); }
void SafetensorsFile::was_read(std::string_view name) const { file_.was_read(data_of(name)); }

}  // namespace cardloom
