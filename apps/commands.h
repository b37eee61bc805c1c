#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "apps/common_options.h"
#include "apps/failure.h"
#include "apps/serve_options.h"

/// What can be typed, as plain data: cli.cc fills these structs from the command line, and each
/// command is one function of one of them in a file of its own.
namespace cardloom::app {

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
