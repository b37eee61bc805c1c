#include "cardloom/layers/trace.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstring>

#include "cardloom/base/error.h"
#include "cardloom/ops/elementwise.h"

namespace cardloom {

void Trace::capture(Stream& stream, const std::string& name, const TensorView& view) {
  std::vector<Tensor>& parts = parts_[name];
  if (view.rank != 2 || (!parts.empty() && parts[0].view().shape[1] != view.shape[1])) {
    throw_error(
        ErrorCode::kInvalidArgument,
        fmt::format("trace of {}: parts must be [rows, columns] with the same columns", name),
        to_string(view));
  }
  parts.emplace_back(Tensor(DType::kF32, {view.shape[0], view.shape[1]}));
  ops::copy(stream, view, parts.back());
}

Tensor Trace::rows(const std::string& name) const {
  const auto found = parts_.find(name);
  if (found == parts_.end()) {
    throw_error(ErrorCode::kNotFound, fmt::format("nothing was traced as {}", name),
                fmt::format("traced: {}", fmt::join(names(), ", ")));
  }
  std::int64_t num_rows = 0;
  for (const Tensor& part : found->second) num_rows += part.view().shape[0];
  Tensor all(DType::kF32, {num_rows, found->second[0].view().shape[1]});
  std::byte* place = all.view().data;
  for (const Tensor& part : found->second) {
    if (part.size_bytes() == 0) continue;
    std::memcpy(place, part.view().data, static_cast<std::size_t>(part.size_bytes()));
    place += part.size_bytes();
  }
  return all;
}

std::vector<std::string> Trace::names() const {
  std::vector<std::string> all;
  for (const auto& [name, parts] : parts_) all.push_back(name);
  return all;
}

}  // namespace cardloom
