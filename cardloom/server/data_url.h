#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cardloom/base/result.h"

namespace cardloom::server {

/// The bytes that base64 text stands for (RFC 4648 section 4, strictly): padding to a multiple of
/// 4, no white space, no other alphabet, and no bits set that the padding drops, so that every byte
/// string has one spelling.
/// kInvalidArgument with the first offset that breaks a rule.
Result<std::string> decode_base64(std::string_view text);

/// The bytes of a URL `data:[<media type>][;<parameter>...];base64,<data>` (RFC 2397). The media
/// type is not believed: the picture's own bytes say what it is.
/// kInvalidArgument if it is no such URL, kResourceExhausted, with both numbers, if the data is
/// longer than `max_bytes`.
Result<std::string> decode_data_url(std::string_view url, std::int64_t max_bytes);

}  // namespace cardloom::server
