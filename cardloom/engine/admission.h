#pragma once

#include "cardloom/engine/engine.h"

namespace cardloom {

/// Whether a model with a context of `context_tokens` can run `request` at all; kInvalidArgument
/// with the numbers of the first rule it breaks, as Engine::submit says.
Status check_request(const Request& request, const ModelInfo& model, std::int64_t context_tokens,
                     Location caller = Location::current());

}  // namespace cardloom
