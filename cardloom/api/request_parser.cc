#include "cardloom/api/request_parser.h"

#include <fmt/format.h>

#include "cardloom/api/request_json.h"

namespace cardloom::api {

std::optional<ApiError> refusal_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Refusal& refusal) {
    return refusal.error();
  } catch (const Exception& failure) {
    return api_error_of(failure.error());
  }
  return {};
}

ParsedRequest parse_body(std::string_view body, const RequestLimits& limits,
                         const BodyReader& read) {
  GenerationRequest request;
  const std::optional<ApiError> refused = refusal_of([&] {
    const json::value root = parse_request_json(body);
    if (!root.is_object()) {
      refuse({}, fmt::format("the body must be a JSON object, is {}", kind_of(root)));
    }
    ReadNotes notes;
    notes.strict = limits.strict;
    ObjectReader reader(root.get_object(), {}, notes);
    read(reader, request);
    reader.finish();
    request.ignored_fields = std::move(notes.ignored);
  });
  if (refused) return *refused;
  return request;
}

}  // namespace cardloom::api
