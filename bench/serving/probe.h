#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cardloom::bench {

/// The server that is measured: a process of this machine.
struct Target {
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;
  int pid = 0;
};

/// A connected TCP socket to `target`. Throws kUnavailable.
[[nodiscard]] int connect_to(const Target& target);

struct Answer {
  int status = 0;  ///< 0: none
  std::string text;
  double seconds = 0;  ///< from connecting to the last byte
};
/// GET on a connection of its own. Throws kUnavailable if there is no connection.
[[nodiscard]] Answer get(const Target& target, const std::string& path);

/// What the server and the machine have come to, at one moment.
struct Sample {
  double at_s = 0;  ///< steady clock
  // /metrics:
  double steps = 0;
  double step_s = 0;
  double tokens = 0;
  double running = 0;
  double waiting = 0;
  double kv_usage = 0;  ///< part of the blocks that sequences use
  // /proc, in seconds of CPU:
  double server_cpu = 0;
  double io_cpu = 0;  ///< of its I/O threads
  double own_cpu = 0;
  double machine_cpu = 0;  ///< of all processes
  double rss_bytes = 0;    ///< of the server
};
[[nodiscard]] Sample take_sample(const Target& target);

/// Part of the machine's cores that neither the server nor this program used in between.
[[nodiscard]] double others_share(const Sample& before, const Sample& after);

[[nodiscard]] double now_s();

/// The nearest rank; 0 if there are no values.
[[nodiscard]] double quantile(std::vector<double> values, double part);

}  // namespace cardloom::bench
