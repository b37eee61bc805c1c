#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "apps/failure.h"
#include "cardloom/api/generation_request.h"

/// What can be typed, as plain data: cli.cc fills these structs from the command line, and each
/// command is one function of one of them in a file of its own.
namespace cardloom::app {

/// What every command takes.
struct CommonOptions {
  std::string model;  ///< the checkpoint's folder
  std::int64_t tp = 1;
  std::string dtype = "bf16";
  std::string weights;         ///< format of the text model's; "": as dtype
  std::string vision_weights;  ///< likewise
  std::string kv_cache;        ///< likewise
  std::string isa;             ///< "": CARDLOOM_ISA, or else the fastest
  std::int64_t threads = 0;    ///< of a card; 0: share the cores
  std::int64_t context = 0;    ///< tokens; 0: the model's own limit
  std::int64_t max_image_pixels = 64'000'000;
  bool exif_rotate = false;
  std::int64_t chunk = 512;  ///< prompt rows of a step
  std::string vision_cut = "auto";
  bool quiet = false;
  bool json = false;
};

struct SamplingOptions {
  double temperature = 0;
  double top_p = 1;
  std::int64_t top_k = 0;
  double repetition_penalty = 1;
  std::uint64_t seed = 0;
};

struct RunOptions {
  CommonOptions common;
  SamplingOptions sampling;
  std::optional<std::string> prompt;
  std::string system;
  std::vector<std::string> images;
  std::int64_t max_tokens = 1024;
};

struct LogitsOptions {
  CommonOptions common;
  std::string ids;
  std::string chat;
  std::vector<std::string> images;
  bool trace = false;
  std::string out;
};

struct GenerateOptions {
  CommonOptions common;
  SamplingOptions sampling;
  std::string ids;
  std::vector<std::string> images;
  std::int64_t max_tokens = 0;
  bool ignore_eos = false;
};

struct TokenizeOptions {
  CommonOptions common;
  std::optional<std::string> text;
  std::string chat;
  bool special = false;
};

struct PreprocessOptions {
  CommonOptions common;
  std::string image;
  std::string out;
};

struct InspectOptions {
  CommonOptions common;
};

struct CheckOptions {
  CommonOptions common;
  std::optional<std::string> prompt;
  std::vector<std::string> images;
  std::int64_t max_tokens = 8;
};

struct EvalOptions {
  CommonOptions common;
  std::string folder;
  std::int64_t limit = 0;  ///< questions; 0: all
};

struct BenchOptions {
  CommonOptions common;
  std::string prompt = "512";    ///< prompt rows, a list; "0": no prefill
  std::int64_t decode = 64;      ///< tokens of a sequence; 0: no decoding
  std::string batch = "1,4,16";  ///< sequences that decode at once, a list
  bool vision = false;
  std::int64_t rounds = 3;
  bool accuracy = false;
};

struct BenchServeOptions {
  std::string url = "http://127.0.0.1:8000";
  std::string api_key;
  std::string model;
  std::string trace;  ///< a CSV of arrivals; "": made by the four below
  std::int64_t requests = 100;
  double rate = 0;  ///< a second; 0: all at once
  std::int64_t prompt = 64;
  std::int64_t decode = 32;
  std::string image;
  bool shared_prefix = false;
  std::int64_t concurrency = 0;
  double speed = 1;
  double shrink = 1;
  double good_first_token_ms = 2000;
  double good_gap_ms = 200;
  std::int64_t timeout = 600;  ///< seconds, of one request
  std::int64_t seed = 1;
  std::string html;
  bool json = false;
};

struct ServeOptions {
  CommonOptions common;
  std::string model_name;  ///< what clients call it; "": the folder's name
  std::string host = "127.0.0.1";
  std::int64_t port = 8000;
  std::string unix_socket;
  std::string tls_certificate;
  std::string tls_key;
  std::vector<std::string> api_keys;
  std::string api_key_file;
  bool insecure_no_auth = false;
  std::vector<std::string> allowed_hosts;
  std::int64_t io_threads = 2;
  std::int64_t task_threads = 2;
  std::int64_t max_connections = 8192;
  std::int64_t max_running = 64;  ///< sequences
  std::int64_t max_queue = 256;
  std::int64_t max_pending_images = 64;
  std::int64_t max_total_pixels = 120'000'000;  ///< of a request
  std::int64_t max_per_key = 0;                 ///< requests of one API key; 0: any number
  std::int64_t max_pending_bytes = 256 << 20;
  std::int64_t kv_tokens = 0;  ///< of all sequences together; 0: four whole contexts
  std::int64_t max_body_bytes = 64 << 20;
  std::int64_t max_header_bytes = 16 << 10;
  std::int64_t max_headers = 100;
  api::RequestLimits limits;
  std::string media_root;
  std::string fetch_images = "off";
  std::vector<std::string> image_hosts;
  std::string speculate = "off";
  std::string metrics_alias;
  std::int64_t shutdown_timeout = 30;  ///< seconds
  std::int64_t ping_interval = 15;     ///< seconds
};

struct VersionOptions {
  CommonOptions common;
};

/// Of `config show`, `config init` and `config validate`.
struct ConfigOptions {
  std::vector<std::string> command;  ///< whose: {"bench", "serve"}; empty: serve, or all
  bool origin = false;
  bool json = false;
  std::string file;
};

struct CompletionOptions {
  std::string shell;
};

/// Each runs one command and returns its exit code; throws Failure, or any std::exception, which
/// main tells as it tells a Failure.
int run_run(const RunOptions& options);
int run_logits(const LogitsOptions& options);
int run_generate(const GenerateOptions& options);
int run_tokenize(const TokenizeOptions& options);
int run_preprocess(const PreprocessOptions& options);
int run_inspect(const InspectOptions& options);
int run_check(const CheckOptions& options);
int run_eval(const EvalOptions& options);
int run_bench(const BenchOptions& options);
int run_bench_serve(const BenchServeOptions& options);
int run_serve(const ServeOptions& options);
int run_version(const VersionOptions& options);
int run_config_show(const ConfigOptions& options);
int run_config_validate(const ConfigOptions& options);
int run_config_init(const ConfigOptions& options);
int run_completion(const CompletionOptions& options);
int run_man();

/// Reads the command line and runs the command it names; for options that were not typed, the
/// environment and the settings file have a say (option_source.h). Throws as the commands do, and
/// Failure with kExitUsage for a command line that cannot be understood.
int run_command_line(int argc, char** argv);

}  // namespace cardloom::app
