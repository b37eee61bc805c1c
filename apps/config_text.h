#pragma once

#include <string>
#include <vector>

#include "apps/option_source.h"
#include "cardloom/base/json.h"

/// Settings as people and programs read them.
namespace cardloom::app {

/// A settings file with what `command` would run with; what is not set stands in comments. With
/// `origin` each line says where its value comes from. Secrets are "***".
[[nodiscard]] std::string settings_toml(const CommandInfo& command,
                                        const std::vector<Setting>& settings, bool origin);

/// {"command", "file", "options": {"tp": {"value", "origin"}, ...}}; null for what is not set.
[[nodiscard]] json::object settings_json(const CommandInfo& command,
                                         const std::vector<Setting>& settings,
                                         const ConfigFile& file);

/// A settings file in which every option of `from`, a command or the whole program, stands in a
/// comment ("#tp = 1") below its help ("# cards to ...").
[[nodiscard]] std::string initial_config(const CommandInfo& from);

}  // namespace cardloom::app
