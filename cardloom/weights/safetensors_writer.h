#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "cardloom/base/result.h"
#include "cardloom/tensor/tensor_view.h"

namespace cardloom {

/// Writes `tensors` as a safetensors file, whatever their strides: what is stored is contiguous.
///
///     const Status status = write_safetensors("out.safetensors", {{"logits", logits}});
///
/// tensors   names and views in host memory; a view of rank 0 is one number
/// metadata  goes to `__metadata__`
///
/// Data is stored by element size, largest first, else in the order given: so every tensor is
/// aligned and there are no gaps, as strict readers demand.
/// The file appears under its name only when it is complete: it is written beside it, to
/// `<path>.partial-<pid>`, and renamed.
/// Returns kInvalidArgument if a name appears twice, is "__metadata__" or is not UTF-8, or a view
/// has no data; kNotFound if the file cannot be created, kResourceExhausted if writing fails.
Status write_safetensors(const std::string& path,
                         const std::vector<std::pair<std::string, TensorView>>& tensors,
                         const std::map<std::string, std::string>& metadata = {});

}  // namespace cardloom
