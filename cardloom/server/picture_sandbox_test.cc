#include "cardloom/server/picture_sandbox.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

namespace cardloom::server {
namespace {

constexpr int kNoSandbox = 3;

/// How a process ends that does `work` in the sandbox.
int ending_of(const std::function<void()>& work) {
  const pid_t pid = fork();
  if (pid == 0) {
    if (!enter_picture_sandbox()) _exit(kNoSandbox);
    work();
    _exit(0);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  return status;
}

bool has_sandbox() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return false;  // they make calls of their own
#else
  const int status = ending_of([] {});
  return !WIFEXITED(status) || WEXITSTATUS(status) != kNoSandbox;
#endif
}

TEST(PictureSandbox, LetsADecoderWork) {
  if (!has_sandbox()) GTEST_SKIP() << "this kernel, or a sanitizer, has no use for filters";
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const int status = ending_of([&] {
    std::vector<std::string> heap;
    for (int size = 1; size < 1 << 24; size *= 2) {
      heap.emplace_back(static_cast<std::size_t>(size), 'x');
    }
    heap.clear();
    rlimit cpu{};
    if (getrlimit(RLIMIT_CPU, &cpu) != 0 || setrlimit(RLIMIT_CPU, &cpu) != 0) _exit(1);
    if (send(ends[1], "done", 4, MSG_NOSIGNAL) != 4) _exit(1);
  });
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  char text[4];
  EXPECT_EQ(recv(ends[0], text, sizeof text, 0), 4);
  close(ends[0]);
  close(ends[1]);
}

TEST(PictureSandbox, KillsWhoeverAsksForMore) {
  if (!has_sandbox()) GTEST_SKIP() << "this kernel, or a sanitizer, has no use for filters";
  const std::vector<std::pair<const char*, std::function<void()>>> attempts = {
      {"open", [] { static_cast<void>(!open("/etc/passwd", O_RDONLY)); }},
      {"socket", [] { static_cast<void>(!socket(AF_INET, SOCK_STREAM, 0)); }},
      {"fork", [] { static_cast<void>(!fork()); }},
      {"execve", [] { execl("/bin/true", "true", nullptr); }},
      {"kill", [] { kill(getppid(), 0); }},
      {"unlink", [] { unlink("/no/such/file"); }},
      {"prlimit of another", [] { prlimit(getppid(), RLIMIT_CPU, nullptr, nullptr); }},
      {"prctl", [] { prctl(PR_SET_DUMPABLE, 1); }},
  };
  for (const auto& [what, attempt] : attempts) {
    const int status = ending_of(attempt);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) << what << ": " << status;
  }
}

}  // namespace
}  // namespace cardloom::server
