#pragma once

#include "apps/generation.h"

namespace cardloom::app {

/// A conversation on the terminal: lines in, answers streamed; /image, /clear, /stats, /help,
/// /exit. Ctrl-C stops an answer; at the prompt, twice leaves. Returns the exit code.
int run_chat(const RunOptions& options, const Checkpoint& checkpoint, LoadedEngine& loaded);

}  // namespace cardloom::app
