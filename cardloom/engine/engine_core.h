#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "cardloom/engine/engine.h"
#include "cardloom/engine/engine_loop.h"
#include "cardloom/engine/rank_group.h"
#include "cardloom/engine/scheduler.h"
#include "cardloom/engine/vision_stages.h"

namespace cardloom {

/// What an Engine is made of: ranks that compute, a scheduler that says what, and the step between
/// the two: plan, result, tokens, events.
class EngineCore {
 public:
  EngineCore(CardGroup cards, const ModelFactory& make_models, const EngineOptions& options);

  // As Engine's.
  [[nodiscard]] Result<std::unique_ptr<Sequence>> prepare(Request request) const;
  void admit(std::unique_ptr<Sequence> sequence);
  void end_sequence(std::uint64_t sequence_id);
  [[nodiscard]] bool begin_step();
  [[nodiscard]] StepReport end_step();
  [[nodiscard]] std::vector<SequenceEvent> step();
  [[nodiscard]] EngineStats stats() const;

  [[nodiscard]] Sequence& find(std::uint64_t sequence_id) const;
  [[nodiscard]] bool idle() const { return scheduler_.empty(); }
  [[nodiscard]] std::int64_t max_sequences() const { return options_.max_sequences; }
  [[nodiscard]] const RankGroup& ranks() const { return ranks_; }
  RankGroup& ranks() { return ranks_; }
  void set_fingerprints(bool on) { fingerprints_ = on; }
  [[nodiscard]] LayoutCopies copies() const { return copies_; }

 private:
  using Clock = std::chrono::steady_clock;
  /// The step that runs: one of the two kinds.
  struct Running {
    bool encodes = false;             ///< the next stage of encoding_
    std::vector<ScheduledRows> rows;  ///< else
    Clock::time_point begin;
  };
  /// Pictures that are being encoded, stage by stage.
  struct Encoding {
    std::vector<ScheduledPicture> pictures;
    std::size_t num_stages_done = 0;
  };

  StepPlan make_plan();
  void drop_pictures();
  StepPlan plan_pictures();
  StepPlan plan_rows(const std::vector<ScheduledRows>& scheduled);
  [[nodiscard]] std::int64_t candidates_for(const std::vector<ScheduledRows>& scheduled) const;
  [[nodiscard]] std::int64_t candidates_for(const Sequence& sequence,
                                            const ScheduledRows& rows) const;
  [[nodiscard]] std::vector<std::uint64_t> sequences_of(const Running& step) const;
  [[nodiscard]] SequenceProgress progress_of(const Sequence& sequence) const;
  void stage_done(const Running& step, StepResult& result);
  void rows_done(const Running& step, StepResult& result, std::vector<SequenceEvent>& events);
  void keep_prompt_logits(Sequence& sequence, const ScheduledRows& rows, std::int64_t logits_row);
  void choose_tokens(Sequence& sequence, const ScheduledRows& rows, StepResult& result,
                     std::int64_t logits_row, std::vector<SequenceEvent>& events);
  SequenceEvent choose_token(Sequence& sequence, StepResult& result, std::int64_t logits_row);
  FinishReason append(Sequence& sequence, std::int32_t token_id);
  void fail(std::uint64_t sequence_id, const Error& error, std::vector<SequenceEvent>& events);

  EngineOptions options_;
  RankGroup ranks_;
  Scheduler scheduler_;
  bool fingerprints_;
  mutable std::atomic<std::uint64_t> last_id_{0};  ///< prepare() takes from it on any thread
  std::uint32_t last_step_ = 0;
  bool encoded_last_ = false;  ///< whether the last step encoded pictures
  const std::vector<VisionStage> vision_stages_;
  Encoding encoding_;  ///< no pictures: nothing is being encoded
  std::optional<Running> running_;
  LayoutCopies copies_;
  Clock::duration step_time_{};  ///< of all steps so far
  std::uint64_t prompt_tokens_ = 0;
  std::uint64_t generated_tokens_ = 0;
  StepRows step_rows_;
  std::uint64_t corrupted_ = 0;
  std::uint64_t speculated_ = 0;
  std::uint64_t accepted_ = 0;
  std::map<std::uint64_t, std::unique_ptr<Sequence>> ended_;  ///< since the last admit()
};

}  // namespace cardloom
