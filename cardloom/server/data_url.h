#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cardloom/base/result.h"

namespace cardloom::server {

/// The bytes of a URL `data:[<media type>][;<parameter>...];base64,<data>` (RFC 2397). The media
/// type is not believed: the picture's own bytes say what it is.
/// kInvalidArgument if it is no such URL, kResourceExhausted, with both numbers, if the data is
/// longer than `max_bytes`.
Result<std::string> decode_data_url(std::string_view url, std::int64_t max_bytes);

}  // namespace cardloom::server
