#pragma once

#include <cstdint>
#include <string>

namespace cardloom {

enum class DeviceKind : std::uint8_t { kCpu };

/// Which card's memory: `cpu:0`. Index = rank of the card in its process.
struct DeviceId {
  DeviceKind kind = DeviceKind::kCpu;
  std::uint8_t index = 0;

  friend bool operator==(const DeviceId&, const DeviceId&) = default;
};

/// "cpu:1".
[[nodiscard]] std::string to_string(DeviceId device);

}  // namespace cardloom
