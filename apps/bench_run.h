#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "apps/bench_model.h"
#include "apps/bench_prompt.h"
#include "apps/session.h"
#include "cardloom/backend/cpu/machine_probe.h"
#include "cardloom/oplog/op_log.h"

/// The measuring part of `bench`: runs an engine's own steps and times them.
namespace cardloom::app {

/// Time of one operator on card 0, by its operator log.
struct OpTime {
  std::int64_t calls = 0;
  std::int64_t ns = 0;
};
using OpTimes = std::array<OpTime, kNumOps>;

/// A phase and what its rounds took.
struct BenchPhase {
  enum class Kind { kPrefill, kDecode, kVision };
  Kind kind = Kind::kPrefill;
  std::int64_t batch = 1;      ///< sequences
  std::int64_t tokens = 0;     ///< of the seconds below: prompt rows, a step's tokens, picture rows
  std::int64_t num_steps = 1;  ///< of the model in a round: chunks, generated tokens, 1
  double context = 0;          ///< decode: rows of a sequence, in the middle of its steps
  std::vector<double> seconds{};  ///< [round]; decode: the median step
  double total_seconds = 0;       ///< of all rounds' steps: what operators are a share of
  OpTimes operators{};            ///< all rounds together

  [[nodiscard]] const char* name() const;
};

/// Runs all phases of `options`, round by round: each round measures the machine and then every
/// phase, so that a drift of the machine hits all alike; a first round warms up and is not counted.
class BenchRun {
 public:
  BenchRun(const BenchOptions& options, const Checkpoint& checkpoint);

  void run();
  /// Gives the model's memory back; what was measured stays.
  void unload();

  [[nodiscard]] const std::vector<BenchPhase>& phases() const { return phases_; }
  [[nodiscard]] const LoadedEngine& loaded() const { return loaded_; }
  [[nodiscard]] const cpu::MachineProbe& machine() const { return *probe_; }
  /// Different CPUs that the cards run on.
  [[nodiscard]] int num_cpus() const { return num_cpus_; }

 private:
  void plan_phases();
  void load();
  void measure(BenchPhase& phase, bool counted);
  double prefill(BenchPhase& phase);
  double decode(BenchPhase& phase, std::int64_t num_steps);
  double vision(BenchPhase& phase);
  std::uint64_t submit(Prompt prompt, std::int64_t max_tokens);
  std::vector<SequenceEvent> step();
  void count_operators(BenchPhase& phase, bool first_step_only);

  const BenchOptions& options_;
  const Checkpoint& checkpoint_;
  std::vector<BenchPhase> phases_;
  LoadedEngine loaded_;
  std::unique_ptr<cpu::MachineProbe> probe_;
  int num_cpus_ = 1;
  std::uint64_t log_position_ = 0;
  std::uint64_t num_submitted_ = 0;
  BenchPrompts prompts_;
};

}  // namespace cardloom::app
