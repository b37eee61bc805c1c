#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "cardloom/engine/batch.h"
#include "cardloom/engine/content_hash.h"
#include "cardloom/engine/engine.h"
#include "cardloom/sampling/stop_checker.h"

namespace cardloom {

/// Rows [first_row, first_row + num_rows) of a sequence in a step; logits are wanted of the last
/// num_logits.
struct ScheduledRows {
  std::uint64_t sequence_id = 0;
  std::int64_t first_row = 0;
  std::int64_t num_rows = 0;
  std::int64_t num_logits = 0;
};

/// What a sequence must know of its engine.
struct SequenceOptions {
  std::int64_t block_size = 32;
  std::int64_t context_tokens = 0;  ///< rows it may have
};

/// A picture of a sequence.
struct SequencePicture {
  ContentHash key;  ///< of its pixels and the request's salt
  std::shared_ptr<const Tensor>
      pixels;                ///< shared with the plan that encodes it; kept for pre-emption
  std::int64_t end_row = 0;  ///< behind the last row that shows it
  std::int32_t slot = -1;    ///< where ranks keep its rows, while it is needed
};

/// One request's tokens and state. A row is a token or a row of a picture: row r < prompt rows is
/// the prompt's, row prompt rows + j is generated token j, at position next_position + j. A row is
/// *cached* once its keys and values are in the KV cache.
class Sequence {
 public:
  /// Hashes the prompt and its pictures, which takes a while: no member needs the engine's thread.
  Sequence(std::uint64_t id, Request request, const SequenceOptions& options);

  [[nodiscard]] std::uint64_t id() const { return id_; }
  [[nodiscard]] const Request& request() const { return request_; }
  [[nodiscard]] std::int64_t num_prompt_rows() const { return num_prompt_rows_; }
  [[nodiscard]] std::int64_t num_rows() const { return static_cast<std::int64_t>(tokens_.size()); }
  [[nodiscard]] std::int64_t num_generated() const { return num_rows() - num_prompt_rows_; }
  /// The most rows that it may come to need: the context, or what max_tokens leaves of it.
  [[nodiscard]] std::int64_t max_rows() const { return max_rows_; }
  /// Whether one row is left to compute, the last token's: true from the first token on, except
  /// after a pre-emption.
  [[nodiscard]] bool is_decoding() const {
    return num_generated() > 0 && num_cached_rows + 1 == num_rows();
  }

  /// Of all rows: what a repetition penalty looks at (a picture counts as its begin-of-image id).
  [[nodiscard]] std::span<const std::int32_t> tokens() const { return tokens_; }
  /// Of any row that is known, or proposed.
  [[nodiscard]] std::int32_t token(std::int64_t row) const;
  /// Of any row, known or the next.
  [[nodiscard]] std::int32_t position(std::int64_t row) const;

  /// Of all rows up to the end of block `block`, which must be known: the same for two sequences
  /// only if their keys and values are the same there and both may share them.
  [[nodiscard]] const ContentHash& block_key(std::int64_t block);

  void append_token(std::int32_t token_id) { tokens_.push_back(token_id); }

  std::vector<SequencePicture> pictures;
  std::vector<std::int32_t> block_table;  ///< KV blocks of rows 0.. in order
  std::int64_t num_cached_rows = 0;       ///< < num_rows: something always remains to be done
  std::int64_t num_published_blocks = 0;  ///< of block_table, from the first
  std::vector<std::int32_t> proposal;     ///< tokens that may follow, tried in the running step
  std::uint64_t last_step = 0;            ///< in which it last had a row; 0: never
  std::uint64_t arrival_step = 0;         ///< of the scheduler, when it came

  Tensor prompt_logits;              ///< f32 [prompt rows, V] if the request wants them
  std::vector<Tensor> image_embeds;  ///< f32 [rows, H] likewise
  StopChecker stop;
  SequenceTimes times;
  std::chrono::steady_clock::time_point submitted = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point prefill_begin{};
  std::chrono::steady_clock::time_point first_token{};

 private:
  void hash_pictures();
  void hash_next_block();

  std::uint64_t id_;
  Request request_;
  std::int64_t block_size_;
  std::int64_t num_prompt_rows_;
  std::int64_t max_rows_;
  std::vector<std::int32_t> tokens_;  ///< prompt, then generated
  std::vector<ContentHash> block_keys_;
};

/// Appends rows of `sequence` to a plan, for a KV cache with blocks of `block_size` tokens. The
/// sequence's block table must reach over the rows.
void append_rows(StepPlan& plan, const Sequence& sequence, const ScheduledRows& rows,
                 std::int64_t block_size);

/// Makes the tables [S, max_blocks] of a plan: one row a sequence, in the order of append_rows.
void append_block_tables(StepPlan& plan, std::span<const Sequence* const> sequences);

}  // namespace cardloom
