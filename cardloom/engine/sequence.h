#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <vector>

#include "cardloom/engine/batch.h"
#include "cardloom/engine/engine.h"
#include "cardloom/engine/scheduler.h"
#include "cardloom/sampling/stop_checker.h"

namespace cardloom {

/// One request's tokens and state. A row is a token or a row of a picture: row r < prompt rows is
/// the prompt's, row prompt rows + j is generated token j, at position next_position + j.
class Sequence {
 public:
  Sequence(std::uint64_t id, Request request);

  [[nodiscard]] std::uint64_t id() const { return id_; }
  [[nodiscard]] const Request& request() const { return request_; }
  [[nodiscard]] std::int64_t num_prompt_rows() const { return num_prompt_rows_; }
  [[nodiscard]] std::int64_t num_rows() const { return static_cast<std::int64_t>(tokens_.size()); }
  [[nodiscard]] std::int64_t num_generated() const { return num_rows() - num_prompt_rows_; }

  /// Of all rows: what a repetition penalty looks at (a picture counts as its begin-of-image id).
  [[nodiscard]] std::span<const std::int32_t> tokens() const { return tokens_; }
  /// Of any row, known or the next.
  [[nodiscard]] std::int32_t position(std::int64_t row) const;

  [[nodiscard]] SequenceNeed need() const;

  /// Takes the pixels of picture `index`, to be encoded.
  [[nodiscard]] Tensor take_picture(std::int64_t index);

  void append_token(std::int32_t token_id) { tokens_.push_back(token_id); }

  std::vector<std::int32_t> block_table;    ///< KV blocks of rows 0.. in order
  std::vector<std::int32_t> picture_slots;  ///< where ranks keep each picture's rows
  std::int64_t num_cached_rows = 0;
  std::int64_t num_encoded_pictures = 0;
  std::uint64_t last_step = 0;

  Tensor prompt_logits;              ///< f32 [prompt rows, V] if the request wants them
  std::vector<Tensor> image_embeds;  ///< f32 [rows, H] likewise
  StopChecker stop;
  SequenceTimes times;
  std::chrono::steady_clock::time_point prefill_begin{};
  std::chrono::steady_clock::time_point first_token{};

 private:
  std::uint64_t id_;
  Request request_;
  std::int64_t num_prompt_rows_;
  std::vector<std::int32_t> tokens_;  ///< prompt, then generated
};

/// Appends rows of `sequence` to a plan, for a KV cache with blocks of `block_size` tokens. The
/// sequence's block table must reach over the rows.
void append_rows(StepPlan& plan, const Sequence& sequence, const ScheduledRows& rows,
                 std::int64_t block_size);

/// Makes the tables [S, max_blocks] of a plan: one row a sequence, in the order of append_rows.
void append_block_tables(StepPlan& plan, std::span<const Sequence* const> sequences);

}  // namespace cardloom
