#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "cardloom/base/error.h"
#include "cardloom/models/model.h"
#include "cardloom/sampling/sampler.h"
#include "cardloom/tensor/tensor.h"

namespace cardloom {

/// A picture for every rank to encode into its own place `slot`.
struct PictureToEncode {
  std::int32_t slot = 0;
  /// f32 [3, S, S], for the first stage; shared: a lost rank may read on for ever.
  std::shared_ptr<const Tensor> pixel_values{};
  bool wants_embeds = false;
};

/// Rows [begin, end) of the encoded picture in `slot` stand at rows first_row.. of the step.
struct ImageRowRange {
  std::int64_t first_row = 0;
  std::int32_t slot = 0;
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

/// What all ranks do in one step: encode pictures, or run T rows of S sequences. Plain data that
/// could lie in a shared segment: places are named by index, never by a rank's addresses.
struct StepPlan {
  std::uint32_t step_id = 0;
  bool fingerprints = false;

  /// A later stage has the pictures of the stage before it, in the same order, and needs no pixels.
  /// There may be steps without pictures between stages, but no others with pictures.
  std::vector<PictureToEncode> pictures;
  VisionStage vision_stage{};
  VisionCut vision_cut = VisionCut::kAuto;

  std::vector<std::int32_t> token_ids;        ///< [T]
  std::vector<std::int32_t> positions;        ///< [T]
  std::vector<std::int64_t> slot_mapping;     ///< [T]
  std::vector<std::int32_t> token_sequences;  ///< [T], row of block_tables
  std::vector<std::int32_t> context_lens;     ///< [T]
  std::vector<std::int32_t> block_tables;     ///< [S, max_blocks]; 0 beyond a sequence's need
  std::int64_t max_blocks = 0;
  std::vector<std::int32_t> logits_rows;  ///< [R], ascending
  /// 0: whole rows of logits; else each rank tells so many of the largest of its part of each row.
  std::int64_t num_candidates = 0;
  std::vector<ImageRowRange> image_rows;

  [[nodiscard]] std::int64_t num_rows() const {
    return static_cast<std::int64_t>(token_ids.size());
  }
};

/// What became of a step on one rank. Logits f32 [R, V], if the plan asks for
/// them, lie in the front end's own memory.
struct StepResult {
  std::optional<Error> error;
  /// Whether nothing of the step runs any more; if not, the rank is lost.
  bool is_drained = true;
  VisionCut vision_cut = VisionCut::kHeads;
  std::vector<std::vector<Candidate>> candidates;  ///< [R] if the plan asks for them
  /// Rank 0, after the last stage: f32 [rows, H] of each picture that wants_embeds.
  std::vector<Tensor> image_embeds;
  std::uint64_t copies = 0;  ///< that layouts forced
  std::uint64_t copy_bytes = 0;
};

}  // namespace cardloom
