#pragma once

#include <string_view>

#include "cardloom/base/json.h"

namespace cardloom::api {

/// What a request's JSON may hold at the most. A value takes up to some hundred bytes of memory,
/// so that 64 MiB of "[[],[],..." would become gigabytes without a limit of their number.
inline constexpr std::size_t kMaxJsonDepth = 64;
inline constexpr std::size_t kMaxJsonValues = std::size_t{1} << 19;
inline constexpr std::size_t kMaxJsonKeys = std::size_t{1} << 14;  ///< of one object
inline constexpr std::size_t kMaxJsonKeyBytes = std::size_t{1} << 12;

/// The value of a request's body (RFC 8259, UTF-8).
///
/// Stricter than parse_json(): a key that stands twice in one object is an error, since two readers
/// of such a text may see different requests. Throws Refusal (field_reader.h) with code
/// "invalid_json" and the byte where reading stopped; `param` names the text if it is not the body.
[[nodiscard]] json::value parse_request_json(std::string_view text, std::string_view param = {});

}  // namespace cardloom::api
