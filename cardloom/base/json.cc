// Boost.JSON is compiled here, once: nothing else needs its library.
#include "cardloom/base/json.h"

#include <fmt/format.h>

#include <boost/json/src.hpp>

namespace cardloom {

Result<json::value> parse_json(std::string_view text, std::string_view what, Location caller) {
  json::parse_options options;
  options.max_depth = 64;
  json::stream_parser parser(json::storage_ptr{}, options);
  boost::system::error_code failure;
  const std::size_t consumed = parser.write_some(text.data(), text.size(), failure);
  if (!failure && consumed < text.size()) failure = json::error::extra_data;
  if (!failure) parser.finish(failure);
  if (failure) {
    return make_error(ErrorCode::kInvalidArgument, fmt::format("{} is not valid JSON", what),
                      fmt::format("{} at byte {} of {}", failure.message(), consumed, text.size()),
                      {}, caller);
  }
  return parser.release();
}

std::string_view kind_of(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return "null";
    case json::kind::bool_:
      return "a boolean";
    case json::kind::string:
      return "a string";
    case json::kind::array:
      return "a list";
    case json::kind::object:
      return "an object";
    default:
      return "a number";
  }
}

}  // namespace cardloom
