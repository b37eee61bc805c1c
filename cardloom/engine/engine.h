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
  std::int64_t max_sequences = 1;      ///< sequences running at once; others wait
  std::int64_t kv_tokens = 0;          ///< rows of the KV cache; 0: a full context for each of them
  std::int64_t max_step_tokens = 512;  ///< rows of one step: longer prompts run in chunks
  std::int64_t block_size = 32;        ///< tokens of a KV block
  std::optional<DType> kv_cache{};     ///< kI8: q8; empty: as the model computes
  std::int64_t max_logits_rows = 64;   ///< rows of logits of one step (prompt_logits asks for many)
  std::int64_t max_pictures_per_step = 8;
  int vision_layers_per_step = 0;  ///< of the vision tower, between two steps of rows; 0: all
  /// Of encoded pictures on each card, at least those that one context can show; 0: as many as the
  /// KV cache can show.
  std::int64_t picture_bytes = 0;
  bool prefix_cache = true;          ///< whether requests share keys and values of equal blocks
  std::int64_t aging_steps = 256;    ///< after which a sequence counts as one class higher
  std::int64_t speculate_ngram = 0;  ///< most tokens to propose by look-up in a step; 0: none
  VisionCut vision_cut = VisionCut::kAuto;
  /// Whether all reserved memory is taken from the system at once, not page by page when first
  /// used: then it cannot be gone by the time that a request needs it.
  bool populate = false;
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

/// How far a sequence is with its prompt.
struct SequenceProgress {
  std::uint64_t sequence_id = 0;
  std::int64_t pictures_encoded = 0;
  std::int64_t rows_cached = 0;  ///< of the prompt
};

/// What a step did.
struct StepReport {
  std::uint32_t step_id = 0;
  std::int64_t rows = 0;
  std::int64_t pictures = 0;                 ///< encoded
  std::vector<SequenceProgress> progress{};  ///< of all that had part in it and were not cancelled
  std::vector<SequenceEvent> events{};
};

class EngineCore;
class Sequence;
struct EngineStats;

/// Runs sequences on the cards, several at once: KV cache in blocks, prompts in chunks, one token a
/// sequence and step, or several that were guessed right. One thread uses it, but for prepare().
class Engine {
 public:
  /// Starts one thread a rank and reserves all memory (throws kResourceExhausted with the plan).
  Engine(CardGroup cards, const ModelFactory& make_models, const EngineOptions& options);
  /// Waits for nobody that is lost: their memory is freed if their kernels ever end.
  ~Engine();

  /// Takes a sequence, which waits until there is room for it; how many wait is the caller's
  /// affair. Returns its id, or kInvalidArgument with the numbers if the prompt is longer than the
  /// context, a token id is outside the vocabulary, a position outside the table, pictures and
  /// spans do not fit together or sampling is out of range; kResourceExhausted if there is no
  /// memory for what the request wants kept; kUnavailable once a rank is lost.
  Result<std::uint64_t> submit(Request request);

  /// Ends a sequence, without an event; its blocks are free at once. Unknown ids are ignored.
  void cancel(std::uint64_t sequence_id);

  /// Runs one step over the sequences that are ready: encodes pictures, some prompt rows, one
  /// decode row each. Returns what happened; nothing if no sequence is active. A failure of the
  /// step ends the sequences in it with kError events and the engine goes on; only a rank that
  /// never leaves the step is lost, and then all sequences end.
  std::vector<SequenceEvent> step();

  /// submit() in two parts, for EngineLoop: prepare() checks and hashes, on any thread; it differs
  /// from submit() in that a lost rank is no reason to refuse.
  [[nodiscard]] Result<std::unique_ptr<Sequence>> prepare(Request request) const;
  void admit(std::unique_ptr<Sequence> sequence);
  /// step() in two parts: begin_step() lets the ranks begin, or returns false if no sequence is
  /// active; end_step() waits for them. Between the two only admit(), cancel() and looks. Pictures
  /// are encoded in steps of their own, of vision_layers_per_step each, of which two never follow
  /// one another while there are rows to run: running sequences wait for one at the most.
  [[nodiscard]] bool begin_step();
  [[nodiscard]] StepReport end_step();
  /// Why no step can follow, if so.
  [[nodiscard]] const std::optional<Error>& lost() const;
  [[nodiscard]] EngineStats stats() const;

  [[nodiscard]] bool idle() const;
  [[nodiscard]] const ModelInfo& model_info() const;
  [[nodiscard]] std::int64_t context_tokens() const;
  [[nodiscard]] std::int64_t max_sequences() const;

  /// Of a sequence that is active or ended since the last submit or admit.
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
  // One of the two pimpls the style allows: rank threads stay out of users' includes.
  std::unique_ptr<EngineCore> core_;
};

}  // namespace cardloom
