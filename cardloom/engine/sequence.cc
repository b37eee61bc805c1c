#include "cardloom/engine/sequence.h"

#include <algorithm>
#include <utility>

namespace cardloom {

Sequence::Sequence(std::uint64_t id, Request request)
    : stop(request.stop_ids, request.max_tokens),
      id_(id),
      request_(std::move(request)),
      num_prompt_rows_(static_cast<std::int64_t>(request_.prompt.token_ids.size())),
      tokens_(request_.prompt.token_ids) {
  times.prompt_rows = num_prompt_rows_;
}

std::int32_t Sequence::position(std::int64_t row) const {
  if (row < num_prompt_rows_) return request_.prompt.positions[static_cast<std::size_t>(row)];
  return request_.prompt.next_position + static_cast<std::int32_t>(row - num_prompt_rows_);
}

SequenceNeed Sequence::need() const {
  return {.num_prompt_rows = num_prompt_rows_,
          .num_rows = num_rows(),
          .num_cached_rows = num_cached_rows,
          .num_pictures = static_cast<std::int64_t>(request_.prompt.images.size()),
          .num_encoded_pictures = num_encoded_pictures,
          .wants_prompt_logits = request_.prompt_logits,
          .last_step = last_step};
}

Tensor Sequence::take_picture(std::int64_t index) {
  return std::exchange(request_.prompt.images[static_cast<std::size_t>(index)], Tensor());
}

namespace {

/// The parts of pictures among rows [first_row, first_row + num_rows) of a sequence, which begin at
/// row `step_row` of the step.
void append_image_rows(StepPlan& plan, const Sequence& sequence, const ScheduledRows& rows,
                       std::int64_t step_row) {
  for (const ImageSpan& span : sequence.request().prompt.image_spans) {
    const std::int64_t begin = std::max(span.begin, rows.first_row);
    const std::int64_t end = std::min(span.end, rows.first_row + rows.num_rows);
    if (begin >= end) continue;
    plan.image_rows.push_back({.first_row = step_row + begin - rows.first_row,
                               .slot = sequence.picture_slots[static_cast<std::size_t>(span.image)],
                               .begin = begin - span.begin,
                               .end = end - span.begin});
  }
}

}  // namespace

void append_rows(StepPlan& plan, const Sequence& sequence, const ScheduledRows& rows,
                 std::int64_t block_size) {
  const std::int64_t step_row = plan.num_rows();
  const std::int32_t number = plan.token_sequences.empty() ? 0 : plan.token_sequences.back() + 1;
  for (std::int64_t row = rows.first_row; row < rows.first_row + rows.num_rows; ++row) {
    const std::int64_t block = sequence.block_table[static_cast<std::size_t>(row / block_size)];
    plan.token_ids.push_back(sequence.tokens()[static_cast<std::size_t>(row)]);
    plan.positions.push_back(sequence.position(row));
    plan.slot_mapping.push_back(block * block_size + row % block_size);
    plan.token_sequences.push_back(number);
    plan.context_lens.push_back(static_cast<std::int32_t>(row + 1));
  }
  for (std::int64_t back = rows.num_logits; back > 0; --back) {
    plan.logits_rows.push_back(static_cast<std::int32_t>(plan.num_rows() - back));
  }
  append_image_rows(plan, sequence, rows, step_row);
}

void append_block_tables(StepPlan& plan, std::span<const Sequence* const> sequences) {
  std::size_t width = 0;
  for (const Sequence* sequence : sequences) width = std::max(width, sequence->block_table.size());
  plan.max_blocks = static_cast<std::int64_t>(width);
  for (const Sequence* sequence : sequences) {
    plan.block_tables.insert(plan.block_tables.end(), sequence->block_table.begin(),
                             sequence->block_table.end());
    plan.block_tables.resize(plan.block_tables.size() + width - sequence->block_table.size());
  }
}

}  // namespace cardloom
