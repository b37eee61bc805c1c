#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apps/bench_serve_load.h"

namespace cardloom::app {

struct ClientOptions {
  std::string host = "127.0.0.1";
  std::uint16_t port = 8000;
  std::string path_prefix;  ///< before /v1/...
  std::string api_key;
  std::int64_t concurrency = 0;  ///< requests under way at most; 0: any number
  std::string model;
  std::string picture;         ///< a data: URL shown with each prompt; "": none
  bool shared_prefix = false;  ///< prompts begin alike: a prefix cache may help
  double timeout_s = 600;
  /// Lengths are kept by min_tokens, which fewer servers know than ignore_eos, but which leaves out
  /// the ends of turns: these are tokens without text, so that two steps pass before the next
  /// event.
  bool min_tokens = false;
  /// Connections are used again when their answer is complete, as clients with a pool do.
  bool keep_connections = false;
};

/// What became of one request. Times in seconds after the start of the load.
struct RequestOutcome {
  LoadRequest request;
  double sent = 0;
  double head = 0;             ///< the status line came
  std::vector<double> tokens;  ///< when each chunk of the answer came
  double end = 0;
  int status = 0;                      ///< 0: no answer
  bool is_complete = false;            ///< up to data: [DONE]
  std::int64_t completion_tokens = 0;  ///< as the server counts them
  bool retry_after = false;            ///< the server said when to come again
  std::string error;

  [[nodiscard]] bool ok() const { return status == 200 && is_complete; }
};

/// Sends a load to an OpenAI server, each request as a stream of its own connection (unless they
/// are kept), from this one thread; returns when all are answered, failed, or out of time.
[[nodiscard]] std::vector<RequestOutcome> run_load(const std::vector<LoadRequest>& load,
                                                   const ClientOptions& options);

}  // namespace cardloom::app
