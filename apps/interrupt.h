#pragma once

namespace cardloom::app::interrupt {

/// From now on Ctrl-C sets a flag that loops look at; a second one, unless the first was served by
/// clear(), ends the process with code 130.
void install();
[[nodiscard]] bool requested();
void clear();

/// Waits until there is input to read from `fd`, or it has ended (true), or Ctrl-C came (false).
[[nodiscard]] bool wait_for_input(int fd);

}  // namespace cardloom::app::interrupt
