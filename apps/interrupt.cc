#include "apps/interrupt.h"

#include <unistd.h>

#include <csignal>

#include "apps/failure.h"

namespace cardloom::app::interrupt {
namespace {

/// A signal handler can reach nothing but globals.
volatile std::sig_atomic_t pending = 0;

void on_signal(int /*number*/) {
  if (pending != 0) _exit(kExitInterrupted);
  pending = 1;
}

}  // namespace

void install() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = 0;  // no SA_RESTART: a read at the prompt must return
  sigaction(SIGINT, &action, nullptr);
}

bool requested() { return pending != 0; }
void clear() { pending = 0; }

}  // namespace cardloom::app::interrupt
