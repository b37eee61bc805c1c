#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

/// Every number a request may hold, with the least and the greatest value it may have. A number
/// that is not in these tables cannot be read (ObjectReader), so none is ever used unchecked.
namespace cardloom::api {

struct IntegerRange {
  std::string_view name;  ///< the field, or "api:field" where one API differs
  std::int64_t min = 0;
  std::int64_t max = 0;
  std::optional<std::int64_t> fallback{};  ///< what an absent field means; none: see `note`
  std::string_view note{};                 ///< told with every error
};

struct RealRange {
  std::string_view name;
  double min = 0;
  double max = 0;
  bool above_min = false;  ///< `min` itself is outside
  std::optional<double> fallback{};
  std::string_view note{};
};

[[nodiscard]] std::span<const IntegerRange> integer_ranges();
[[nodiscard]] std::span<const RealRange> real_ranges();

/// The row of `name`. Throws kInternal if there is none.
[[nodiscard]] const IntegerRange& integer_range(std::string_view name);
[[nodiscard]] const RealRange& real_range(std::string_view name);

}  // namespace cardloom::api
