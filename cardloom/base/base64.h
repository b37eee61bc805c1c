#pragma once

#include <string>
#include <string_view>

#include "cardloom/base/result.h"

namespace cardloom {

/// `bytes` as base64 (RFC 4648 section 4): A-Z a-z 0-9 + /, padded to a multiple of 4.
[[nodiscard]] std::string encode_base64(std::string_view bytes);

/// The bytes that base64 text stands for (RFC 4648 section 4, strictly): padding to a multiple of
/// 4, no white space, no other alphabet, and no bits set that the padding drops, so that every byte
/// string has one spelling.
/// Returns kInvalidArgument with the first offset that breaks a rule.
Result<std::string> decode_base64(std::string_view text);

}  // namespace cardloom
