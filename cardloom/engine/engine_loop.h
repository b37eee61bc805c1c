#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cardloom/engine/engine.h"

namespace cardloom {

/// An event with what a listener needs when a sequence ends. Before the first token there are
/// events that tell only how far the prompt is: without a token and without an end.
struct LoopEvent {
  SequenceEvent event;
  std::int64_t pictures_encoded = 0;  ///< of the sequence, so far
  std::int64_t rows_cached = 0;       ///< of its prompt, so far: computed or found in the cache
  /// With every token and end: a listener may end a sequence at any token. Complete if
  /// event.finish is set.
  SequenceTimes times{};
};

/// Told what became of sequences; one listener may serve many. Called on the engine's thread once a
/// step with all events of its sequences, in order; must neither block nor throw.
class LoopListener {
 public:
  virtual ~LoopListener() = default;
  virtual void on_step(std::span<const LoopEvent> events) = 0;
};

/// How many rows steps had, as a histogram of Prometheus counts; the bounds are vLLM's.
struct StepRows {
  static constexpr std::array<std::int64_t, 13> kBounds = {1,   8,    16,   32,   64,   128,  256,
                                                           512, 1024, 2048, 4096, 8192, 16384};
  std::array<std::uint64_t, kBounds.size() + 1> counts{};  ///< [i]: steps <= kBounds[i] rows only
  std::uint64_t sum = 0;

  void observe(std::int64_t num_rows);
};

/// Counters since the start and gauges of this moment; what /metrics shows.
struct EngineStats {
  std::int64_t running = 0;  ///< sequences with blocks
  std::int64_t waiting = 0;
  std::int64_t waiting_for_step = 0;   ///< of these: have come since the last step began
  std::int64_t waiting_for_place = 0;  ///< of these: as many run as may; the rest lacks blocks
  std::int64_t kv_blocks = 0;          ///< in all
  std::int64_t kv_blocks_used = 0;     ///< by running sequences
  std::int64_t kv_blocks_cached = 0;   ///< kept for their contents only; free for the asking
  std::uint64_t steps = 0;
  StepRows step_rows;       ///< of steps that encode no pictures
  double step_seconds = 0;  ///< of all steps, from their plan to the ranks' result
  std::uint64_t prompt_tokens = 0;
  std::uint64_t generated_tokens = 0;
  std::uint64_t prefix_queries = 0;  ///< in rows
  std::uint64_t prefix_hits = 0;     ///< in rows
  std::uint64_t picture_queries = 0;
  std::uint64_t picture_hits = 0;
  std::uint64_t preemptions = 0;
  std::uint64_t corrupted = 0;   ///< sequences that ended because no logit was a number
  std::uint64_t speculated = 0;  ///< tokens proposed by look-up
  std::uint64_t accepted = 0;    ///< of these
};

/// One operator of one card in a step, for the cards view. Times are ns since the loop began.
struct CardSpan {
  int rank = 0;
  std::string op;     ///< "matmul_all_reduce"
  std::string layer;  ///< "text.layers.17.mlp.down"
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t wait = 0;  ///< of it, for other ranks
};
/// What the cards did in one step.
struct StepActivity {
  std::uint32_t step_id = 0;
  std::int64_t rows = 0;
  std::int64_t sequences = 0;
  std::int64_t pictures = 0;
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::vector<CardSpan> spans;
};
using StepObserver = std::function<void(const StepActivity&)>;

/// Runs an engine on a thread of its own, for any number of callers. All members from any thread.
///
/// While the ranks compute a step, the loop's thread admits, hashes and delivers: what can be done
/// before a step's result is there is done beside it.
class EngineLoop {
 public:
  /// Takes the engine; `max_waiting` sequences may wait beside those for which there is a place.
  EngineLoop(std::unique_ptr<Engine> engine, std::int64_t max_waiting);
  /// Cancels what is left, and waits for the step that runs.
  ~EngineLoop();

  /// Admits a sequence; its id. `listener` must outlive the sequence, which ends with an event that
  /// has `finish` set, or with cancel(). Errors as Engine::submit gives them; kResourceExhausted,
  /// with the numbers, if the queue is full; kUnavailable once the loop is stopped or a rank lost.
  Result<std::uint64_t> submit(Request request, LoopListener& listener);
  /// submit() in two parts, for threads that nothing may hold up: prepare() checks and hashes,
  /// pictures of megabytes too, and errors as Engine::submit; submit() admits what it made, and
  /// takes microseconds.
  [[nodiscard]] Result<std::unique_ptr<Sequence>> prepare(Request request) const;
  Result<std::uint64_t> submit(std::unique_ptr<Sequence> sequence, LoopListener& listener);

  /// The error that submit() would give now to any request, if so: asked before a request's
  /// pictures and grammar cost anything.
  [[nodiscard]] Status accepts() const;

  /// Ends a sequence within a step. No event of it is delivered after this returns, unless called
  /// on the engine's thread. Unknown ids are ignored.
  void cancel(std::uint64_t sequence_id);

  [[nodiscard]] EngineStats stats() const;
  [[nodiscard]] bool idle() const;
  [[nodiscard]] const ModelInfo& model_info() const;
  [[nodiscard]] std::int64_t context_tokens() const;
  [[nodiscard]] int world_size() const;
  /// The failure that ended the engine, if any.
  [[nodiscard]] std::optional<Error> lost() const;

  /// Told after each step while set (empty: nobody looks, and nothing is gathered). Called on the
  /// engine's thread.
  void observe(StepObserver observer);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cardloom
