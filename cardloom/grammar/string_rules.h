#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cardloom/base/json.h"
#include "cardloom/grammar/byte_nfa.h"
#include "cardloom/grammar/regex.h"

namespace cardloom::grammar {

/// A JSON string, quotes included, of any characters.
void add_open_string(ByteNfa& nfa, std::int32_t rule, std::int32_t from, LengthRange length,
                     Spelling spelling, std::int32_t to);

/// A JSON string, quotes included, whose characters `chars` accepts.
void add_quoted(ByteNfa& nfa, std::int32_t rule, std::int32_t from, const CharNfa& chars,
                LengthRange length, Spelling spelling, std::int32_t to);

/// A JSON string that is none of `names`, escaped only where it must be: so none is spelled in
/// another way either.
void add_string_except(ByteNfa& nfa, std::int32_t rule, std::int32_t from,
                       const std::vector<std::string_view>& names, std::int32_t to);

/// A space, tab or newline, if the limit leaves any; counted.
void add_space(ByteNfa& nfa, std::int32_t from, std::int32_t to);

/// A scalar as this library writes it, strings in Spelling::kJson.
[[nodiscard]] std::string json_text(const json::value& scalar);

/// A regular expression for a `format` of JSON Schema, none if it is not supported. What it matches
/// is valid; for email and uri not all that is valid matches.
[[nodiscard]] std::optional<std::string_view> format_pattern(std::string_view format);

}  // namespace cardloom::grammar
