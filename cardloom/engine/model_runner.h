#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "cardloom/engine/batch.h"
#include "cardloom/engine/engine.h"

namespace cardloom {

/// What a rank reserves, in counts.
struct RankLimits {
  std::int64_t context_tokens = 0;  ///< of one sequence
  std::int64_t num_blocks = 0;
  std::int64_t block_size = 0;  ///< tokens
  DType kv_cache = DType::kBF16;
  std::int64_t num_picture_slots = 0;
  std::int64_t max_step_rows = 0;
  std::int64_t max_logits_rows = 0;
  std::int64_t max_pictures = 0;  ///< being encoded at once
};

/// The same in bytes.
struct RankBytes {
  std::int64_t kv_cache = 0;
  std::int64_t workspace = 0;
  std::int64_t pictures = 0;  ///< encoded ones, and hidden states of those being encoded
  std::int64_t logits = 0;
  std::int64_t logs = 0;  ///< the operator log and the stream's queue

  [[nodiscard]] std::int64_t total() const {
    return kv_cache + workspace + pictures + logits + logs;
  }
};

/// The counts that options mean for a model. Throws kInvalidArgument, naming the option, if one is
/// out of range.
[[nodiscard]] RankLimits rank_limits(const EngineOptions& options, const ModelInfo& info,
                                     int world_size);

/// Throws kResourceExhausted, naming the part, if a size does not fit 63 bits.
[[nodiscard]] RankBytes plan_rank_bytes(const ModelSizes& sizes, const RankLimits& limits);

/// One rank: a thread that runs step plans on its card, one at a time, and all the memory that a
/// step needs. The thread sleeps between steps.
///
/// One thread (the engine's) posts plans and takes results; members below the mailbox belong to the
/// rank's thread. If a step fails here, the group is aborted, so that every rank leaves the step.
class ModelRunner {
 public:
  /// `logits` f32 [max_logits_rows, V]: where this rank's logits go; the front end's memory on rank
  /// 0. All references must outlive the runner.
  ModelRunner(Device& device, Communicator& comm, Model& model, const RankLimits& limits,
              const StreamOptions& stream, const TensorView& logits);
  ~ModelRunner();
  ModelRunner(const ModelRunner&) = delete;
  ModelRunner& operator=(const ModelRunner&) = delete;

  /// Begins a step. Shared, because a rank that is lost may read its plan for ever.
  void post(std::shared_ptr<const StepPlan> plan);
  /// Whether the step has ended, after waiting for that at most so long.
  [[nodiscard]] bool wait_left(std::chrono::milliseconds limit);
  /// The result of the step that has ended.
  [[nodiscard]] StepResult take_result();

  /// Launches so far, and how many of them have run. Any thread.
  [[nodiscard]] std::uint64_t num_launched() const { return stream_.num_launched(); }
  [[nodiscard]] std::uint64_t num_finished() const { return stream_.num_finished(); }

  /// Takes all of the rank's memory from the system, next to its card. Before the first step.
  /// Throws kResourceExhausted.
  void populate();

  /// Only while no step runs.
  void set_trace(Trace* trace) { trace_ = trace; }
  [[nodiscard]] const OpLog& log() const { return log_; }

 private:
  void serve();
  StepResult run(const StepPlan& plan);
  void encode(const StepPlan& plan, StepResult& result);
  void check_stage(const StepPlan& plan) const;
  [[nodiscard]] bool is_last_stage(const StepPlan& plan) const;
  void forward(const StepPlan& plan);
  void take_candidates(const StepPlan& plan, StepResult& result) const;
  void copy_embeds(const StepPlan& plan, StepResult& result) const;
  void count_copies(StepResult& result);
  [[nodiscard]] StepContext context();

  std::mutex mutex_;  ///< guards the four below; no lock is taken inside it
  std::condition_variable wake_;
  std::shared_ptr<const StepPlan> plan_;
  std::optional<StepResult> result_;
  bool stop_ = false;

  Device& device_;
  Communicator& comm_;
  Model& model_;
  OpLog log_;
  Workspace workspace_;
  KvCache kv_cache_;
  Tensor pictures_;       ///< the model's dtype [num_picture_slots, image_rows, H]
  Tensor vision_states_;  ///< the model's dtype [pictures at once, vision_rows, vision_hidden_size]
  std::vector<std::int32_t> encoding_slots_;  ///< of the pictures that have a state
  int next_vision_layer_ = 0;                 ///< whose input the states are
  TensorView logits_;
  Tensor candidate_logits_;            ///< f32 [max_logits_rows, kMaxCandidates]
  Tensor candidate_ids_;               ///< i32, likewise
  std::vector<PictureJob> jobs_;       ///< of the running step; kernels may look at them until
  std::vector<ImageRows> image_rows_;  ///< it is drained, even if it failed while being launched
  Trace* trace_ = nullptr;
  std::shared_ptr<const StepPlan> stuck_plan_;  ///< a kernel that never ended may still read it
  LayoutCopies counted_;                        ///< of the log, already told in a StepResult
  Stream stream_;       ///< behind all that its kernels use: it ends when the last of them has
  std::thread thread_;  ///< last: it uses everything above
};

}  // namespace cardloom
