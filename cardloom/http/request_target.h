#pragma once

#include <string>
#include <string_view>

#include "cardloom/base/result.h"

namespace cardloom::http {

struct RequestTarget {
  std::string path;   ///< decoded; begins with '/', or is "*"
  std::string query;  ///< as sent, without '?'
};

/// "/a%20b?c" is {"/a b", "c"}; "http://host/a" is {"/a", ""}.
/// Returns kInvalidArgument if it is neither, has a fragment, is badly encoded, or if the decoded
/// path has a control character (NUL among them) or a ".." segment.
Result<RequestTarget> parse_target(std::string_view target);

}  // namespace cardloom::http
