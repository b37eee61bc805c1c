#pragma once

#include <string>
#include <vector>

#include "cardloom/backend/cpu/cpu_device.h"
#include "cardloom/base/error.h"
#include "cardloom/device/stream.h"

namespace cardloom::testing {

/// One CPU card with its log and stream, as a rank has them.
struct Card {
  explicit Card(cpu::Isa isa, int num_threads = 1)
      : device(0, {.cpus = std::vector<int>(static_cast<std::size_t>(num_threads), 0),
                   .pinned = false,
                   .isa = isa}),
        stream(device, log) {}

  cpu::CpuDevice device;
  OpLog log;
  Stream stream;
};

/// The message of the Exception that `call` throws, or "" if it throws none.
template <class Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const Exception& failure) {
    return failure.error().message;
  }
  return "";
}

}  // namespace cardloom::testing
