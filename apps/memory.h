#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "apps/commands.h"
#include "cardloom/models/glm4v/memory_plan.h"

namespace cardloom::app {

/// Bytes that this process could still take: what the system calls available, or less if its
/// cgroup says so. Empty if the system does not say.
[[nodiscard]] std::optional<std::int64_t> available_memory_bytes();

/// The plan for the options' cards, dtype, context and chunk.
[[nodiscard]] glm4v::MemoryPlan plan_for(const glm4v::Glm4vConfig& config,
                                         const CommonOptions& options);

/// What a plan asks of this machine, all of whose cards share one memory.
struct MemoryVerdict {
  double needed_bytes = 0;  ///< floating point: an absurd context must not overflow
  std::optional<std::int64_t> available_bytes;
  std::int64_t context_tokens = 0;
  std::int64_t context_that_fits = 0;  ///< tokens; 0: not even the weights fit

  [[nodiscard]] bool fits() const {
    return !available_bytes || needed_bytes <= static_cast<double>(*available_bytes);
  }
};
[[nodiscard]] MemoryVerdict judge_memory(const glm4v::Glm4vConfig& config,
                                         const CommonOptions& options);

/// Throws Failure(kExitNoMemory), with the numbers and what would fit, unless the plan fits.
void require_memory(const glm4v::Glm4vConfig& config, const CommonOptions& options);

}  // namespace cardloom::app
