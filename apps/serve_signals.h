#pragma once

#include <chrono>

namespace cardloom::app {

enum class ServeSignal { kNone, kStop, kReload };

/// SIGTERM and SIGINT (stop), SIGHUP (reload) for whoever waits, and for nobody else: made before
/// any thread, which inherits that it does not get them. SIGPIPE is ignored for good.
class ServeSignals {
 public:
  ServeSignals();

  /// The next signal, waiting for it so long at the most.
  [[nodiscard]] ServeSignal wait(std::chrono::milliseconds limit);
};

}  // namespace cardloom::app
