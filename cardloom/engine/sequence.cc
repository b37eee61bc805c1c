#include "cardloom/engine/sequence.h"

#include <algorithm>
#include <utility>

namespace cardloom {

Sequence::Sequence(std::uint64_t id, Request request, const SequenceOptions& options)
    : stop(request.stop_ids, request.max_tokens),
      id_(id),
      request_(std::move(request)),
      block_size_(options.block_size),
      num_prompt_rows_(static_cast<std::int64_t>(request_.prompt.token_ids.size())),
      max_rows_(options.context_tokens),
      tokens_(request_.prompt.token_ids) {
  const std::int64_t max_tokens = request_.max_tokens;
  if (max_tokens > 0 && max_tokens < max_rows_ - num_prompt_rows_) {
    max_rows_ = num_prompt_rows_ + max_tokens;
  }
  times.prompt_rows = num_prompt_rows_;
  hash_pictures();
  while ((static_cast<std::int64_t>(block_keys_.size()) + 1) * block_size_ <= num_prompt_rows_) {
    hash_next_block();
  }
}

void Sequence::hash_pictures() {
  Prompt& prompt = request_.prompt;
  for (Tensor& image : prompt.images) {
    ContentHasher hasher;
    hasher.add(request_.cache_salt);
    // Who keeps the encoded rows must see them encoded: such a picture is shared with nobody.
    hasher.add(request_.prompt_logits ? id_ : std::uint64_t{0});
    hasher.add(
        std::as_bytes(std::span(image.view().data, static_cast<std::size_t>(image.size_bytes()))));
    pictures.push_back(
        {.key = hasher.finish(), .pixels = std::make_shared<const Tensor>(std::move(image))});
  }
  for (const ImageSpan& span : prompt.image_spans) {
    std::int64_t& end = pictures[static_cast<std::size_t>(span.image)].end_row;
    end = std::max(end, span.end);
  }
}

/// Chained: the key before, then each row as (token, position), a picture's row as (no token,
/// position, row of the picture, its key). Ids are never negative, so no text reads as a picture.
void Sequence::hash_next_block() {
  constexpr std::uint32_t kNoToken = 0xffffffffU;
  const std::int64_t begin = static_cast<std::int64_t>(block_keys_.size()) * block_size_;
  ContentHasher hasher;
  if (block_keys_.empty()) {
    hasher.add(request_.cache_salt);
  } else {
    hasher.add(block_keys_.back());
  }
  const std::vector<ImageSpan>& spans = request_.prompt.image_spans;
  auto span = std::partition_point(spans.begin(), spans.end(),
                                   [&](const ImageSpan& each) { return each.end <= begin; });
  for (std::int64_t row = begin; row < begin + block_size_; ++row) {
    if (span != spans.end() && row >= span->end) ++span;
    const auto place = static_cast<std::uint32_t>(position(row));
    if (span != spans.end() && row >= span->begin) {
      hasher.add(kNoToken);
      hasher.add(place);
      hasher.add(static_cast<std::uint64_t>(row - span->begin));
      hasher.add(pictures[static_cast<std::size_t>(span->image)].key);
    } else {
      hasher.add(static_cast<std::uint32_t>(tokens_[static_cast<std::size_t>(row)]));
      hasher.add(place);
    }
  }
  block_keys_.push_back(hasher.finish());
}

const ContentHash& Sequence::block_key(std::int64_t block) {
  while (static_cast<std::int64_t>(block_keys_.size()) <= block) hash_next_block();
  return block_keys_[static_cast<std::size_t>(block)];
}

std::int32_t Sequence::token(std::int64_t row) const {
  if (row < num_rows()) return tokens_[static_cast<std::size_t>(row)];
  return proposal[static_cast<std::size_t>(row - num_rows())];
}

std::int32_t Sequence::position(std::int64_t row) const {
  if (row < num_prompt_rows_) return request_.prompt.positions[static_cast<std::size_t>(row)];
  return request_.prompt.next_position + static_cast<std::int32_t>(row - num_prompt_rows_);
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
                               .slot = sequence.pictures[static_cast<std::size_t>(span.image)].slot,
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
    plan.token_ids.push_back(sequence.token(row));
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
