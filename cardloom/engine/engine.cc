#include "cardloom/engine/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <thread>
#include <utility>

#include "cardloom/base/check.h"
#include "cardloom/engine/admission.h"
#include "cardloom/engine/block_allocator.h"
#include "cardloom/engine/rank_group.h"
#include "cardloom/engine/sequence.h"
#include "cardloom/sampling/sampler.h"

namespace cardloom {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

std::string_view to_string(FinishReason reason) {
  switch (reason) {
    case FinishReason::kNone:
      return "none";
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kError:
      return "error";
  }
  return "?";
}

class Engine::Impl {
 public:
  Impl(CardGroup cards, const ModelFactory& make_models, const EngineOptions& options)
      : options_(options),
        ranks_(std::move(cards), make_models, options),
        blocks_(ranks_.limits().num_blocks),
        picture_slots_(ranks_.limits().num_picture_slots),
        fingerprints_(options.stream.fingerprints) {}

  Result<std::uint64_t> submit(Request request);
  void cancel(std::uint64_t sequence_id);
  std::vector<SequenceEvent> step();
  Sequence& find(std::uint64_t sequence_id);

  [[nodiscard]] bool idle() const { return active_.empty(); }
  [[nodiscard]] const RankGroup& ranks() const { return ranks_; }
  RankGroup& ranks() { return ranks_; }
  void set_fingerprints(bool on) { fingerprints_ = on; }
  [[nodiscard]] LayoutCopies copies() const { return copies_; }

 private:
  using Rows = std::vector<ScheduledRows>;

  [[nodiscard]] std::vector<SequenceNeed> needs() const;
  [[nodiscard]] StepLimits step_limits() const;
  Sequence& active(std::size_t index) { return *active_[index]; }
  void encode_pictures(std::vector<SequenceEvent>& events);
  void run_rows(std::vector<SequenceEvent>& events);
  void take_embeds(const std::vector<ScheduledPicture>& pictures, StepResult& result,
                   Clock::duration duration);
  StepPlan make_plan();
  StepPlan plan_rows(const Rows& scheduled);
  StepResult run(StepPlan plan);
  void reserve_blocks(Sequence& sequence, std::int64_t num_rows);
  void keep_prompt_logits(Sequence& sequence, const ScheduledRows& rows, std::int64_t logits_row);
  [[nodiscard]] std::int64_t candidates_for(const Rows& scheduled);
  SequenceEvent choose_token(Sequence& sequence, StepResult& result, std::int64_t logits_row);
  FinishReason append(Sequence& sequence, std::int32_t token_id);
  void fail(const std::vector<std::uint64_t>& sequence_ids, const Error& error,
            std::vector<SequenceEvent>& events);
  void finish(std::uint64_t sequence_id);

