#pragma once

#include <cstdint>
#include <string>

namespace cardloom::http {

/// Who listens on a TCP port of this machine: "nginx (process 4711)"; "" if that cannot be seen,
/// such as a program of another user.
[[nodiscard]] std::string port_holder(std::uint16_t port);

}  // namespace cardloom::http
