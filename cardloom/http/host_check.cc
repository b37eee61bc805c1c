#include "cardloom/http/host_check.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <optional>

#include "cardloom/base/ascii.h"

namespace cardloom::http {
namespace {

bool is_port(std::string_view text) {
  return text.size() <= 5 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// "localhost:8000" without ":8000", "[::1]:8000" without brackets too; nothing if malformed.
std::optional<std::string_view> without_port(std::string_view host) {
  if (!host.empty() && host[0] == '[') {
    const std::size_t bracket = host.find(']');
    if (bracket == std::string_view::npos) return std::nullopt;
    const std::string_view rest = host.substr(bracket + 1);
    if (!rest.empty() && (rest[0] != ':' || !is_port(rest.substr(1)))) return std::nullopt;
    const std::string_view address = host.substr(1, bracket - 1);
    // Only IPv6 has brackets: "[localhost]" is nobody's way of writing.
    return address.find(':') == std::string_view::npos ? std::nullopt : std::optional(address);
  }
  const std::size_t colon = host.find(':');
  if (colon == std::string_view::npos) return host;
  if (!is_port(host.substr(colon + 1))) return std::nullopt;
  return host.substr(0, colon);
}

}  // namespace

bool is_loopback(std::string_view address) {
  std::string text = lower_case(address);
  if (text.size() > 2 && text.front() == '[' && text.back() == ']') {
    text = text.substr(1, text.size() - 2);
  }
  if (text == "localhost") return true;
  in_addr v4 = {};
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
  in6_addr v6 = {};
  if (inet_pton(AF_INET6, text.c_str(), &v6) != 1) return false;
  return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
}

bool is_acceptable_host(std::string_view host, std::span<const std::string> names) {
  const std::optional<std::string_view> bare = without_port(host);
  if (!bare || bare->empty() || bare->find('\0') != std::string_view::npos) return false;
  if (is_loopback(*bare)) return true;
  const std::string name = lower_case(*bare);
  return std::any_of(names.begin(), names.end(), [&](const std::string& allowed) {
    return lower_case(without_port(allowed).value_or(allowed)) == name;
  });
}

}  // namespace cardloom::http
