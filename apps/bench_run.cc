#include "apps/bench_run.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "apps/interrupt.h"
#include "apps/memory.h"
#include "apps/text.h"
#include "cardloom/backend/cpu/topology.h"
#include "cardloom/base/integer_math.h"

namespace cardloom::app {
namespace {

using Clock = std::chrono::steady_clock;

/// Decoding begins behind a prompt this short, so that weights and not keys are measured.
constexpr std::int64_t kDecodePrompt = 32;
constexpr std::int64_t kWarmUpSteps = 4;
/// Above any cache; less where that would be a good part of the memory.
constexpr std::int64_t kReadBytes = std::int64_t{1} << 30;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

double seconds_of(std::chrono::nanoseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

/// Steps that `batch` short prompts take before all of them decode.
std::int64_t prompt_steps(std::int64_t batch, std::int64_t chunk) {
  return ceil_div(batch * (kDecodePrompt + 1), std::max<std::int64_t>(chunk - batch, 1));
}

std::int64_t read_bytes() {
  const std::int64_t free = available_memory_bytes().value_or(4 * kReadBytes);
  return std::clamp<std::int64_t>(free / 4, std::int64_t{1} << 20, kReadBytes);
}

}  // namespace

const char* BenchPhase::name() const {
  switch (kind) {
    case Kind::kPrefill:
      return "prefill";
    case Kind::kDecode:
      return "decode";
    case Kind::kVision:
      return "vision";
  }
  return "?";
}

BenchRun::BenchRun(const BenchOptions& options, const Checkpoint& checkpoint)
    : options_(options), checkpoint_(checkpoint), prompts_(checkpoint) {
  plan_phases();
  load();
}

void BenchRun::plan_phases() {
  const std::int64_t chunk = options_.common.chunk;
  if (options_.prompt != "0") {
    for (const std::int64_t rows : parse_list("--prompt", options_.prompt, 1, 1 << 20)) {
      phases_.push_back(
          {.kind = BenchPhase::Kind::kPrefill, .tokens = rows, .num_steps = ceil_div(rows, chunk)});
    }
  }
  if (options_.decode > 0) {
    for (const std::int64_t batch : parse_list("--batch", options_.batch, 1, 1024)) {
      if (batch >= chunk) {
        fail_usage(fmt::format("--batch {} does not fit a step of --chunk {}", batch, chunk),
                   "a step decodes one row of every sequence, beside rows of prompts",
                   fmt::format("--chunk {}", 2 * batch));
      }
      phases_.push_back({.kind = BenchPhase::Kind::kDecode,
                         .batch = batch,
                         .tokens = batch,
                         .num_steps = options_.decode,
                         .context = kDecodePrompt + 1 + static_cast<double>(options_.decode) / 2});
    }
  }
  if (options_.vision) {
    if (!checkpoint_.config().vision) {
      fail_usage("--vision: this model takes no pictures", "config.json has no vision_config",
                 "leave --vision out, or use a glm-4v checkpoint");
    }
    phases_.push_back({.kind = BenchPhase::Kind::kVision,
                       .tokens = checkpoint_.config().vision->rows_per_image()});
  }
  if (phases_.empty()) {
    fail_usage("there is nothing to measure", "--prompt 0, --decode 0 and no --vision",
               "--prompt 512");
  }
}

/// Reserves what the phases need and no more: a context is the longest sequence among them.
void BenchRun::load() {
  EngineNeeds needs;
  const char* longest = "";
  for (const BenchPhase& phase : phases_) {
    std::int64_t rows = phase.tokens + 1;
    const char* option = "--prompt";
    if (phase.kind == BenchPhase::Kind::kDecode) {
      rows = kDecodePrompt + 2 + options_.decode + prompt_steps(phase.batch, options_.common.chunk);
      option = "--decode";
    } else if (phase.kind == BenchPhase::Kind::kVision) {
      rows += 1;
      option = "--vision";
    }
    if (rows > needs.context_tokens) longest = option;
    needs.context_tokens = std::max(needs.context_tokens, rows);
    needs.max_sequences = std::max(needs.max_sequences, phase.batch);
  }
  needs.max_logits_rows = needs.max_sequences;
  const std::int64_t most =
      options_.common.context > 0
          ? std::min(options_.common.context, checkpoint_.config().max_positions)
          : checkpoint_.config().max_positions;
  if (needs.context_tokens > most) {
    fail_usage(
        fmt::format("{} needs a context of {}, but it is {}", longest, needs.context_tokens, most),
        options_.common.context > 0 ? "--context limits it, and so does the model"
                                    : "the model's own limit (seq_length of config.json)",
        fmt::format("a smaller {}", longest));
  }
  loaded_ = load_engine(checkpoint_, options_.common, needs);

  const cpu::CardPlacement placement = cpu::place_cards(cpu::discover_topology(), loaded_.tp,
                                                        static_cast<int>(options_.common.threads));
  std::vector<int> cpus;
  for (const std::vector<int>& card : placement.cpus) {
    for (const int cpu : card) {
      if (std::find(cpus.begin(), cpus.end(), cpu) == cpus.end()) cpus.push_back(cpu);
    }
  }
  num_cpus_ = static_cast<int>(cpus.size());
  probe_ = std::make_unique<cpu::MachineProbe>(cpu::MachineProbeOptions{
      .cpus = std::move(cpus), .pinned = placement.pinned, .read_bytes = read_bytes()});
}

void BenchRun::run() {
  const bool told = !options_.common.quiet && isatty(STDERR_FILENO) == 1;
  for (std::int64_t round = 0; round <= options_.rounds; ++round) {
    probe_->measure();
    for (BenchPhase& phase : phases_) {
      if (told) {
        std::fputs(fmt::format("\r\033[Kround {} of {}: {} {}", round, options_.rounds,
                               phase.name(), phase.tokens)
                       .c_str(),
                   stderr);
      }
      measure(phase, round > 0);
    }
  }
  if (told) std::fputs("\r\033[K", stderr);
}

void BenchRun::measure(BenchPhase& phase, bool counted) {
  BenchPhase scratch = phase;  // a round that warms up leaves nothing behind
  BenchPhase& into = counted ? phase : scratch;
  double seconds = 0;
  switch (phase.kind) {
    case BenchPhase::Kind::kPrefill:
      seconds = prefill(into);
      break;
    case BenchPhase::Kind::kDecode:
      seconds = decode(into, counted ? options_.decode : std::min(options_.decode, kWarmUpSteps));
      break;
    case BenchPhase::Kind::kVision:
      if (!counted) return;  // slow, and warm enough after its first layer
      seconds = vision(into);
      break;
  }
  into.seconds.push_back(seconds);
}

double BenchRun::prefill(BenchPhase& phase) {
  log_position_ = loaded_.engine->op_log(0).last_sequence();
  const std::uint64_t id = submit(prompts_.text(phase.tokens), 1);
  while (!loaded_.engine->idle()) {
    static_cast<void>(step());
    count_operators(phase, false);
  }
  const double seconds = seconds_of(loaded_.engine->times(id).prefill);
  phase.total_seconds += seconds;
  return seconds;
}

/// The median of the steps that decode nothing but one row of each sequence.
double BenchRun::decode(BenchPhase& phase, std::int64_t num_steps) {
  std::vector<std::uint64_t> ids;
  for (std::int64_t sequence = 0; sequence < phase.batch; ++sequence) {
    ids.push_back(submit(prompts_.text(kDecodePrompt), 0));
  }
  for (std::int64_t begun = 0; begun < phase.batch;) {
    for (const SequenceEvent& event : step()) {
      begun += std::find(ids.begin(), ids.end(), event.sequence_id) != ids.end() &&
                       loaded_.engine->times(event.sequence_id).generated_tokens == 1
                   ? 1
                   : 0;
    }
  }
  log_position_ = loaded_.engine->op_log(0).last_sequence();
  std::vector<double> seconds;
  for (std::int64_t index = 0; index < num_steps; ++index) {
    const Clock::time_point begin = Clock::now();
    const std::vector<SequenceEvent> events = step();
    seconds.push_back(seconds_since(begin));
    if (static_cast<std::int64_t>(events.size()) != phase.batch) {
      throw_error(ErrorCode::kInternal, "a step of bench did not decode every sequence",
                  fmt::format("{} of {}", events.size(), phase.batch));
    }
    phase.total_seconds += seconds.back();
    count_operators(phase, false);
  }
  for (const std::uint64_t id : ids) loaded_.engine->cancel(id);
  return median(std::move(seconds));
}

/// The engine encodes in a step of its own, before the first rows: that one alone is counted.
double BenchRun::vision(BenchPhase& phase) {
  log_position_ = loaded_.engine->op_log(0).last_sequence();
  const std::uint64_t id = submit(prompts_.picture(), 1);
  static_cast<void>(step());
  const double seconds = seconds_of(loaded_.engine->times(id).vision);
  phase.total_seconds += seconds;
  count_operators(phase, true);
  loaded_.engine->cancel(id);
  return seconds;
}

std::vector<SequenceEvent> BenchRun::step() {
  if (interrupt::requested()) {
    throw Failure(kExitInterrupted, make_error(ErrorCode::kCancelled, "stopped by Ctrl-C"));
  }
  std::vector<SequenceEvent> events = loaded_.engine->step();
  for (const SequenceEvent& event : events) {
    if (event.finish == FinishReason::kError) {
      throw Failure(exit_code_of(event.error), event.error);
    }
  }
  return events;
}

void BenchRun::count_operators(BenchPhase& phase, bool first_step_only) {
  const std::vector<OpRecord> records = loaded_.engine->op_log(0).snapshot(log_position_);
  for (const OpRecord& record : records) {
    log_position_ = record.sequence;
    if (first_step_only && record.step_id != records.front().step_id) continue;
    OpTime& time = phase.operators[static_cast<std::size_t>(record.op)];
    ++time.calls;
    time.ns += std::max<std::int64_t>(0, record.finished_ns - record.started_ns);
  }
}

std::uint64_t BenchRun::submit(Prompt prompt, std::int64_t max_tokens) {
  Request request;
  request.prompt = std::move(prompt);
  request.max_tokens = max_tokens;        // no stop ids: all rounds are as long as asked for
  request.cache_salt = ++num_submitted_;  // nor shall one find what another has computed
  return unwrap(loaded_.engine->submit(std::move(request)), kExitFailed);
}

void BenchRun::unload() {
  loaded_.engine.reset();
  probe_->release_memory();
}

}  // namespace cardloom::app
