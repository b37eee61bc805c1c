#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "apps/commands.h"
#include "apps/session.h"
#include "cardloom/device/device.h"
#include "cardloom/engine/model_runner.h"
#include "cardloom/models/glm4v/memory_plan.h"
#include "cardloom/server/memory_table.h"

namespace cardloom::app {

/// Bytes that this process could still take: what the system calls available, or less if its
/// cgroup says so. Empty if the system does not say.
[[nodiscard]] std::optional<std::int64_t> available_memory_bytes();

/// What a run of a model reserves, before anything is loaded. All plans of memory are made here.
struct RunPlan {
  int threads_per_card = 1;
  glm4v::MemoryPlan model;
  RankLimits limits;
  std::vector<RankBytes> ranks;       ///< [rank]
  std::vector<ScratchNeeds> scratch;  ///< [rank]
  server::MemoryTable table;          ///< the same in lines; requests are added by serve
  double rate = 0;                    ///< bytes of KV cache a token, all cards

  [[nodiscard]] std::int64_t total_bytes() const { return table.reserved_bytes(); }
};
[[nodiscard]] RunPlan plan_run(const glm4v::Glm4vConfig& config, const CommonOptions& options,
                               const EngineNeeds& needs = {});

/// What a plan asks of this machine, all of whose cards share one memory.
struct MemoryVerdict {
  double needed_bytes = 0;  ///< floating point: an absurd context must not overflow
  std::optional<std::int64_t> available_bytes;
  std::int64_t kv_tokens = 0;        ///< of all sequences
  std::int64_t tokens_that_fit = 0;  ///< 0: not even the weights fit

  [[nodiscard]] bool fits() const {
    return !available_bytes || needed_bytes <= static_cast<double>(*available_bytes);
  }
};
[[nodiscard]] MemoryVerdict judge_memory(const glm4v::Glm4vConfig& config,
                                         const CommonOptions& options,
                                         const EngineNeeds& needs = {});

/// The plan, if it fits. Throws Failure(kExitNoMemory), with the numbers and what would fit, if
/// not.
RunPlan require_memory(const glm4v::Glm4vConfig& config, const CommonOptions& options,
                       const EngineNeeds& needs);

/// The plan as a table for people: one column a card, one for what belongs to none, one for all.
[[nodiscard]] std::string memory_text(const server::MemoryTable& table);

}  // namespace cardloom::app
