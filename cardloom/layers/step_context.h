#pragma once

#include "cardloom/comm/communicator.h"
#include "cardloom/device/stream.h"
#include "cardloom/device/workspace.h"

namespace cardloom {

class Trace;

/// What a layer works with during one step on one rank.
struct StepContext {
  Stream& stream;
  Communicator& comm;  ///< of the tensor-parallel group
  Workspace& workspace;
  Trace* trace =
      nullptr;  ///< set if somebody wants the layers' outputs (`cardloom logits --trace`)
};

}  // namespace cardloom
