#pragma once

#include <optional>
#include <string>
#include <vector>

#include "apps/bench_accuracy.h"
#include "apps/bench_run.h"
#include "cardloom/base/json.h"

namespace cardloom::app {

/// One line of the result: a phase in figures, its limit, its operators.
struct BenchRow {
  const BenchPhase* phase = nullptr;
  std::string weights;
  double seconds = 0;  ///< median over rounds
  double tokens_per_s = 0;
  double bytes_per_s = 0;
  double flop_per_s = 0;
  LimitVerdict limit;
};

struct BenchReport {
  const BenchRun* run = nullptr;
  std::vector<BenchRow> rows;
  std::optional<Accuracy> accuracy;
};

[[nodiscard]] BenchReport make_report(const BenchRun& run, const Checkpoint& checkpoint,
                                      const CommonOptions& options);

/// Tables for people: the machine, the rows, time by operator, accuracy.
[[nodiscard]] std::string to_text(const BenchReport& report);
/// The same for programs; docs/cli.md describes it.
[[nodiscard]] json::object to_json(const BenchReport& report);

}  // namespace cardloom::app
