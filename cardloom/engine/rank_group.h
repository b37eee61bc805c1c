#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "cardloom/engine/engine.h"
#include "cardloom/engine/model_runner.h"

namespace cardloom {

/// All ranks: their cards, models and runners. Runs a step on every one until each has left it,
/// well or not; after a failure makes the group usable again.
///
/// Used by the engine's thread alone.
class RankGroup {
 public:
  /// Throws kInvalidArgument if there are no cards or models of another number;
  /// kResourceExhausted with the plan if memory is short.
  RankGroup(CardGroup cards, const ModelFactory& make_models, const EngineOptions& options);
  ~RankGroup();
  RankGroup(const RankGroup&) = delete;
  RankGroup& operator=(const RankGroup&) = delete;

  /// Begins `plan` on every rank and returns at once; finish() must follow.
  void begin(StepPlan plan);
  /// Waits for the step. The result is rank 0's, with the first failure of any rank and the copies
  /// of all. A rank that makes no progress for twice the stream's stall deadline is named by
  /// kDeadlineExceeded, and lost unless it leaves after all.
  StepResult finish();

  /// Set once a rank is lost: kernels may still run on its memory, so no step can follow.
  [[nodiscard]] const std::optional<Error>& lost() const { return lost_; }

  [[nodiscard]] int world_size() const { return static_cast<int>(cards_.devices.size()); }
  [[nodiscard]] const ModelInfo& model_info() const { return models_.front()->info(); }
  [[nodiscard]] std::int64_t context_tokens() const { return context_tokens_; }
  [[nodiscard]] const RankLimits& limits() const { return limits_; }
  /// The largest of any rank.
  [[nodiscard]] const RankBytes& bytes() const { return bytes_; }
  /// Row `row` of the last step's logits: f32 [V].
  [[nodiscard]] std::span<const float> logits(std::int64_t row) const;

  void set_trace(Trace* trace) { runners_.front()->set_trace(trace); }
  [[nodiscard]] const OpLog& log(int rank) const;

 private:
  void reserve(const StreamOptions& stream);
  bool wait_until_all_left(std::chrono::milliseconds patience);
  [[nodiscard]] Error name_stuck_ranks() const;
  void recover(StepResult& result);

  CardGroup cards_;
  std::vector<std::unique_ptr<Model>> models_;  ///< [rank]
  std::int64_t context_tokens_ = 0;
  RankLimits limits_;
  RankBytes bytes_;
  std::chrono::milliseconds patience_;
  std::uint32_t step_id_ = 0;   ///< of the step that runs, or ran last
  std::vector<Tensor> logits_;  ///< [rank]; rank 0's is what the engine reads
  std::optional<Error> lost_;
  std::vector<std::unique_ptr<ModelRunner>> runners_;  ///< [rank]; last: threads use all above
};

}  // namespace cardloom
