#include "apps/serve_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "apps/text.h"
#include "cardloom/grammar/grammar.h"
#include "cardloom/http/http_server.h"
#include "cardloom/server/json_size.h"

namespace cardloom::app {
namespace {

/// Of a row that waits or runs: its id and position in the prompt, the id again in the sequence,
/// its text in the conversation, and its part of a block's key.
constexpr std::int64_t kRowBytes = 32;
/// Of a token of a reply with 20 others and their logarithms: names, bytes and numbers.
constexpr std::int64_t kReplyTokenBytes = 4096;
/// While a request is read: its body is there as strings of JSON and of the request, and a picture
/// as its file's bytes.
constexpr std::int64_t kBodyCopies = 3;
/// Of a connection beside what it is sent: coroutine, parser, buffer; and with TLS its records.
constexpr std::int64_t kConnectionBytes = 12 << 10;
constexpr std::int64_t kTlsBytes = 40 << 10;
/// Of a thread: what it touches of its stack, its malloc arena's first pages, and its part of what
/// is made after the plan. Measured: 300 to 330 KiB with 10 to 15 threads.
constexpr std::int64_t kThreadBytes = 320 << 10;
/// Of a choice among all tokens: candidates, probabilities, logarithms.
constexpr std::int64_t kChoiceBytes = 32;

std::int64_t pixel_bytes(const glm4v::Glm4vConfig& config) {
  if (!config.vision) return 0;
  return size_of(DType::kF32) * 3 * config.vision->image_size * config.vision->image_size;
}

/// By the worker's own limits: its output, a picture's bytes, and its pixels three times.
std::int64_t picture_process_bytes(const ServeOptions& options, const glm4v::Glm4vConfig& config) {
  if (!config.vision) return 0;
  constexpr std::int64_t kProgram = 16 << 20;
  return options.task_threads * (kProgram + 2 * options.limits.max_image_bytes +
                                 9 * options.common.max_image_pixels + 4 * pixel_bytes(config));
}

/// Those of a server: its own, the clock's, the engine's, I/O, tasks; a rank's and its team's.
std::int64_t num_threads(const RunPlan& plan, const ServeOptions& options) {
  const auto num_cards = static_cast<std::int64_t>(plan.ranks.size());
  return 3 + options.io_threads + options.task_threads + num_cards * (1 + plan.threads_per_card);
}

}  // namespace

server::MemoryTable serve_memory(const RunPlan& plan, const ServeOptions& options,
                                 const glm4v::Glm4vConfig& config) {
  const http::ServerOptions http;
  const GrammarLimits grammar;
  const std::int64_t context = plan.limits.context_tokens;
  const std::int64_t kv_tokens = plan.limits.num_blocks * plan.limits.block_size;
  server::MemoryTable table = plan.table;
  const std::int64_t threads = num_threads(plan, options);
  table.reserved.push_back({.kind = "threads",
                            .text = fmt::format("threads, {}", threads),
                            .cards = {},
                            .shared = threads * kThreadBytes});
  table.reserved.push_back({.kind = "program",
                            .text = "program, tokenizer",
                            .cards = {},
                            .shared = server::process_memory().resident_bytes});
  const auto add = [&](const char* kind, std::string text, std::int64_t bytes) {
    table.requests.push_back({.kind = kind, .text = std::move(text), .cards = {}, .shared = bytes});
  };
  add("bodies", "bodies", options.max_pending_bytes);
  add("reading", fmt::format("requests being read, {}", options.task_threads),
      options.task_threads *
          (kBodyCopies * options.max_body_bytes + options.limits.max_image_bytes +
           server::kMaxJsonValues * server::kJsonValueBytes));
  add("pictures", fmt::format("pictures decoded, {}", options.max_pending_images),
      (options.max_pending_images + options.task_threads) * pixel_bytes(config));
  add("grammars", "grammars and their masks",
      grammar.cache_bytes + grammar.live_bytes + options.max_running * config.vocab_size / 8);
  add("prompts", fmt::format("prompts, {}", options.max_running + options.max_queue),
      (options.max_running + options.max_queue) * context * kRowBytes);
  add("replies", "replies, log probabilities",
      std::min(kv_tokens, options.max_running * context) * kReplyTokenBytes +
          options.max_running * 2 * http.max_outbox_bytes + config.vocab_size * kChoiceBytes);
  add("connections", fmt::format("connections, {}", options.max_connections),
      options.max_connections * (http.max_header_bytes + kConnectionBytes +
                                 (options.tls_certificate.empty() ? 0 : kTlsBytes)));
  table.picture_processes = picture_process_bytes(options, config);
  return table;
}

void say_memory(const ServeOptions& options, const server::MemoryTable& table) {
  if (!options.common.quiet) std::fputs(memory_text(table).c_str(), stderr);
  const auto available = available_memory_bytes();
  const std::int64_t program = table.reserved.back().total();  // is there already
  const std::int64_t most = table.reserved_bytes() - program + table.request_bytes();
  if (!available || most <= *available) return;
  std::fputs(
      fmt::format("warning: the model and the largest requests all at once need {}, but {} are "
                  "free: lower --max-pending-bytes ({}), --max-pending-images ({}) or --max-queue "
                  "({})\n",
                  binary_bytes(most), binary_bytes(*available), options.max_pending_bytes,
                  options.max_pending_images, options.max_queue)
          .c_str(),
      stderr);
}

}  // namespace cardloom::app
