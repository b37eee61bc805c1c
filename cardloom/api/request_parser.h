#pragma once

#include <functional>
#include <optional>
#include <string_view>

#include "cardloom/api/api.h"
#include "cardloom/api/field_reader.h"

namespace cardloom::api {

/// Reads all fields of a body into a request; may throw Refusal.
using BodyReader = std::function<void(ObjectReader& reader, GenerationRequest& request)>;

/// What every parse_... function does around its own fields: the JSON, which must be an object;
/// `read`; then the unknown fields. This is where a Refusal ends and becomes an answer.
[[nodiscard]] ParsedRequest parse_body(std::string_view body, const RequestLimits& limits,
                                       const BodyReader& read);

/// Runs `action`; what it refused, if it did.
[[nodiscard]] std::optional<ApiError> refusal_of(const std::function<void()>& action);

}  // namespace cardloom::api
