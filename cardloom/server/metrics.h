#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "cardloom/api/reply_writer.h"
#include "cardloom/engine/engine_loop.h"
#include "cardloom/http/http_server.h"
#include "cardloom/server/memory_table.h"

namespace cardloom::server {

/// What the caches are, for people to read.
struct CacheText {
  std::int64_t block_size = 0;  ///< tokens
  std::string kv_cache;         ///< "bf16", "q8"
  std::int64_t num_picture_slots = 0;
};

/// What the server counts, in Prometheus' text format. Observed once a request or once a token's
/// step, from any thread; the engine's own counters are read when somebody asks.
class Metrics {
 public:
  /// What is read when somebody asks.
  struct Sources {
    std::function<EngineStats()> engine;
    std::function<http::ServerStats()> http;
    std::string version;
    std::string isa;
    CacheText cache{};
    const MemoryTable* memory = nullptr;  ///< none while the model is loaded
  };

  /// `vllm_names`: the same under vLLM's names too, for dashboards that know those. `model`: the
  /// label they choose by.
  explicit Metrics(bool vllm_names = false, const std::string& model = {});
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  void observe_http(std::string_view handler, std::string_view method, int status, double seconds);
  /// Of a request that was refused before its body was read.
  void count_http(std::string_view handler, std::string_view method, int status);
  void observe_rejection(std::string_view reason);
  void observe_cancel(std::string_view by);
  /// A request's picture, by its first bytes; `result` is "ok" or "refused".
  void observe_picture(std::string_view bytes, std::string_view result);
  /// What a request asks for; `max_tokens` 0: it does not say.
  void observe_wishes(std::int64_t n, std::int64_t max_tokens);
  void observe_first_token(double seconds);
  void observe_token_gap(double seconds);
  /// A reply that is complete.
  void observe_reply(std::string_view finish_reason, const api::Usage& usage,
                     const api::ReplyTimings& timings, double total_s);

  /// The text of /metrics.
  [[nodiscard]] std::string text(const Sources& sources) const;

 private:
  struct Series;  // keeps prometheus-cpp out of everybody's includes
  std::unique_ptr<Series> series_;
};

}  // namespace cardloom::server
