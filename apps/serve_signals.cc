#include "apps/serve_signals.h"

#include <pthread.h>

#include <csignal>
#include <ctime>

namespace cardloom::app {
namespace {

sigset_t our_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, number);
  return set;
}

}  // namespace

ServeSignals::ServeSignals() {
  const sigset_t set = our_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);  // a client that hangs up is no reason to end
}

ServeSignal ServeSignals::wait(std::chrono::milliseconds limit) {
  const sigset_t set = our_signals();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(limit);
  const timespec timeout{seconds.count(), std::chrono::nanoseconds(limit - seconds).count()};
  const int number = sigtimedwait(&set, nullptr, &timeout);
  if (number == SIGHUP) return ServeSignal::kReload;
  return number < 0 ? ServeSignal::kNone : ServeSignal::kStop;
}

}  // namespace cardloom::app
