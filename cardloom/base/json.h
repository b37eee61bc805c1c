#pragma once

#include <boost/json/value.hpp>
#include <string_view>

#include "cardloom/base/result.h"

namespace cardloom {

namespace json = boost::json;

/// The value of a JSON text (RFC 8259, UTF-8, nesting at most 64 deep).
///
/// `what` names the text in errors ("config.json"). Returns kInvalidArgument with the byte where
/// parsing stopped; never throws.
Result<json::value> parse_json(std::string_view text, std::string_view what,
                               Location caller = Location::current());

/// What `value` is, with its article, for errors: "a string", "a number", "null".
[[nodiscard]] std::string_view kind_of(const json::value& value);

}  // namespace cardloom
