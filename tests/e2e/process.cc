#include "tests/e2e/process.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <stdexcept>

namespace cardloom::e2e {
namespace {

using Clock = std::chrono::steady_clock;

struct Pipe {
  int ends[2] = {-1, -1};
  Pipe() {
    if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  }
  ~Pipe() {
    close_end(0);
    close_end(1);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void close_end(int end) {
    if (ends[end] >= 0) close(ends[end]);
    ends[end] = -1;
  }
};

[[noreturn]] void execute(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  execv(argv[0], argv.data());
  _exit(127);
}

int exit_code_of(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void prepare_child(const ProcessOptions& options, const Pipe& in, const Pipe& out,
                   const Pipe& err) {
  dup2(in.ends[0], STDIN_FILENO);
  dup2(out.ends[1], STDOUT_FILENO);
  dup2(err.ends[1], STDERR_FILENO);
  if (!options.out_path.empty()) {
    dup2(open(options.out_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644), STDOUT_FILENO);
  }
  for (const auto& [name, value] : options.env) setenv(name.c_str(), value.c_str(), 1);
  if (options.address_space_bytes > 0) {
    const rlimit limit{options.address_space_bytes, options.address_space_bytes};
    setrlimit(RLIMIT_AS, &limit);
  }
}

/// Appends what is there; false at the end of the stream.
bool drain(int fd, std::string& text) {
  char buffer[4096];
  const ssize_t count = read(fd, buffer, sizeof buffer);
  if (count <= 0) return false;
  text.append(buffer, static_cast<std::size_t>(count));
  return true;
}

}  // namespace

Outcome run_process(const std::vector<std::string>& arguments, const ProcessOptions& options) {
  Pipe in;
  Pipe out;
  Pipe err;
  const pid_t pid = fork();
  if (pid < 0) throw std::runtime_error("no process");
  if (pid == 0) {
    prepare_child(options, in, out, err);
    execute(arguments);
  }
  in.close_end(0);
  out.close_end(1);
  err.close_end(1);
  std::signal(SIGPIPE, SIG_IGN);  // a program that does not read its input is no failure of ours
  if (!options.input.empty()) {
    static_cast<void>(!write(in.ends[1], options.input.data(), options.input.size()));
  }
  in.close_end(1);

  Outcome outcome;
  const Clock::time_point deadline = Clock::now() + options.deadline;
  bool open_streams[2] = {true, true};
  while (open_streams[0] || open_streams[1]) {
    pollfd streams[2] = {{open_streams[0] ? out.ends[0] : -1, POLLIN, 0},
                         {open_streams[1] ? err.ends[0] : -1, POLLIN, 0}};
    poll(streams, 2, 100);
    if (streams[0].revents != 0) open_streams[0] = drain(out.ends[0], outcome.out);
    if (streams[1].revents != 0) open_streams[1] = drain(err.ends[0], outcome.err);
    if (Clock::now() > deadline) kill(pid, SIGKILL);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  outcome.exit_code = exit_code_of(status);
  return outcome;
}

Outcome cardloom(std::vector<std::string> arguments, const ProcessOptions& options) {
  arguments.insert(arguments.begin(), CARDLOOM_BINARY);
  return run_process(arguments, options);
}

TerminalProcess::TerminalProcess(const std::vector<std::string>& arguments) {
  pid_ = forkpty(&terminal_, nullptr, nullptr, nullptr);
  if (pid_ < 0) throw std::runtime_error("no terminal");
  if (pid_ == 0) execute(arguments);
}

TerminalProcess::~TerminalProcess() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  if (terminal_ >= 0) close(terminal_);
}

void TerminalProcess::type(const std::string& text) const {
  static_cast<void>(!write(terminal_, text.data(), text.size()));
}

/// `find` gives the end of what was found, or npos.
template <class Find>
bool TerminalProcess::wait_until_found(Find find) {
  const Clock::time_point deadline = Clock::now() + std::chrono::seconds(60);
  for (;;) {
    const std::size_t end = find();
    if (end != std::string::npos) {
      seen_ = end;
      return true;
    }
    pollfd stream{terminal_, POLLIN, 0};
    poll(&stream, 1, 100);
    if (stream.revents != 0 && !drain(terminal_, shown_)) return false;
    if (Clock::now() > deadline) return false;
  }
}

bool TerminalProcess::wait_for(const std::string& text) {
  return wait_until_found([&] {
    const std::size_t found = shown_.find(text, seen_);
    return found == std::string::npos ? found : found + text.size();
  });
}

bool TerminalProcess::wait_for_bytes(std::size_t size) {
  return wait_until_found(
      [&] { return shown_.size() < seen_ + size ? std::string::npos : seen_ + size; });
}

int TerminalProcess::wait() {
  while (drain(terminal_, shown_)) {
  }
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  return exit_code_of(status);
}

}  // namespace cardloom::e2e
