#include "cardloom/http/request_target.h"

#include <fmt/format.h>

#include <algorithm>

#include "cardloom/base/ascii.h"

namespace cardloom::http {
namespace {

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

/// A backslash counts as a separator: some file systems and proxies take it for one.
bool climbs(std::string_view path) {
  std::size_t begin = 0;
  while (begin <= path.size()) {
    const std::size_t end = std::min(path.find_first_of("/\\", begin), path.size());
    if (path.substr(begin, end - begin) == "..") return true;
    begin = end + 1;
  }
  return false;
}

/// "http://host/path" without "http://host"; other targets as they are.
std::string_view without_authority(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (target.substr(0, scheme.size()) != scheme) continue;
    const std::size_t slash = target.find_first_of("/?", scheme.size());
    return slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  return target;
}

Error bad_target(std::string message) {
  return make_error(ErrorCode::kInvalidArgument, std::move(message));
}

}  // namespace

Result<RequestTarget> parse_target(std::string_view target) {
  if (target == "*") return RequestTarget{.path = "*", .query = ""};
  const std::string_view local = without_authority(target);
  if (local.empty() || local[0] != '/') {
    return bad_target("the request target must begin with '/' or be an http URL with a path");
  }
  if (local.find('#') != std::string_view::npos) {
    return bad_target("the request target must not have a fragment ('#')");
  }
  const std::size_t question = std::min(local.find('?'), local.size());
  std::optional<std::string> path = percent_decode(local.substr(0, question));
  if (!path) {
    return bad_target("every '%' of the path must be followed by two hexadecimal digits");
  }
  if (std::any_of(path->begin(), path->end(), is_control)) {
    return bad_target("the decoded path must not have NUL or other control characters");
  }
  if (climbs(*path)) return bad_target("the path must not have a '..' segment");
  const std::string_view query = local.substr(std::min(question + 1, local.size()));
  return RequestTarget{.path = std::move(*path), .query = std::string(query)};
}

}  // namespace cardloom::http
