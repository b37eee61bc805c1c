#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "cardloom/base/json.h"

namespace cardloom {

/// Python's json.dumps(value, ensure_ascii=False, indent=4), byte for byte: keys in their order,
/// floats in Python's repr (1.0, 1e-05, 1e+16), only quotes, backslashes and control characters
/// escaped. This is how GLM-4 was shown tools in training, hence part of the prompt.
///
/// Nothing if that has more than `max_bytes`: indentation can make it a hundred times the value it
/// shows. One difference is left: an integer beyond 64 bits has become a double when it was parsed.
[[nodiscard]] std::optional<std::string> dump_python_json(const json::value& value,
                                                          std::size_t max_bytes);

}  // namespace cardloom
