#pragma once

namespace cardloom::server {

/// From here on this process may compute, take memory, and read and write what it has open: any
/// other system call kills it at once. For a process with one thread, which needs no more to turn
/// bytes into pixels. False if the kernel has no such filters; then nothing is changed.
[[nodiscard]] bool enter_picture_sandbox();

}  // namespace cardloom::server
