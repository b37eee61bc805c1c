#pragma once

#include <string>
#include <string_view>

#include "cardloom/http/http_server.h"

namespace cardloom::http {

/// "Not Found" for 404; "Unknown" for what RFC 9110 does not name.
[[nodiscard]] std::string_view reason_phrase(int status);

/// How the client learns where the body ends.
enum class BodyFraming {
  kLength,   ///< content-length
  kChunked,  ///< HTTP/1.1
  kClose,    ///< HTTP/1.0: by the end of the connection
};

struct ResponseFrame {
  BodyFraming framing = BodyFraming::kLength;
  bool keep_alive = true;
  std::string_view date;  ///< of the `date` header
};

/// Status line, headers and the empty line. Names that are not tokens are left out, and control
/// characters in values become spaces, so that no handler can be made to split an answer;
/// content-length, transfer-encoding and connection are the server's.
[[nodiscard]] std::string response_head(const Response& response, const ResponseFrame& frame);

/// 1xx, 204 and 304 never have a body.
[[nodiscard]] bool may_have_body(int status);

/// `bytes` as one chunk, at the end of `out`. No bytes, no chunk (an empty one ends the body).
void append_chunk(std::string& out, std::string_view bytes);

/// "Sun, 06 Nov 1994 08:49:37 GMT".
[[nodiscard]] std::string http_date(std::int64_t unix_seconds);

}  // namespace cardloom::http
