#pragma once

#include "cardloom/backend/cpu/isa.h"
#include "cardloom/device/device.h"

namespace cardloom::cpu {

/// Bytes of CpuDevice::scratch().
struct ScratchBytes {
  std::int64_t team = 0;    ///< kShared
  std::int64_t worker = 0;  ///< each
};

/// What the kernels of a path take for such calls at the most: a bound, not far above.
///
///   team    the largest of: activations packed for a product (1024 rows at a time), parts of
///           attention (at most 64 MiB) or keys packed for it (16 MiB and one sequence's), and the
///           lists of the largest logits
///   worker  the larger of: a tile of attention, and a product's sums with the tree above them
[[nodiscard]] ScratchBytes scratch_bytes(const ScratchNeeds& needs, Isa isa);

/// What ranks of a group of `world_size` use of each of their two buffers of `buffer_bytes`.
[[nodiscard]] std::int64_t exchange_bytes(const ScratchNeeds& needs, int world_size,
                                          std::int64_t buffer_bytes);

}  // namespace cardloom::cpu
