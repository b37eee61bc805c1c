#pragma once

// For the files of the option table alone: CLI11 takes longer to compile than all commands.
#include <CLI/CLI.hpp>
#include <functional>

#include "apps/commands.h"
#include "apps/option_source.h"

namespace cardloom::app {

/// A subcommand with its help, whose options may also come from the environment and from the file
/// that its --config names.
CLI::App& add_command(CLI::App& app, const char* name, const char* what, const char* examples);
/// A subcommand that is told what to do by typing alone.
CLI::App& add_plain_command(CLI::App& app, const char* name, const char* what,
                            const char* examples);
/// The options of whatever runs a model: cards, numbers, pictures.
void add_common(CLI::App& command, CommonOptions& options, bool model = true);

/// For `->check(choices("bf16 f32"))`: the values that completions offer. It checks nothing: each
/// command says in its own words what it does not take.
CLI::Validator choices(const char* words);

/// All commands' options, and which function the typed command means.
struct CommandLine {
  RunOptions run;
  LogitsOptions logits;
  GenerateOptions generate;
  TokenizeOptions tokenize;
  PreprocessOptions preprocess;
  InspectOptions inspect;
  CheckOptions check;
  EvalOptions eval;
  BenchOptions bench;
  BenchServeOptions bench_serve;
  ServeOptions serve;
  VersionOptions version;
  ConfigOptions config;
  CompletionOptions completion;
  std::function<int()> chosen;
};

/// Everything that can be typed: the one table of options. `line` is what it fills.
void define_commands(CLI::App& app, CommandLine& line);

/// Fills what `app` was defined on from `words`, and from variables and settings file what was not
/// typed. Returns where everything comes from. Throws Failure(kExitUsage), and CLI::Success where
/// only help or version were asked for.
std::vector<Setting> parse_words(CLI::App& app, const CommandInfo& root,
                                 const std::vector<std::string>& words,
                                 const Environment& variables);

void define_serve(CLI::App& app, ServeOptions& options, std::function<int()>& chosen);
/// config, completion and man.
void define_config(CLI::App& app, ConfigOptions& options, std::function<int()>& chosen);
void define_completion(CLI::App& app, CompletionOptions& options, std::function<int()>& chosen);

/// `bench serve`, below `bench`.
void define_bench_serve(CLI::App& bench, BenchServeOptions& options, std::function<int()>& chosen);

}  // namespace cardloom::app
