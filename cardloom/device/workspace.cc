#include "cardloom/device/workspace.h"

#include <fmt/format.h>

#include <algorithm>

#include "cardloom/base/error.h"
#include "cardloom/base/integer_math.h"

namespace cardloom {

Workspace::Workspace(std::int64_t capacity_bytes, DeviceId device)
    : memory_(DType::kU8, {capacity_bytes}, device), device_(device) {}

std::int64_t Workspace::bytes_of(DType dtype, std::initializer_list<std::int64_t> shape) {
  std::int64_t bytes = size_of(dtype);
  for (const std::int64_t length : shape) bytes *= length;
  return round_up(bytes, 64);
}

TensorView Workspace::take(DType dtype, std::initializer_list<std::int64_t> shape,
                           Location caller) {
  TensorView view = make_view(nullptr, dtype, shape, device_, caller);
  const std::int64_t bytes = bytes_of(dtype, shape);
  if (bytes > capacity_bytes() - used_) {
    throw_error(ErrorCode::kResourceExhausted,
                fmt::format("the workspace is too small for {}", to_string(view)),
                fmt::format("{} bytes asked for, {} of {} in use", bytes, used_, capacity_bytes()),
                "use a smaller prompt chunk", caller);
  }
  if (bytes > 0) view.data = memory_.view().data + used_;
  used_ += bytes;
  peak_ = std::max(peak_, used_);
  return view;
}

}  // namespace cardloom
