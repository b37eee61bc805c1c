#pragma once

#include <string>

#include "apps/option_table.h"

namespace cardloom::app {

/// The script that makes `shell` complete commands, options, their values and files. Throws
/// Failure(kExitUsage) for a shell other than bash, zsh and fish.
[[nodiscard]] std::string completion_script(const std::string& shell, const CommandInfo& root);

}  // namespace cardloom::app
