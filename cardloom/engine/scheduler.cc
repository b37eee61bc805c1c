#include "cardloom/engine/scheduler.h"

#include <algorithm>

namespace cardloom {
namespace {

/// What is left of a step's limits.
struct Budget {
  std::int64_t rows = 0;
  std::int64_t logits = 0;

  void spend(const ScheduledRows& scheduled) {
    rows -= scheduled.num_rows;
    logits -= scheduled.num_logits;
  }
};

/// The longest chunk of a prompt that fits; empty if none does.
ScheduledRows prompt_chunk(std::size_t sequence, const SequenceNeed& need, const Budget& budget) {
  const std::int64_t left = need.num_prompt_rows - need.num_cached_rows;
  ScheduledRows chunk{sequence, need.num_cached_rows, std::min(left, budget.rows), 0};
  if (need.wants_prompt_logits) {
    chunk.num_rows = std::min(chunk.num_rows, budget.logits);
    chunk.num_logits = chunk.num_rows;
  } else if (chunk.num_rows == left) {
    if (budget.logits > 0) {
      chunk.num_logits = 1;
    } else {
      --chunk.num_rows;  // the last row waits for a step that can take its logits
    }
  }
  return chunk;
}

}  // namespace

std::vector<ScheduledRows> schedule_rows(std::span<const SequenceNeed> needs,
                                         const StepLimits& limits) {
  std::vector<ScheduledRows> scheduled;
  Budget budget{limits.max_rows, limits.max_logits_rows};

  std::vector<std::size_t> decoding;
  for (std::size_t sequence = 0; sequence < needs.size(); ++sequence) {
    if (needs[sequence].is_decoding()) decoding.push_back(sequence);
  }
  std::stable_sort(decoding.begin(), decoding.end(), [&](std::size_t a, std::size_t b) {
    return needs[a].last_step < needs[b].last_step;
  });
  for (const std::size_t sequence : decoding) {
    if (budget.rows == 0 || budget.logits == 0) break;
    scheduled.push_back({sequence, needs[sequence].num_cached_rows, 1, 1});
    budget.spend(scheduled.back());
  }

  for (std::size_t sequence = 0; sequence < needs.size(); ++sequence) {
    const SequenceNeed& need = needs[sequence];
    if (need.is_decoding() || need.waits_for_pictures()) continue;
    const ScheduledRows chunk = prompt_chunk(sequence, need, budget);
    if (chunk.num_rows == 0) continue;
    scheduled.push_back(chunk);
    budget.spend(chunk);
  }
  return scheduled;
}

std::vector<ScheduledPicture> schedule_pictures(std::span<const SequenceNeed> needs,
                                                const StepLimits& limits) {
  std::vector<ScheduledPicture> scheduled;
  for (std::size_t sequence = 0; sequence < needs.size(); ++sequence) {
    const SequenceNeed& need = needs[sequence];
    for (std::int64_t picture = need.num_encoded_pictures; picture < need.num_pictures; ++picture) {
      if (static_cast<std::int64_t>(scheduled.size()) == limits.max_pictures) return scheduled;
      scheduled.push_back({sequence, picture});
    }
  }
  return scheduled;
}

}  // namespace cardloom
