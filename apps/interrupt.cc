#include "apps/interrupt.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "apps/failure.h"

namespace cardloom::app::interrupt {
namespace {

/// A signal handler can reach nothing but globals.
volatile std::sig_atomic_t pending = 0;
/// The system may run the handler on any of our threads, so a reader cannot count on EINTR: it
/// polls this pipe.
int wake_pipe[2] = {-1, -1};

void on_signal(int /*number*/) {
  if (pending != 0) _exit(kExitInterrupted);
  pending = 1;
  const int saved = errno;
  static_cast<void>(!write(wake_pipe[1], "!", 1));
  errno = saved;
}

}  // namespace

void install() {
  if (wake_pipe[0] < 0 && pipe2(wake_pipe, O_CLOEXEC | O_NONBLOCK) != 0) return;  // Ctrl-C kills
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
}

bool requested() { return pending != 0; }

void clear() {
  char bytes[16];
  while (read(wake_pipe[0], bytes, sizeof bytes) > 0) {
  }
  pending = 0;
}

bool wait_for_input(int fd) {
  for (;;) {
    pollfd ends[2] = {{fd, POLLIN, 0}, {wake_pipe[0], POLLIN, 0}};
    poll(ends, 2, -1);  // EINTR: the pipe has the news at the next turn
    if (ends[1].revents != 0 || requested()) return false;
    if (ends[0].revents != 0) return true;
  }
}

}  // namespace cardloom::app::interrupt
