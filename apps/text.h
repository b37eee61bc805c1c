#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cardloom/base/json.h"
#include "cardloom/base/result.h"

/// Small things that commands write and read alike.
namespace cardloom::app {

/// "1.3 GiB", "512 B".
[[nodiscard]] std::string binary_bytes(double bytes);
[[nodiscard]] inline std::string binary_bytes(std::int64_t bytes) {
  return binary_bytes(static_cast<double>(bytes));
}

/// 13906000000 as "13,906,000,000".
[[nodiscard]] std::string grouped(std::int64_t number);

/// "1 card", "2 cards".
[[nodiscard]] std::string counted(std::int64_t count, std::string_view noun);

/// Rounded to microseconds.
[[nodiscard]] double milliseconds(std::chrono::nanoseconds duration);
/// "12.3 ms", "4.56 s".
[[nodiscard]] std::string duration_text(std::chrono::nanoseconds duration);

/// Ids written with spaces, commas or both between them. Returns kInvalidArgument, naming the first
/// that is none, if there is none at all or one does not fit 32 bits.
Result<std::vector<std::int32_t>> parse_ids(std::string_view text);

[[nodiscard]] json::array ids_json(const std::vector<std::int32_t>& ids);

/// `value` as one line of JSON. Numbers are written as people write them: 19.42, where Boost.JSON
/// says 1.942E1.
[[nodiscard]] std::string to_json_text(const json::value& value);
/// The same on stdout, with a newline.
void print_json(const json::value& value);

/// All of stdin, at most `max_bytes`. Throws Failure(kExitUsage) beyond that.
[[nodiscard]] std::string read_stdin(std::int64_t max_bytes);

/// Columns under each other, two spaces apart; the first `num_left` left-aligned, the others right.
[[nodiscard]] std::string table(const std::vector<std::vector<std::string>>& rows,
                                std::size_t num_left = 1);

/// The nearest of `names` if it is near enough to be what was meant; else "".
[[nodiscard]] std::string nearest(const std::string& typed, const std::vector<std::string>& names);

/// "262144", "256K" (of 1024), "32k" (of 1000); likewise M and m, G and g. Nothing if it is none of
/// these or does not fit.
[[nodiscard]] std::optional<std::int64_t> parse_scaled(std::string_view text);

/// "a, b, c".
[[nodiscard]] std::string joined(const std::vector<std::string>& words,
                                 std::string_view between = ", ");

}  // namespace cardloom::app
