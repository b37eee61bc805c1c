#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <thread>
#include <utility>

#include "apps/commands.h"
#include "apps/memory.h"
#include "apps/serve_memory.h"
#include "apps/serve_signals.h"
#include "apps/session.h"
#include "apps/text.h"
#include "cardloom/http/host_check.h"
#include "cardloom/server/api_server.h"

namespace cardloom::app {
namespace {

using Clock = std::chrono::steady_clock;

/// Tokens guessed ahead in a step: beyond, the guesses are rarely right and each costs a row.
constexpr std::int64_t kSpeculatedTokens = 8;
/// A layer of glm-4v-9b takes about a second on two cores: running answers wait for one at a time.
constexpr std::int64_t kVisionLayersPerStep = 1;
/// Whole contexts that the KV cache holds if nobody says how many tokens.
constexpr std::int64_t kDefaultContexts = 4;

/// The folder's own name: "glm-4v-9b" for /models/glm-4v-9b/.
std::string model_name(const ServeOptions& options) {
  if (!options.model_name.empty()) return options.model_name;
  std::filesystem::path path = std::filesystem::path(options.common.model).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  return path.filename().string();
}

void say(const ServeOptions& options, const std::string& text) {
  if (!options.common.quiet) std::fputs((text + "\n").c_str(), stderr);
}

/// Of a file with a secret; "": there is none.
void warn_if_public(const ServeOptions& options, const std::string& file) {
  struct stat found = {};
  if (file.empty() || stat(file.c_str(), &found) != 0 || (found.st_mode & S_IROTH) == 0) return;
  say(options, fmt::format("warning: everybody on this machine may read {} (mode {:04o}): chmod "
                           "o-rwx {}",
                           file, found.st_mode & 07777, file));
}

/// Keys of --api-key and CARDLOOM_API_KEYS, and of --api-key-file.
std::unique_ptr<http::ApiKeys> read_keys(const ServeOptions& options) {
  std::string text;
  for (const std::string& key : options.api_keys) text += key + "\n";
  if (const char* environment = std::getenv("CARDLOOM_API_KEYS")) text += environment;
  auto keys = unwrap(http::ApiKeys::load(options.api_key_file, text), kExitUsage);
  warn_if_public(options, options.api_key_file);
  return keys;
}

/// Whoever can reach the port can use the model: so without keys only this machine may.
void refuse_open_door(const ServeOptions& options, const http::ApiKeys& keys) {
  if (!keys.empty() || options.insecure_no_auth || !options.unix_socket.empty() ||
      http::is_loopback(options.host)) {
    return;
  }
  fail_usage(
      fmt::format("--host {} can be reached from elsewhere, but there is no API key", options.host),
      "everybody who reaches the port could use the model",
      "--api-key-file FILE, or --host 127.0.0.1, or --insecure-no-auth if a proxy checks");
}

server::PictureSourceOptions picture_options(const ServeOptions& options) {
  using Fetch = server::PictureSourceOptions::Fetch;
  server::PictureSourceOptions pictures;
  pictures.max_bytes = options.limits.max_image_bytes;
  pictures.media_root = options.media_root;
  pictures.allowed_hosts = options.image_hosts;
  if (options.fetch_images == "public") {
    pictures.fetch = Fetch::kPublic;
  } else if (options.fetch_images == "allowed") {
    pictures.fetch = Fetch::kAllowed;
  } else if (options.fetch_images != "off") {
    fail_usage(fmt::format("--fetch-images is \"{}\", but must be off, allowed or public",
                           options.fetch_images),
               "whether the server fetches pictures that a request names by URL",
               "--fetch-images allowed --image-host example.com");
  }
  if (pictures.fetch == Fetch::kAllowed && options.image_hosts.empty()) {
    fail_usage("--fetch-images allowed, but no host is", "each is given with --image-host",
               "--image-host example.com");
  }
  return pictures;
}

/// For /props: what was asked for, without keys, paths and names of hosts.
json::object settings_of(const ServeOptions& options) {
  return {{"max_running", options.max_running},
          {"kv_tokens", options.kv_tokens},
          {"picture_cache_bytes", options.picture_cache_bytes},
          {"io_threads", options.io_threads},
          {"task_threads", options.task_threads},
          {"speculate", options.speculate},
          {"strict", options.limits.strict},
          {"tls", !options.tls_certificate.empty()},
          {"unix_socket", !options.unix_socket.empty()},
          {"media_root", !options.media_root.empty()},
          {"fetch_images", options.fetch_images},
          {"image_hosts", options.image_hosts.size()},
          {"metrics_alias", options.metrics_alias},
          {"shutdown_timeout_s", options.shutdown_timeout},
          {"ping_interval_s", options.ping_interval}};
}

server::ApiServerOptions server_options(const ServeOptions& options, const std::string& model_id) {
  server::ApiServerOptions server;
  server.http.host = options.host;
  server.http.port = static_cast<std::uint16_t>(options.port);
  server.http.unix_socket = options.unix_socket;
  server.http.tls_certificate = options.tls_certificate;
  server.http.tls_key = options.tls_key;
  server.http.io_threads = static_cast<int>(options.io_threads);
  server.http.max_connections = options.max_connections;
  server.http.max_header_bytes = options.max_header_bytes;
  server.http.max_headers = options.max_headers;
  server.http.max_pending_body_bytes = options.max_pending_bytes;
  server.limits = options.limits;
  server.max_body_bytes = options.max_body_bytes;
  server.task_threads = static_cast<int>(options.task_threads);
  server.max_queue = options.max_queue;
  server.max_per_key = options.max_per_key;
  server.max_pending_images = options.max_pending_images;
  server.allowed_hosts = options.allowed_hosts;
  server.metrics_vllm_names = options.metrics_alias == "vllm";
  server.ping_interval = std::chrono::seconds(options.ping_interval);
  server.version = CARDLOOM_VERSION;
  server.model_id = model_id;
  server.max_image_pixels = options.common.max_image_pixels;
  server.max_total_pixels = options.max_total_pixels;
  server.settings = settings_of(options);
  return server;
}

void check_options(const ServeOptions& options) {
  check_common(options.common);
  check_range("--port", options.port, 0, 65535);
  check_range("--io-threads", options.io_threads, 1, 64);
  check_range("--task-threads", options.task_threads, 1, 64);
  check_range("--max-connections", options.max_connections, 1, 1'000'000);
  check_range("--max-running", options.max_running, 1, 4096);
  check_range("--max-queue", options.max_queue, 1, 1'000'000);
  check_range("--max-pending-images", options.max_pending_images, 0, 65536);
  check_range("--max-per-key", options.max_per_key, 0, 1'000'000);
  check_range("--kv-tokens", options.kv_tokens, 0, std::int64_t{1} << 32);
  check_range("--picture-cache-bytes", options.picture_cache_bytes, 0, std::int64_t{1} << 40);
  check_range("--max-body-bytes", options.max_body_bytes, 1024, std::int64_t{1} << 32);
  check_range("--max-header-bytes", options.max_header_bytes, 1024, 1 << 20);
  check_range("--max-headers", options.max_headers, 8, 1000);
  check_range("--max-messages", options.limits.max_messages, 1, 1'000'000);
  check_range("--max-pending-bytes", options.max_pending_bytes, 1024, std::int64_t{1} << 40);
  check_range("--max-images", options.limits.max_images, 0, 1024);
  check_range("--max-image-bytes", options.limits.max_image_bytes, 1024, std::int64_t{1} << 31);
  check_range("--max-total-pixels", options.max_total_pixels, 1, std::int64_t{1} << 40);
  check_range("--max-tools", options.limits.max_tools, 0, 10'000);
  check_range("--max-schema-bytes", options.limits.max_schema_bytes, 2, 16 << 20);
  check_range("--max-stop", options.limits.max_stop, 0, 1024);
  check_range("--max-stop-bytes", options.limits.max_stop_bytes, 1, 64 << 10);
  check_range("--max-prompts", options.limits.max_prompts, 1, 4096);
  check_range("--max-tokens", options.limits.max_tokens, 0, std::int64_t{1} << 31);
  check_range("--max-n", options.limits.max_n, 1, 128);
  check_range("--shutdown-timeout", options.shutdown_timeout, 0, 86400);
  check_range("--ping-interval", options.ping_interval, 1, 3600);
  if (!options.metrics_alias.empty() && options.metrics_alias != "vllm") {
    fail_usage(fmt::format("--metrics-alias is \"{}\", but must be vllm", options.metrics_alias),
               "whose names /metrics also uses", "--metrics-alias vllm");
  }
  if (options.speculate != "off" && options.speculate != "ngram") {
    fail_usage(fmt::format("--speculate is \"{}\", but must be off or ngram", options.speculate),
               "how tokens are guessed ahead; the answers are the same", "--speculate ngram");
  }
}

/// What all requests together may have must be enough for one that has the most.
void check_together(const ServeOptions& options) {
  if (options.max_pending_images < options.limits.max_images) {
    fail_usage(fmt::format("--max-pending-images is {}, but one request may have {}",
                           options.max_pending_images, options.limits.max_images),
               fmt::format("--max-images is {}", options.limits.max_images),
               fmt::format("--max-pending-images {}, or a smaller --max-images",
                           options.limits.max_images));
  }
  constexpr std::int64_t kBesideBody = 64 << 10;
  const std::int64_t least = options.max_body_bytes + kBesideBody;
  if (options.max_pending_bytes < least) {
    fail_usage(fmt::format("--max-pending-bytes is {}, but one request may have {}",
                           options.max_pending_bytes, options.max_body_bytes),
               fmt::format("--max-body-bytes is {}, and {} more are needed beside a body",
                           options.max_body_bytes, kBesideBody),
               fmt::format("--max-pending-bytes {}, or a smaller --max-body-bytes", least));
  }
}

/// A name with a scheme or a path would never be that of a host.
void check_hosts(const char* option, const std::vector<std::string>& hosts) {
  for (const std::string& host : hosts) {
    if (!host.empty() && host.find_first_of("/@ \t") == std::string::npos) continue;
    fail_usage(fmt::format("{} is \"{}\", but must be a host's name or address", option, host),
               "without https:// and without a path", fmt::format("{} example.com", option));
  }
}

/// Each connection is a file. The soft limit is raised as far as it may be.
void require_files(const ServeOptions& options) {
  constexpr rlim_t kOwn = 64;  // checkpoint, sockets, workers
  rlimit limits{};
  getrlimit(RLIMIT_NOFILE, &limits);
  limits.rlim_cur = limits.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limits);
  const rlim_t wanted = static_cast<rlim_t>(options.max_connections) + kOwn;
  if (limits.rlim_max >= wanted) return;
  std::fputs(fmt::format("warning: {} files may be open here, but {} connections need {}: "
                         "connections beyond wait (ulimit -n {})\n",
                         limits.rlim_max, options.max_connections, wanted, wanted)
                 .c_str(),
             stderr);
}

std::string address_text(const ServeOptions& options, const server::ApiServer& server) {
  if (!options.unix_socket.empty()) return "unix:" + options.unix_socket;
  const bool is_v6 = options.host.find(':') != std::string::npos;
  return fmt::format("http{}://{}{}{}:{}", options.tls_certificate.empty() ? "" : "s",
                     is_v6 ? "[" : "", options.host, is_v6 ? "]" : "", server.port());
}

/// One token through everything, so that the first client does not wait for scratch memory.
void warm_up(Engine& engine, const Checkpoint& checkpoint) {
  Request request;
  request.prompt.token_ids = checkpoint.tokenizer->encode("Hello");
  for (std::size_t row = 0; row < request.prompt.token_ids.size(); ++row) {
    request.prompt.positions.push_back(static_cast<std::int32_t>(row));
  }
  request.prompt.next_position = static_cast<std::int32_t>(request.prompt.token_ids.size());
  request.max_tokens = 2;
  static_cast<void>(engine.submit(std::move(request)));
  while (!engine.idle()) {
    for (const SequenceEvent& event : engine.step()) {
      if (event.finish == FinishReason::kError) throw Failure(kExitDevice, event.error);
    }
  }
}

/// Everything that serves. The server stops before anything of it ends.
struct Serving {
  Serving() = default;
  ~Serving() {
    if (server) server->stop();
  }
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;

