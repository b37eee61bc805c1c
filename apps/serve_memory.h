#pragma once

#include "apps/memory.h"

namespace cardloom::app {

/// The plan of a server: what `plan` reserves, this program as it is now, and what requests can
/// come to take by the options' limits.
[[nodiscard]] server::MemoryTable serve_memory(const RunPlan& plan, const ServeOptions& options,
                                               const glm4v::Glm4vConfig& config);

/// The plan on stderr, unless that is to be quiet, and a warning if requests could take more than
/// is free.
void say_memory(const ServeOptions& options, const server::MemoryTable& table);

}  // namespace cardloom::app
