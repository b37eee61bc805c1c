#include "cardloom/server/picture_sandbox.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace cardloom::server {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
constexpr std::uint32_t kArchitecture = 0;  // no filter: the numbers below mean something else
#endif

/// What a picture needs, and how the C library does it: orders and answers come and go, memory is
/// taken and given back, time is looked at and limited.
constexpr std::array kAllowed = {
    SYS_read,      SYS_write,           SYS_recvfrom,
    SYS_sendto,    SYS_ppoll,           SYS_brk,
    SYS_mmap,      SYS_munmap,          SYS_mremap,
    SYS_madvise,   SYS_mprotect,        SYS_futex,
    SYS_getrandom, SYS_sched_yield,     SYS_clock_gettime,
    SYS_getrusage, SYS_restart_syscall, SYS_rt_sigreturn,
    SYS_exit,      SYS_exit_group,
#ifdef SYS_poll  // younger architectures have ppoll alone
    SYS_poll,
#endif
};

sock_filter load(std::size_t offset) {
  return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset));
}
sock_filter end(std::uint32_t verdict) { return BPF_STMT(BPF_RET | BPF_K, verdict); }
/// Goes on with the next line if the value is `value`, else with the one after it.
sock_filter if_equal(std::uint32_t value) {
  return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
}

/// prlimit64 is how the C library sets limits: of this process, not of another one of the same
/// user.
void append_own_limits(std::vector<sock_filter>& lines) {
  const std::size_t pid = offsetof(seccomp_data, args);
  lines.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prlimit64, 0, 6));
  lines.push_back(load(pid));
  lines.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 3));
  lines.push_back(load(pid + sizeof(std::uint32_t)));
  lines.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1));
  lines.push_back(end(SECCOMP_RET_ALLOW));
  lines.push_back(end(SECCOMP_RET_KILL_PROCESS));
}

}  // namespace

bool enter_picture_sandbox() {
  if (kArchitecture == 0) return false;
  std::vector<sock_filter> lines = {
      load(offsetof(seccomp_data, arch)),
      // A call by the numbers of another architecture would slip past the list.
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0),
      end(SECCOMP_RET_KILL_PROCESS),
      load(offsetof(seccomp_data, nr)),
  };
  for (const long number : kAllowed) {
    lines.push_back(if_equal(static_cast<std::uint32_t>(number)));
    lines.push_back(end(SECCOMP_RET_ALLOW));
  }
  append_own_limits(lines);
  lines.push_back(end(SECCOMP_RET_KILL_PROCESS));
  const sock_fprog program{static_cast<unsigned short>(lines.size()), lines.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

}  // namespace cardloom::server
