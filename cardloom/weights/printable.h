#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cardloom {

/// `"name"` as it may stand in an error: control characters become '?', and what is longer than
/// 120 bytes is cut; a damaged file must not write on the user's terminal.
[[nodiscard]] std::string printable(std::string_view name);

/// `[4608, 4096]`; more than 8 lengths are cut.
[[nodiscard]] std::string shape_text(const std::vector<std::int64_t>& shape);

}  // namespace cardloom
