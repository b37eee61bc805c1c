#pragma once

namespace cardloom::app::interrupt {

/// From now on Ctrl-C sets a flag that loops look at; a second one, unless the first was served by
/// clear(), ends the process with code 130. A pending read returns early (EINTR).
void install();
[[nodiscard]] bool requested();
void clear();

}  // namespace cardloom::app::interrupt
