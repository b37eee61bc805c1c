#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace cardloom {

/// What the scheduler must know of a sequence. Its *rows* are those of the prompt and then one for
/// each generated token; a row is *cached* once its keys and values are in the KV cache.
struct SequenceNeed {
  std::int64_t num_prompt_rows = 0;
  std::int64_t num_rows = 0;         ///< known so far
  std::int64_t num_cached_rows = 0;  ///< < num_rows: something always remains to be done
  std::int64_t num_pictures = 0;
  std::int64_t num_encoded_pictures = 0;
  bool wants_prompt_logits = false;  ///< logits of every prompt row, not of the last alone
  std::uint64_t last_step = 0;       ///< in which it last had a row; 0: never

  [[nodiscard]] bool waits_for_pictures() const { return num_encoded_pictures < num_pictures; }
  [[nodiscard]] bool is_decoding() const { return num_cached_rows >= num_prompt_rows; }
};

struct StepLimits {
  std::int64_t max_rows = 0;         ///< of a step; >= 1
  std::int64_t max_logits_rows = 0;  ///< of a step; >= 1
  std::int64_t max_pictures = 0;     ///< of an encode step; >= 1
};

/// Rows [first_row, first_row + num_rows) of a sequence; logits are wanted of the last num_logits.
struct ScheduledRows {
  std::size_t sequence = 0;  ///< index into the needs
  std::int64_t first_row = 0;
  std::int64_t num_rows = 0;
  std::int64_t num_logits = 0;
};

/// The rows of the next step, for sequences in order of arrival.
///
/// First one row of each sequence that is decoding, those that waited longest in front; then chunks
/// of prompts in order of arrival, as long as the limits allow. Sequences whose pictures are not
/// encoded are passed over. Every row but the last of a prompt, and each one of a sequence that
/// wants prompt logits, asks for no logits. Nothing if no sequence is ready.
///
/// Pure: the same needs and limits give the same rows.
[[nodiscard]] std::vector<ScheduledRows> schedule_rows(std::span<const SequenceNeed> needs,
                                                       const StepLimits& limits);

/// A picture to be encoded.
struct ScheduledPicture {
  std::size_t sequence = 0;  ///< index into the needs
  std::int64_t picture = 0;  ///< index of the sequence's pictures
};

/// The next pictures to encode in one step, in order of arrival.
[[nodiscard]] std::vector<ScheduledPicture> schedule_pictures(std::span<const SequenceNeed> needs,
                                                              const StepLimits& limits);

}  // namespace cardloom
