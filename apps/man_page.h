#pragma once

#include <string>

#include "apps/option_table.h"

namespace cardloom::app {

/// The manual page cardloom(1) in roff's man macros. The same for the same option table: no date.
[[nodiscard]] std::string man_page(const CommandInfo& root);

}  // namespace cardloom::app
