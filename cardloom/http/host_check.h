#pragma once

#include <span>
#include <string>
#include <string_view>

namespace cardloom::http {

/// Whether only this machine reaches `address`: "localhost", 127.0.0.0/8, ::1 or its IPv4-mapped
/// form, IPv6 with or without brackets.
[[nodiscard]] bool is_loopback(std::string_view address);

/// Whether a request with this Host header (or authority of an Origin) may be served by a server
/// that listens on loopback. A page of evil.example whose name was made to point to 127.0.0.1 (DNS
/// rebinding) reaches the server, but its browser sends "Host: evil.example".
///
/// Accepted: loopback as above and `names`, whatever the port. Letters may have any case.
[[nodiscard]] bool is_acceptable_host(std::string_view host, std::span<const std::string> names);

}  // namespace cardloom::http
