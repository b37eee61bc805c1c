#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "cardloom/backend/cpu/isa.h"
#include "cardloom/base/location.h"

namespace cardloom::cpu {

/// What some cores together can do at best; 0 for a unit that they have not. A multiply-add counts
/// as 2 operations.
struct MachineFigures {
  int num_threads = 0;
  double read_bytes_per_s = 0;
  double f32_flops = 0;       ///< operations a second, of the widest vectors there are
  double avx2_f32_flops = 0;  ///< the same on path avx2
  double plain_f32_flops = 0;
  double bf16_flops = 0;  ///< the dot instruction
  double vnni_ops = 0;
  double amx_bf16_flops = 0;
  double amx_int8_ops = 0;
};

struct MachineProbeOptions {
  std::vector<int> cpus = {0};  ///< operating-system numbers, one a thread
  bool pinned = true;
  std::int64_t read_bytes = std::int64_t{1} << 30;  ///< more than any cache, or it is no memory
};

/// Measures the limits that speeds are compared with: reading memory (huge pages), the arithmetic
/// units, and how long a line takes from core to core and back.
///
///     MachineProbe probe({.cpus = {0, 1}});
///     for (round ...) { probe.measure(); run_what_is_compared(); }
///     use(probe.figures(2));
///
/// A shared machine drifts: so measure() is short (0.4 s on two cores), meant to be called between
/// the runs that are compared, and figures are medians over its calls.
class MachineProbe {
 public:
  /// Takes the memory and writes it once. Throws kInvalidArgument without a CPU or for less than
  /// 1 MiB to read, kResourceExhausted if memory is short.
  explicit MachineProbe(MachineProbeOptions options, Location caller = Location::current());
  ~MachineProbe();
  MachineProbe(const MachineProbe&) = delete;
  MachineProbe& operator=(const MachineProbe&) = delete;

  /// One measurement of everything, with 1 thread and with all.
  void measure();

  /// Gives the memory that is read back: measure() may not be called again.
  void release_memory();

  /// Medians so far, of the first CPU alone (1) or of all (any other number). 0 before measure().
  [[nodiscard]] MachineFigures figures(int num_threads) const;
  /// Nanoseconds from the first CPU to the second and back; 0 if there is only one.
  [[nodiscard]] double round_trip_ns() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cardloom::cpu
