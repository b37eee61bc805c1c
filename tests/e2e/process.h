#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

namespace cardloom::e2e {

/// How a program ended and what it wrote.
struct Outcome {
  int exit_code = -1;  ///< 128 + signal if one ended it
  std::string out;
  std::string err;
};

struct ProcessOptions {
  std::string input{};                       ///< of stdin, which is a pipe
  std::map<std::string, std::string> env{};  ///< beside our own
  std::size_t address_space_bytes = 0;       ///< RLIMIT_AS; 0: as ours
  std::string out_path{};                    ///< stdout goes there instead; "" : to Outcome::out
  std::chrono::seconds deadline{300};        ///< then it is killed, which no test survives
};

/// Runs `arguments` ([0] is the program, by path) without a shell.
Outcome run_process(const std::vector<std::string>& arguments, const ProcessOptions& options = {});

/// Runs the built `cardloom`.
Outcome cardloom(std::vector<std::string> arguments, const ProcessOptions& options = {});

/// A program on a terminal of its own.
class TerminalProcess {
 public:
  explicit TerminalProcess(const std::vector<std::string>& arguments);
  ~TerminalProcess();
  TerminalProcess(const TerminalProcess&) = delete;
  TerminalProcess& operator=(const TerminalProcess&) = delete;

  void type(const std::string& text) const;
  /// Reads until the terminal has shown `text` after the last text waited for; false after the
  /// deadline or the program's end.
  bool wait_for(const std::string& text);
  /// The same for any text of `size` bytes.
  bool wait_for_bytes(std::size_t size);
  /// Its exit code, once it has ended.
  int wait();
  [[nodiscard]] const std::string& shown() const { return shown_; }

 private:
  template <class Find>
  bool wait_until_found(Find find);

  int pid_ = -1;
  int terminal_ = -1;
  std::string shown_;
  std::size_t seen_ = 0;
};

}  // namespace cardloom::e2e
