#pragma once

// For the files of the option table alone: CLI11 takes longer to compile than all commands.
#include <CLI/CLI.hpp>
#include <functional>

#include "apps/commands.h"

namespace cardloom::app {

/// A subcommand with its help.
CLI::App& add_command(CLI::App& app, const char* name, const char* what, const char* examples);
/// The options of whatever runs a model: cards, numbers, pictures.
void add_common(CLI::App& command, CommonOptions& options, bool model = true);

void define_serve(CLI::App& app, ServeOptions& options, std::function<int()>& chosen);

/// `bench serve`, below `bench`.
void define_bench_serve(CLI::App& bench, BenchServeOptions& options, std::function<int()>& chosen);

}  // namespace cardloom::app
