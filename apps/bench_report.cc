#include "apps/bench_report.h"

#include <fmt/format.h>

#include <cmath>

#include "apps/memory.h"
#include "apps/text.h"

namespace cardloom::app {
namespace {

/// Four significant digits say more than a shared machine can repeat.
double rounded(double value) {
  if (value == 0 || !std::isfinite(value)) return 0;
  const double scale = std::pow(10.0, 3 - std::floor(std::log10(std::abs(value))));
  return std::round(value * scale) / scale;
}

double kv_bytes_per_token(const glm4v::Glm4vConfig& config, const CommonOptions& options) {
  return plan_run(config, options).rate;
}

Work work_of(const WorkCounter& counter, const BenchPhase& phase) {
  switch (phase.kind) {
    case BenchPhase::Kind::kPrefill:
      return counter.prefill(phase.tokens, phase.num_steps);
    case BenchPhase::Kind::kDecode:
      return counter.decode(phase.batch, phase.context);
    case BenchPhase::Kind::kVision:
      return counter.vision();
  }
  return {};
}

std::string giga(double value) {
  return value == 0 ? std::string("-") : fmt::format("{:.{}f}", value * 1e-9, value < 1e11 ? 1 : 0);
}

/// An operator's place in the table: milliseconds of a step (a round of prefill), and the share.
std::string operator_cell(const BenchPhase& phase, const OpTime& time) {
  if (time.calls == 0 || phase.total_seconds <= 0) return "";
  const auto steps =
      static_cast<double>(phase.seconds.size()) *
      (phase.kind == BenchPhase::Kind::kDecode ? static_cast<double>(phase.num_steps) : 1.0);
  const double seconds = static_cast<double>(time.ns) * 1e-9;
  return fmt::format("{:.2f} ms {:3.0f} %", seconds / steps * 1e3,
                     100 * seconds / phase.total_seconds);
}

OpTime everything_else(const BenchPhase& phase) {
  OpTime rest{1, std::llround(phase.total_seconds * 1e9)};
  for (const OpTime& time : phase.operators) rest.ns -= time.ns;
  return rest;
}

std::string heading(const BenchPhase& phase) {
  if (phase.kind == BenchPhase::Kind::kVision) return "vision";
  return fmt::format("{} {}", phase.name(), phase.tokens);
}

std::string operators_text(const BenchReport& report) {
  std::vector<std::vector<std::string>> rows(1, {"operator, card 0"});
  for (const BenchRow& row : report.rows) rows[0].push_back(heading(*row.phase));
  for (int op = 0; op < kNumOps; ++op) {
    std::vector<std::string> cells = {std::string(to_string(static_cast<OpId>(op)))};
    bool used = false;
    for (const BenchRow& row : report.rows) {
      const OpTime& time = row.phase->operators[static_cast<std::size_t>(op)];
      used = used || time.calls > 0;
      cells.push_back(operator_cell(*row.phase, time));
    }
    if (used) rows.push_back(std::move(cells));
  }
  std::vector<std::string> rest = {"between operators"};
  for (const BenchRow& row : report.rows) {
    rest.push_back(operator_cell(*row.phase, everything_else(*row.phase)));
  }
  rows.push_back(std::move(rest));
  return table(rows);
}

std::string machine_text(const BenchReport& report) {
  std::vector<std::vector<std::string>> rows = {
      {"machine", "read GB/s", "f32 GFLOP/s", "bf16 dot", "VNNI GOP/s", "AMX bf16", "AMX int8"}};
  const int all = report.run->num_cpus();
  for (int threads = 1; threads <= all; threads += std::max(1, all - 1)) {
    const cpu::MachineFigures figures = report.run->machine().figures(threads);
    rows.push_back({counted(threads, "thread"), giga(figures.read_bytes_per_s),
                    giga(figures.f32_flops), giga(figures.bf16_flops), giga(figures.vnni_ops),
                    giga(figures.amx_bf16_flops), giga(figures.amx_int8_ops)});
  }
  std::string text = table(rows);
  if (all > 1) {
    text +=
        fmt::format("core to core and back: {:.0f} ns\n", report.run->machine().round_trip_ns());
  }
  return text;
}

std::string rows_text(const BenchReport& report) {
  std::vector<std::vector<std::string>> rows = {
      {"phase", "weights", "limit", "tokens", "batch", "tokens/s", "GB/s", "GFLOP/s", "of limit"}};
  for (const BenchRow& row : report.rows) {
    rows.push_back({row.phase->name(), row.weights, row.limit.name,
                    std::to_string(row.phase->tokens), std::to_string(row.phase->batch),
                    fmt::format("{:.1f}", row.tokens_per_s), giga(row.bytes_per_s),
                    giga(row.flop_per_s), fmt::format("{:.0f} %", 100 * row.limit.fraction)});
  }
  return table(rows, 3);
}

std::string accuracy_text(const Accuracy& accuracy) {
  std::vector<std::vector<std::string>> rows = {
      {"output against f32", "relative error", "largest error", "its RMS"}};
  for (const AccuracyRow& row : accuracy.rows) {
    rows.push_back({row.name, fmt::format("{:.2e}", row.relative),
                    fmt::format("{:.2e}", row.largest),
                    fmt::format("{:.2e}", row.root_mean_square)});
  }
  return table(rows);
}

json::object figures_json(const cpu::MachineFigures& figures) {
  return {{"threads", figures.num_threads},
          {"read_bytes_per_s", rounded(figures.read_bytes_per_s)},
          {"f32_flop_per_s", rounded(figures.f32_flops)},
          {"avx2_f32_flop_per_s", rounded(figures.avx2_f32_flops)},
          {"plain_f32_flop_per_s", rounded(figures.plain_f32_flops)},
          {"bf16_dot_flop_per_s", rounded(figures.bf16_flops)},
          {"vnni_op_per_s", rounded(figures.vnni_ops)},
          {"amx_bf16_flop_per_s", rounded(figures.amx_bf16_flops)},
          {"amx_int8_op_per_s", rounded(figures.amx_int8_ops)}};
}

json::object machine_json(const BenchRun& run) {
  json::array by_threads;
  const int all = run.num_cpus();
  for (int threads = 1; threads <= all; threads += std::max(1, all - 1)) {
    by_threads.push_back(figures_json(run.machine().figures(threads)));
  }
  return {{"phase", "machine"},
          {"isa", run.loaded().instruction_path},
          {"cpus", all},
          {"by_threads", std::move(by_threads)},
          {"round_trip_ns", rounded(run.machine().round_trip_ns())}};
}

json::array operators_json(const BenchPhase& phase) {
  json::array operators;
  const auto rounds = static_cast<double>(phase.seconds.size());
  for (int op = 0; op < kNumOps; ++op) {
    const OpTime& time = phase.operators[static_cast<std::size_t>(op)];
    if (time.calls == 0) continue;
    const double seconds = static_cast<double>(time.ns) * 1e-9;
    operators.push_back(
        {{"op", to_string(static_cast<OpId>(op))},
         {"calls", time.calls},
         {"seconds", rounded(seconds / rounds)},
         {"share", phase.total_seconds > 0 ? rounded(seconds / phase.total_seconds) : 0.0}});
  }
  return operators;
}

json::object row_json(const BenchRow& row, const LoadedEngine& loaded) {
  const BenchPhase& phase = *row.phase;
  json::array seconds;
  for (const double value : phase.seconds) seconds.emplace_back(rounded(value));
  return {{"phase", phase.name()},
          {"weights", row.weights},
          {"kv_cache", kv_cache_name(loaded.kv_cache)},
          {"tp", loaded.tp},
          {"threads", loaded.threads_per_card},
          {"isa", loaded.instruction_path},
          {"batch", phase.batch},
          {"tokens", phase.tokens},
          {"steps", phase.num_steps},
          {"seconds", std::move(seconds)},
          {"tokens_per_s", rounded(row.tokens_per_s)},
          {"bytes_per_s", rounded(row.bytes_per_s)},
          {"flop_per_s", rounded(row.flop_per_s)},
          {"limit", row.limit.name},
          {"limit_value", rounded(row.limit.value)},
          {"fraction", rounded(row.limit.fraction)},
          {"operators", operators_json(phase)}};
}

}  // namespace

BenchReport make_report(const BenchRun& run, const Checkpoint& checkpoint,
                        const CommonOptions& options) {
  const BenchFormats formats = bench_formats(options);
  const WorkCounter counter(checkpoint.config(), formats,
                            kv_bytes_per_token(checkpoint.config(), options));
  const cpu::MachineFigures machine = run.machine().figures(run.num_cpus());
  BenchReport report{.run = &run, .rows = {}, .accuracy = {}};
  for (const BenchPhase& phase : run.phases()) {
    const bool vision = phase.kind == BenchPhase::Kind::kVision;
    BenchRow row;
    row.phase = &phase;
    row.weights = vision ? formats.vision_name : formats.text_name;
    row.seconds = median(phase.seconds);
    const Work work = work_of(counter, phase);
    if (row.seconds > 0) {
      row.tokens_per_s = static_cast<double>(phase.tokens) / row.seconds;
      row.bytes_per_s = work.bytes / row.seconds;
      row.flop_per_s = work.flops / row.seconds;
    }
    row.limit =
        judge(work, row.seconds, compute_limit(row.weights, run.loaded().instruction_path, machine),
              machine.read_bytes_per_s);
    report.rows.push_back(std::move(row));
  }
  return report;
}

std::string to_text(const BenchReport& report) {
  std::string text = fmt::format(
      "{}; medians of {}\n\n{}\n{}\n{}", report.run->loaded().describe(),
      counted(static_cast<std::int64_t>(report.rows.front().phase->seconds.size()), "round"),
      machine_text(report), rows_text(report), operators_text(report));
  if (report.accuracy) text += "\n" + accuracy_text(*report.accuracy);
  return text;
}

json::object to_json(const BenchReport& report) {
  json::array rows;
  for (const BenchRow& row : report.rows) rows.push_back(row_json(row, report.run->loaded()));
  json::object object{{"rows", std::move(rows)}, {"machine", machine_json(*report.run)}};
  if (!report.accuracy) return object;
  json::array accuracy;
  for (const AccuracyRow& row : report.accuracy->rows) {
    accuracy.push_back({{"output", row.name},
                        {"relative_error", row.relative},
                        {"largest_error", row.largest},
                        {"rms", row.root_mean_square}});
  }
  object["accuracy"] = std::move(accuracy);
  return object;
}

}  // namespace cardloom::app