  std::unique_ptr<server::PictureSource> pictures;
  std::unique_ptr<server::PictureWorkers> decoders;
  std::unique_ptr<GrammarCompiler> grammars;
  std::unique_ptr<server::ApiServer> server;
  LoadedEngine loaded;
  std::unique_ptr<EngineLoop> loop;
  server::MemoryTable memory;
  RankLimits limits;
};

server::ServedModel serve_model(const ServeOptions& options, const Checkpoint& checkpoint,
                                Serving& serving, const std::string& id) {
  server::ServedModel model;
  model.id = id;
  model.created = std::chrono::duration_cast<std::chrono::seconds>(
                      std::chrono::system_clock::now().time_since_epoch())
                      .count();
  model.tokenizer = checkpoint.tokenizer.get();
  model.config = &checkpoint.config();
  model.style = checkpoint.style();
  model.stop_ids = checkpoint.stop_ids();
  const LoadedEngine& loaded = serving.loaded;
  model.cards = {.tp = loaded.tp,
                 .threads_per_card = loaded.threads_per_card,
                 .isa = loaded.instruction_path,
                 .dtype = std::string(to_string(loaded.dtype)),
                 .weights = formats_text(loaded.weights),
                 .kv_cache = std::string(kv_cache_name(loaded.kv_cache)),
                 .block_size = serving.limits.block_size,
                 .num_picture_slots = serving.limits.num_picture_slots};
  model.fingerprint =
      fmt::format("{}-{}-{}", model.cards.isa, model.cards.weights, model.cards.kv_cache);
  model.memory = serving.memory;
  model.engine = serving.loop.get();
  model.grammars = serving.grammars.get();
  model.pictures = serving.pictures.get();
  model.decoders = serving.decoders.get();
  model.max_total_pixels = options.max_total_pixels;
  return model;
}

std::int64_t context_of(const ServeOptions& options, const Checkpoint& checkpoint) {
  return options.common.context > 0 ? options.common.context : checkpoint.config().max_positions;
}

/// Before anything is loaded: one whole context must fit, or a long request could never end.
void require_whole_context(const ServeOptions& options, const Checkpoint& checkpoint) {
  const std::int64_t context = context_of(options, checkpoint);
  check_context(context, checkpoint.config());
  if (options.kv_tokens == 0 || options.kv_tokens >= context) return;
  fail_usage(fmt::format("--kv-tokens is {}, but a context has {}", options.kv_tokens, context),
             "one sequence must be able to have a whole context",
             fmt::format("--kv-tokens {}, or a smaller --context", context));
}

EngineNeeds needs_of(const ServeOptions& options, const Checkpoint& checkpoint) {
  EngineNeeds needs;
  needs.max_sequences = options.max_running;
  const std::int64_t context = context_of(options, checkpoint);
  needs.context_tokens = context;
  needs.kv_tokens = options.kv_tokens > 0 ? options.kv_tokens : kDefaultContexts * context;
  needs.picture_bytes = options.picture_cache_bytes;
  needs.speculate_ngram = options.speculate == "ngram" ? kSpeculatedTokens : 0;
  needs.max_logits_rows = options.max_running * (1 + needs.speculate_ngram);
  needs.vision_layers_per_step = kVisionLayersPerStep;
  needs.populate = true;
  return needs;
}

void load_model(const ServeOptions& options, const Checkpoint& checkpoint, Serving& serving,
                const std::string& id) {
  EngineNeeds needs = needs_of(options, checkpoint);
  const RunPlan plan = require_memory(checkpoint.config(), options.common, needs);
  serving.memory = serve_memory(plan, options, checkpoint.config());
  serving.limits = plan.limits;
  say_memory(options, serving.memory);
  needs.on_load = [&server = *serving.server](std::int64_t done, std::int64_t total) {
    server.set_loaded(static_cast<double>(done) /
                      static_cast<double>(std::max<std::int64_t>(total, 1)));
  };
  serving.loaded = load_engine(checkpoint, options.common, needs);
  warm_up(*serving.loaded.engine, checkpoint);
  serving.loop = std::make_unique<EngineLoop>(std::move(serving.loaded.engine), options.max_queue);
  serving.grammars = std::make_unique<GrammarCompiler>(
      *checkpoint.tokenizer, static_cast<std::int32_t>(checkpoint.config().vocab_size),
      checkpoint.stop_ids(), GrammarLimits{.max_schema_bytes = options.limits.max_schema_bytes});
  malloc_trim(0);  // what loading took and gave back: megabytes that no plan knows
  serving.server->serve(serve_model(options, checkpoint, serving, id));
}

/// Weights take minutes: whoever gives up meanwhile must not wait for them.
class LoadingWatch {
 public:
  explicit LoadingWatch(ServeSignals& signals)
      : thread_([this, &signals] {
          while (!done_) {
            if (signals.wait(std::chrono::milliseconds(50)) != ServeSignal::kStop) continue;
            std::fputs("stopped while loading\n", stderr);
            std::_Exit(kExitOk);  // nothing has begun that would have to end well
          }
        }) {}
  ~LoadingWatch() {
    done_ = true;
    thread_.join();
  }
  LoadingWatch(const LoadingWatch&) = delete;
  LoadingWatch& operator=(const LoadingWatch&) = delete;

