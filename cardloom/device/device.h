#pragma once

#include <string>
#include <string_view>

#include "cardloom/base/parallel.h"
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
  /// Moves the calling thread to the card: a stream's executor before its first kernel, and the
  /// thread that first writes the card's weights (a CPU card pins it to its first core, so that
  /// pages come to lie in the memory next to it).
  virtual void bind_thread() = 0;
  /// How many threads (CPU) work on one kernel.
  [[nodiscard]] virtual int num_threads() const = 0;
  /// Work of the host for the card on all of its threads, as a ParallelFor (a CPU card packs its
  /// weights so). Only from a thread that bind_thread() moved here, and while no stream runs.
  virtual void parallel_for(std::int64_t count, const std::function<void(std::int64_t)>& body) {
    run_serially(count, body);
  }
  /// The instruction path that decides the bits of results: "avx512_bf16", "avx2", "plain".
  [[nodiscard]] virtual std::string_view instruction_path() const = 0;
};

}  // namespace cardloom