  EngineOptions options_;
  RankGroup ranks_;
  BlockAllocator blocks_;         ///< of the KV cache
  BlockAllocator picture_slots_;  ///< of the ranks' encoded pictures
  bool fingerprints_;
  std::uint64_t last_id_ = 0;
  std::uint32_t last_step_ = 0;
  LayoutCopies copies_;
  std::vector<std::unique_ptr<Sequence>> active_;    ///< in order of arrival
  std::vector<std::unique_ptr<Sequence>> finished_;  ///< since the last submit
};

Result<std::uint64_t> Engine::Impl::submit(Request request) {
  if (ranks_.lost()) {
    return make_error(ErrorCode::kUnavailable, "the engine has lost a rank",
                      ranks_.lost()->describe(), "restart the command");
  }
  const ModelInfo& model = ranks_.model_info();
  if (Status status = check_request(request, model, ranks_.context_tokens()); !status) {
    return status.error();
  }
  if (static_cast<std::int64_t>(active_.size()) >= options_.max_sequences) {
    return make_error(ErrorCode::kResourceExhausted,
                      fmt::format("all {} places for sequences are taken", options_.max_sequences),
                      {}, "wait until one ends, or load the model with more places");
  }
  auto sequence = std::make_unique<Sequence>(last_id_ + 1, std::move(request));
  if (sequence->request().prompt_logits) {
    try {
      sequence->prompt_logits =
          Tensor(DType::kF32, {sequence->num_prompt_rows(), model.vocab_size});
    } catch (const Exception& failure) {  // a request's own size: its error, not the engine's
      return failure.error();
    }
  }
  for (std::size_t image = 0; image < sequence->request().prompt.images.size(); ++image) {
    const std::optional<std::int32_t> slot = picture_slots_.allocate();
    CARDLOOM_ASSERT(slot.has_value());  // every picture has rows of its own in the context
    sequence->picture_slots.push_back(*slot);
  }
  finished_.clear();
  active_.push_back(std::move(sequence));
  return ++last_id_;
}

void Engine::Impl::cancel(std::uint64_t sequence_id) { finish(sequence_id); }

/// Frees what the sequence holds; its record stays until the next submit.
void Engine::Impl::finish(std::uint64_t sequence_id) {
  const auto entry = std::find_if(active_.begin(), active_.end(), [&](const auto& sequence) {
    return sequence->id() == sequence_id;
  });
  if (entry == active_.end()) return;
  Sequence& sequence = **entry;
  for (const std::int32_t block : sequence.block_table) blocks_.release(block);
  for (const std::int32_t slot : sequence.picture_slots) picture_slots_.release(slot);
  sequence.block_table.clear();
  sequence.picture_slots.clear();
  finished_.push_back(std::move(*entry));
  active_.erase(entry);
}

void Engine::Impl::fail(const std::vector<std::uint64_t>& sequence_ids, const Error& error,
                        std::vector<SequenceEvent>& events) {
  for (const std::uint64_t id : sequence_ids) {
    events.push_back({.sequence_id = id, .finish = FinishReason::kError, .error = error});
    finish(id);
  }
}

Sequence& Engine::Impl::find(std::uint64_t sequence_id) {
  for (const auto* list : {&active_, &finished_}) {
    for (const auto& sequence : *list) {
      if (sequence->id() == sequence_id) return *sequence;
    }
  }
  throw_error(
      ErrorCode::kNotFound,
      fmt::format("sequence {} is neither active nor finished since the last submit", sequence_id));
}

std::vector<SequenceNeed> Engine::Impl::needs() const {
  std::vector<SequenceNeed> needs;
  for (const auto& sequence : active_) needs.push_back(sequence->need());
  return needs;
}

StepLimits Engine::Impl::step_limits() const {
  const RankLimits& limits = ranks_.limits();
  return {limits.max_step_rows, limits.max_logits_rows, limits.max_pictures};
}

StepPlan Engine::Impl::make_plan() {
  StepPlan plan;
  plan.step_id = ++last_step_;
  plan.fingerprints = fingerprints_;
  plan.vision_cut = options_.vision_cut;
  return plan;
}

StepResult Engine::Impl::run(StepPlan plan) {
  StepResult result = ranks_.run(std::move(plan));
  copies_.copies += result.copies;
  copies_.bytes += result.copy_bytes;
  return result;
}

std::vector<SequenceEvent> Engine::Impl::step() {
  std::vector<SequenceEvent> events;
  encode_pictures(events);
  if (!ranks_.lost()) run_rows(events);
  if (ranks_.lost()) {  // no step can follow: what was not in this one ends too
    std::vector<std::uint64_t> ids;
    for (const auto& sequence : active_) ids.push_back(sequence->id());
    fail(ids, *ranks_.lost(), events);
  }
  return events;
}

void Engine::Impl::encode_pictures(std::vector<SequenceEvent>& events) {
  const std::vector<ScheduledPicture> pictures = schedule_pictures(needs(), step_limits());
  if (pictures.empty()) return;
  StepPlan plan = make_plan();
  plan.vision_stage = {.first_layer = 0, .end_layer = ranks_.model_info().num_vision_layers};
  std::vector<std::uint64_t> ids;
  for (const ScheduledPicture& scheduled : pictures) {
    Sequence& sequence = active(scheduled.sequence);
    plan.pictures.push_back(
        {.slot = sequence.picture_slots[static_cast<std::size_t>(scheduled.picture)],
         .pixel_values = std::make_shared<const Tensor>(sequence.take_picture(scheduled.picture)),
         .wants_embeds = sequence.request().prompt_logits});
    if (ids.empty() || ids.back() != sequence.id()) ids.push_back(sequence.id());
  }
  const Clock::time_point begin = Clock::now();
  StepResult result = run(std::move(plan));
  if (result.error) {
    fail(ids, *result.error, events);
  } else {
    take_embeds(pictures, result, Clock::now() - begin);
  }
}

void Engine::Impl::take_embeds(const std::vector<ScheduledPicture>& pictures, StepResult& result,
                               Clock::duration duration) {
  auto embeds = result.image_embeds.begin();
  const Sequence* previous = nullptr;
  for (const ScheduledPicture& scheduled : pictures) {
    Sequence& sequence = active(scheduled.sequence);
    ++sequence.num_encoded_pictures;
    sequence.times.vision_cut = result.vision_cut;
    if (sequence.request().prompt_logits) sequence.image_embeds.push_back(std::move(*embeds++));
    if (&sequence != previous) sequence.times.vision += duration;  // once, however many it had
    previous = &sequence;
  }
}

void Engine::Impl::reserve_blocks(Sequence& sequence, std::int64_t num_rows) {
  const std::int64_t block_size = ranks_.limits().block_size;
  while (static_cast<std::int64_t>(sequence.block_table.size()) * block_size < num_rows) {
    const std::optional<std::int32_t> block = blocks_.allocate();
    CARDLOOM_ASSERT(block.has_value());  // there are blocks for every sequence's whole context
    sequence.block_table.push_back(*block);
  }
}

StepPlan Engine::Impl::plan_rows(const Rows& scheduled) {
  StepPlan plan = make_plan();
  std::vector<const Sequence*> sequences;
  for (const ScheduledRows& rows : scheduled) {
    Sequence& sequence = active(rows.sequence);
    reserve_blocks(sequence, rows.first_row + rows.num_rows);
    append_rows(plan, sequence, rows, ranks_.limits().block_size);
    sequence.last_step = plan.step_id;
    sequences.push_back(&sequence);
  }
  append_block_tables(plan, sequences);
  plan.num_candidates = candidates_for(scheduled);
  return plan;
}

/// How many candidates of each row are enough for all that are sampled; 0 if somebody needs whole
/// rows of logits (`check` compares them, too).
std::int64_t Engine::Impl::candidates_for(const Rows& scheduled) {
  if (fingerprints_) return 0;
  std::int64_t most = 0;
  for (const ScheduledRows& rows : scheduled) {
    if (rows.num_logits == 0) continue;
    const Sequence& sequence = active(rows.sequence);
    const bool keeps_logits =
        sequence.request().prompt_logits && rows.first_row < sequence.num_prompt_rows();
    const std::int64_t needed = keeps_logits ? 0 : candidates_needed(sequence.request().sampling);
    if (needed == 0) return 0;
    most = std::max(most, needed);
  }
  return std::min(most, ranks_.model_info().vocab_size);
}

void Engine::Impl::run_rows(std::vector<SequenceEvent>& events) {
  const Rows scheduled = schedule_rows(needs(), step_limits());
  if (scheduled.empty()) return;
  const Clock::time_point begin = Clock::now();
  StepPlan plan = plan_rows(scheduled);
  std::vector<std::uint64_t> ids;
  std::vector<Sequence*> sequences;  // by address: those that finish leave active_ meanwhile
  for (const ScheduledRows& rows : scheduled) {
    sequences.push_back(&active(rows.sequence));
    ids.push_back(sequences.back()->id());
  }
  StepResult result = run(std::move(plan));
  if (result.error) return fail(ids, *result.error, events);

  std::int64_t logits_row = 0;
  for (std::size_t index = 0; index < scheduled.size(); ++index) {
    Sequence& sequence = *sequences[index];
    const ScheduledRows& rows = scheduled[index];
    if (rows.first_row == 0) sequence.prefill_begin = begin;
    sequence.num_cached_rows = rows.first_row + rows.num_rows;
    keep_prompt_logits(sequence, rows, logits_row);
    logits_row += rows.num_logits;
    if (sequence.num_cached_rows < sequence.num_rows()) continue;  // more of the prompt to come
    const SequenceEvent event = choose_token(sequence, result, logits_row - 1);
    events.push_back(event);
    if (event.finish != FinishReason::kNone) finish(sequence.id());
  }
}

void Engine::Impl::keep_prompt_logits(Sequence& sequence, const ScheduledRows& rows,
                                      std::int64_t logits_row) {
  if (!sequence.request().prompt_logits || rows.first_row >= sequence.num_prompt_rows()) return;
  for (std::int64_t row = 0; row < rows.num_logits; ++row) {
    const std::span<const float> logits = ranks_.logits(logits_row + row);
    std::memcpy(sequence.prompt_logits.view().at<float>(rows.first_row + row), logits.data(),
                logits.size_bytes());
  }
}

/// Samples; a row of logits without any number ends its sequence alone.
SequenceEvent Engine::Impl::choose_token(Sequence& sequence, StepResult& result,
                                         std::int64_t logits_row) {
  SequenceEvent event{.sequence_id = sequence.id()};
  try {
    const SamplingParams& sampling = sequence.request().sampling;
    const auto position = static_cast<std::uint64_t>(sequence.position(sequence.num_rows()));
    const SamplingContext context{.tokens = sequence.tokens(),
                                  .num_prompt_tokens = sequence.num_prompt_rows()};
    const std::int32_t token_id =
        (result.candidates.empty()
             ? sample(ranks_.logits(logits_row), sampling, context, position)
             : sample_candidates(std::move(result.candidates[static_cast<std::size_t>(logits_row)]),
                                 ranks_.model_info().vocab_size, sampling, context, position))
            .id;
    event.finish = append(sequence, token_id);
    if (event.finish != FinishReason::kStop) event.token_id = token_id;
  } catch (const Exception& failure) {
    event.finish = FinishReason::kError;
    event.error = failure.error();
  }
  return event;
}

FinishReason Engine::Impl::append(Sequence& sequence, std::int32_t token_id) {
  const Clock::time_point now = Clock::now();
  if (sequence.num_generated() == 0) {
    sequence.first_token = now;
    sequence.times.prefill = now - sequence.prefill_begin;
  }
  sequence.times.decode = now - sequence.first_token;
  const StopChecker::Verdict verdict = sequence.stop.check(token_id, sequence.num_generated() + 1);
  if (verdict == StopChecker::Verdict::kStop) return FinishReason::kStop;
  const std::int64_t row = sequence.num_rows();
  sequence.append_token(token_id);
  sequence.times.generated_tokens = sequence.num_generated();
  const bool has_room =
      row < ranks_.context_tokens() && sequence.position(row) < ranks_.model_info().max_positions;
  return verdict == StopChecker::Verdict::kLength || !has_room ? FinishReason::kLength
                                                               : FinishReason::kNone;
}

Engine::Engine(CardGroup cards, const ModelFactory& make_models, const EngineOptions& options)
    : impl_(std::make_unique<Impl>(std::move(cards), make_models, options)) {}

Engine::~Engine() {
  // A lost rank's kernel may never end: waiting for it here would hang, and freeing what it works
  // on would crash. So a thread of its own waits, and frees everything if that moment comes.
  if (impl_ != nullptr && impl_->ranks().lost()) {
    std::thread([lost = std::move(impl_)]() mutable { lost.reset(); }).detach();
  }
}

Result<std::uint64_t> Engine::submit(Request request) { return impl_->submit(std::move(request)); }
void Engine::cancel(std::uint64_t sequence_id) { impl_->cancel(sequence_id); }
std::vector<SequenceEvent> Engine::step() { return impl_->step(); }
bool Engine::idle() const { return impl_->idle(); }
const ModelInfo& Engine::model_info() const { return impl_->ranks().model_info(); }
std::int64_t Engine::context_tokens() const { return impl_->ranks().context_tokens(); }

SequenceTimes Engine::times(std::uint64_t sequence_id) const {
  return impl_->find(sequence_id).times;
}

Tensor Engine::take_prompt_logits(std::uint64_t sequence_id) {
  return std::exchange(impl_->find(sequence_id).prompt_logits, Tensor());
}

std::vector<Tensor> Engine::take_image_embeds(std::uint64_t sequence_id) {
  return std::exchange(impl_->find(sequence_id).image_embeds, {});
}

void Engine::set_trace(Trace* trace) { impl_->ranks().set_trace(trace); }
void Engine::set_fingerprints(bool on) { impl_->set_fingerprints(on); }
const OpLog& Engine::op_log(int rank) const { return impl_->ranks().log(rank); }
int Engine::world_size() const { return impl_->ranks().world_size(); }
LayoutCopies Engine::layout_copies() const { return impl_->copies(); }

Engine::ReservedBytes Engine::reserved_bytes() const {
  return {impl_->ranks().bytes().kv_cache, impl_->ranks().bytes().workspace};
}

}  // namespace cardloom