 private:
  std::atomic<bool> done_ = false;
  std::thread thread_;
};

std::unique_ptr<server::ApiServer> listen(const ServeOptions& options, const std::string& id,
                                          std::unique_ptr<http::ApiKeys> keys) {
  auto started = server::ApiServer::start(server_options(options, id), std::move(keys));
  const bool is_taken = !started && started.error().code == ErrorCode::kUnavailable;
  return unwrap(std::move(started), is_taken ? kExitListen : kExitUsage);
}

void drain(const ServeOptions& options, Serving& serving, ServeSignals& signals) {
  say(options, fmt::format("draining: {} answers under way, at most {} s",
                           serving.server->num_under_way(), options.shutdown_timeout));
  serving.server->drain();
  const Clock::time_point end = Clock::now() + std::chrono::seconds(options.shutdown_timeout);
  while (serving.server->num_under_way() > 0 && Clock::now() < end) {
    if (signals.wait(std::chrono::milliseconds(20)) == ServeSignal::kStop) break;
  }
  const std::int64_t cut = serving.server->num_under_way();
  serving.server->stop();
  serving.loop.reset();
  say(options, cut == 0 ? "stopped" : fmt::format("stopped; {} answers were cut off", cut));
}

}  // namespace

int run_serve(const ServeOptions& options) {
  check_options(options);
  check_together(options);
  check_hosts("--allowed-host", options.allowed_hosts);
  check_hosts("--image-host", options.image_hosts);
  std::unique_ptr<http::ApiKeys> keys = read_keys(options);
  refuse_open_door(options, *keys);
  const Checkpoint checkpoint = open_checkpoint(options.common.model);
  require_whole_context(options, checkpoint);
  const std::string id = model_name(options);
  Serving serving;
  serving.pictures = unwrap(server::PictureSource::open(picture_options(options)), kExitUsage);
  require_files(options);
  // Threads inherit the mask: from here on signals come to `signals` alone.
  ServeSignals signals;
  if (checkpoint.config().vision) {
    server::PictureWorkerOptions workers;
    workers.num_workers = static_cast<int>(options.task_threads);
    workers.image_size = checkpoint.config().vision->image_size;
    workers.max_bytes = options.limits.max_image_bytes;
    workers.decode = decode_options(options.common);
    serving.decoders = unwrap(server::PictureWorkers::start(std::move(workers)), kExitFailed);
  }
  serving.server = listen(options, id, std::move(keys));
  warn_if_public(options, options.tls_key);
  const std::string address = address_text(options, *serving.server);
  say(options, fmt::format("listening on {}; loading {}", address, id));
  {
    const LoadingWatch watch(signals);
    load_model(options, checkpoint, serving, id);
  }
  std::fputs(fmt::format("ready on {}\n", address).c_str(), stderr);
  say(options, fmt::format("{}: {}", id, serving.loaded.describe()));
  say(options, fmt::format("resident now: {}, plan {}",
                           binary_bytes(server::process_memory().resident_bytes),
                           binary_bytes(serving.memory.reserved_bytes())));
  if (options.common.json) print_json({{"memory", server::memory_json(serving.memory)}});
  for (;;) {
    switch (signals.wait(std::chrono::hours(1))) {
      case ServeSignal::kNone:
        break;
      case ServeSignal::kReload:
        if (const Status status = serving.server->reload(); !status) {
          std::fputs(three_lines(status.error()).c_str(), stderr);
        } else {
          say(options, "keys and certificate were read again");
        }
        break;
      case ServeSignal::kStop:
        drain(options, serving, signals);
        return kExitOk;
    }
  }
}

}  // namespace cardloom::app
