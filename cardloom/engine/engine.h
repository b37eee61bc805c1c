#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cardloom/base/result.h"
#include "cardloom/device/stream.h"
#include "cardloom/models/model.h"
#include "cardloom/models/prompt.h"
#include "cardloom/sampling/sampling_params.h"
#include "cardloom/sampling/token_constraint.h"

namespace cardloom {

/// The cards of an engine and a communicator for each: made by the application, which alone knows
/// the backends. Owned by the engine afterwards.
struct CardGroup {
  std::vector<std::unique_ptr<Device>> devices;  ///< [rank]
  std::function<Communicator&(int rank)> communicator;
  std::function<void()> reset;       ///< makes an aborted group usable again
  std::shared_ptr<void> keep_alive;  ///< whatever the communicators live in
};

/// Makes all ranks' models (one call: they may share what they map). Called on load.
using ModelFactory = std::function<std::vector<std::unique_ptr<Model>>(const CardGroup&)>;

struct EngineOptions {
  std::int64_t context_tokens = 0;     ///< rows a sequence may have; 0: the model's own limit
  std::int64_t max_sequences = 1;      ///< sequences at once with a full context each
  std::int64_t max_step_tokens = 512;  ///< rows of one step: longer prompts run in chunks
  std::int64_t block_size = 32;        ///< tokens of a KV block
  std::optional<DType> kv_cache{};     ///< kI8: q8; empty: as the model computes
  std::int64_t max_logits_rows = 64;   ///< rows of logits of one step (prompt_logits asks for many)
  std::int64_t max_pictures_per_step = 8;
  VisionCut vision_cut = VisionCut::kAuto;
  StreamOptions stream{};
};

enum class FinishReason { kNone, kStop, kLength, kCancelled, kError };
/// "stop", "length", "cancelled", "error".
[[nodiscard]] std::string_view to_string(FinishReason reason);

/// Who goes first when there is not room for all: classes strictly, but nobody waits for ever.
enum class Priority { kHigh, kNormal, kLow };

struct Request {
  Prompt prompt{};
  SamplingParams sampling{};
  std::int64_t max_tokens = 0;           ///< 0: until the context is full
  std::int64_t min_tokens = 0;           ///< before so many, stop ids cannot be chosen
  std::vector<std::int32_t> stop_ids{};  ///< end-of-sequence ids; the stop id itself is not output
  std::shared_ptr<TokenConstraint> constraint{};  ///< none: any token may come
  Priority priority = Priority::kNormal;
  std::uint64_t cache_salt =
      0;                       ///< only requests with the same salt share cached keys and pictures
  bool prompt_logits = false;  ///< keep the logits of every prompt row (`cardloom logits`)
};

/// One thing that happened to a sequence in a step.
struct SequenceEvent {
  std::uint64_t sequence_id = 0;
  std::int32_t token_id = -1;  ///< -1: none (finished without one)
  FinishReason finish = FinishReason::kNone;
  Error error{};                              ///< if finish is kError
  std::shared_ptr<TokenLogprobs> logprobs{};  ///< of token_id, if the request asks for them
};

/// Where the time of a sequence went.
struct SequenceTimes {
  std::chrono::nanoseconds queue{};    ///< from submit to its first step
  std::chrono::nanoseconds vision{};   ///< encoding its pictures
  std::chrono::nanoseconds prefill{};  ///< prompt rows, to the first token
  std::chrono::nanoseconds decode{};   ///< first to last token
  std::int64_t prompt_rows = 0;
  std::int64_t cached_rows = 0;      ///< of the prompt, whose keys were in the cache already
  std::int64_t cached_pictures = 0;  ///< that were encoded before
  std::int64_t generated_tokens = 0;
  std::int64_t preemptions = 0;  ///< times it gave up its blocks and was computed again
  VisionCut vision_cut = VisionCut::kHeads;
};

/// Runs sequences on the cards, several at once: KV cache in blocks, prompts in chunks, one token a
/// sequence and step. One thread uses it.
class Engine {
 public:
  /// Starts one thread a rank and reserves all memory (throws kResourceExhausted with the plan).
  Engine(CardGroup cards, const ModelFactory& make_models, const EngineOptions& options);
  /// Waits for nobody that is lost: their memory is freed if their kernels ever end.
  ~Engine();

  /// Admits a sequence. Returns its id, or kInvalidArgument with the numbers if the prompt is
  /// longer than the context, a token id is outside the vocabulary, a position outside the table,
  /// pictures and spans do not fit together or sampling is out of range; kResourceExhausted if all
  /// sequences' places are taken; kUnavailable once a rank is lost.
  Result<std::uint64_t> submit(Request request);

  /// Ends a sequence, without an event; its blocks are free at once. Unknown ids are ignored.
  void cancel(std::uint64_t sequence_id);

  /// Runs one step over the sequences that are ready: encodes pictures, some prompt rows, one
  /// decode row each. Returns what happened; nothing if no sequence is active. A failure of the
  /// step ends the sequences in it with kError events and the engine goes on; only a rank that
  /// never leaves the step is lost, and then all sequences end.
  std::vector<SequenceEvent> step();

  [[nodiscard]] bool idle() const;
  [[nodiscard]] const ModelInfo& model_info() const;
  [[nodiscard]] std::int64_t context_tokens() const;

  /// Of a sequence that is active or finished since the last submit.
  [[nodiscard]] SequenceTimes times(std::uint64_t sequence_id) const;
  /// f32 [prompt rows, V] of a request with prompt_logits, and f32 [rows, H] of its pictures (of
  /// others: nothing); call after its first token, before the next submit.
  [[nodiscard]] Tensor take_prompt_logits(std::uint64_t sequence_id);
  [[nodiscard]] std::vector<Tensor> take_image_embeds(std::uint64_t sequence_id);

  /// While set, rank 0's layers write their outputs here. Not owned.
  void set_trace(Trace* trace);
  /// Whether operators' outputs are fingerprinted in the log (what `check` compares).
  void set_fingerprints(bool on);
  /// Ranks' operator logs; read while no step runs.
  [[nodiscard]] const OpLog& op_log(int rank) const;
  [[nodiscard]] int world_size() const;
  /// Summed over all ranks since load.
  [[nodiscard]] LayoutCopies layout_copies() const;
  /// Bytes reserved on one card: weights are the model's own affair.
  struct ReservedBytes {
    std::int64_t kv_cache = 0;
    std::int64_t workspace = 0;
  };
  [[nodiscard]] ReservedBytes reserved_bytes() const;

 private:
  class Impl;  // one of the two pimpls the style allows: rank threads stay out of users' includes
  std::unique_ptr<Impl> impl_;
};

}  // namespace cardloom
