#pragma once

#include <string>
#include <string_view>

#include "cardloom/device/kernel_table.h"
#include "cardloom/tensor/device_id.h"

namespace cardloom {

/// A card: something that holds one shard of the model and runs kernels on it.
class Device {
 public:
  virtual ~Device() = default;
  Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  [[nodiscard]] virtual DeviceId id() const = 0;
  [[nodiscard]] virtual const KernelTable& kernels() const = 0;
  /// Called once on a stream's executor thread before its first kernel (a CPU card pins it).
  virtual void bind_executor() = 0;
  /// How many threads (CPU) work on one kernel.
  [[nodiscard]] virtual int num_threads() const = 0;
  /// The instruction path that decides the bits of results: "avx512_bf16", "avx2", "plain".
  [[nodiscard]] virtual std::string_view instruction_path() const = 0;
};

}  // namespace cardloom
