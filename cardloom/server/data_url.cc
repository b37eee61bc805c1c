#include "cardloom/server/data_url.h"

#include <fmt/format.h>

#include "cardloom/base/base64.h"

namespace cardloom::server {

Result<std::string> decode_data_url(std::string_view url, std::int64_t max_bytes) {
  constexpr std::string_view kScheme = "data:";
  constexpr std::string_view kBase64 = ";base64";
  // Parameters are short; a comma far out belongs to something else.
  constexpr std::size_t kMaxHead = 256;
  const std::size_t comma = url.substr(0, kMaxHead).find(',');
  if (!url.starts_with(kScheme) || comma == std::string_view::npos ||
      !url.substr(0, comma).ends_with(kBase64)) {
    return make_error(ErrorCode::kInvalidArgument, "this is no data: URL with base64 data", {},
                      "send data:image/jpeg;base64, and the picture's bytes in base64");
  }
  const std::string_view data = url.substr(comma + 1);
  const std::size_t padding = data.ends_with("==") ? 2 : data.ends_with('=') ? 1 : 0;
  const std::int64_t num_bytes =
      static_cast<std::int64_t>(data.size() / 4 * 3) - static_cast<std::int64_t>(padding);
  if (num_bytes > max_bytes) {
    return make_error(
        ErrorCode::kResourceExhausted,
        fmt::format("the picture has {} bytes, but {} are allowed", num_bytes, max_bytes), {},
        "send a smaller picture; the model sees it at its own size anyway");
  }
  return decode_base64(data);
}

}  // namespace cardloom::server
