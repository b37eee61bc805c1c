#include "cardloom/engine/engine_core.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "cardloom/base/check.h"
#include "cardloom/engine/admission.h"
#include "cardloom/sampling/sampler.h"

namespace cardloom {
namespace {

SchedulerLimits scheduler_limits(const EngineOptions& options, const RankGroup& ranks) {
  const RankLimits& limits = ranks.limits();
  return {.max_sequences = options.max_sequences,
          .max_rows = limits.max_step_rows,
          .max_logits_rows = limits.max_logits_rows,
          .max_pictures = limits.max_pictures,
          .block_size = limits.block_size,
          .num_blocks = limits.num_blocks,
          .num_picture_slots = limits.num_picture_slots,
          .max_positions = ranks.model_info().max_positions,
          .aging_steps = options.aging_steps,
          .max_proposed = options.speculate_ngram,
          .shares_blocks = options.prefix_cache};
}

/// The ids that may not be chosen now: stop ids before min_tokens, unless a constraint allows
/// nothing else, because its text is complete.
std::span<const std::int32_t> forbidden_ids(const Sequence& sequence, const TokenMask* allowed) {
  const Request& request = sequence.request();
  if (sequence.num_generated() >= request.min_tokens) return {};
  if (allowed == nullptr) return request.stop_ids;
  std::vector<std::uint64_t> others = allowed->words();
  for (const std::int32_t id : request.stop_ids) {
    if (!allowed->contains(id)) continue;
    others[static_cast<std::size_t>(id) / 64] &=
        ~(std::uint64_t{1} << (static_cast<unsigned>(id) % 64));
  }
  const bool has_others =
      std::any_of(others.begin(), others.end(), [](std::uint64_t word) { return word != 0; });
  return has_others ? std::span<const std::int32_t>(request.stop_ids)
                    : std::span<const std::int32_t>();
}

Error error_of(const std::exception& failure) {
  if (const auto* named = dynamic_cast<const Exception*>(&failure)) return named->error();
  if (dynamic_cast<const std::bad_alloc*>(&failure) != nullptr) {
    return make_error(ErrorCode::kResourceExhausted, "no memory for a request", failure.what());
  }
  return make_error(ErrorCode::kInternal, failure.what());
}

}  // namespace

EngineCore::EngineCore(CardGroup cards, const ModelFactory& make_models,
                       const EngineOptions& options)
    : options_(options),
      ranks_(std::move(cards), make_models, options),
      scheduler_(scheduler_limits(options, ranks_)),
      fingerprints_(options.stream.fingerprints),
      vision_stages_(
          vision_stages(ranks_.model_info().num_vision_layers, options.vision_layers_per_step)) {}

// --- Sequences ---

Result<std::unique_ptr<Sequence>> EngineCore::prepare(Request request) const {
  const ModelInfo& model = ranks_.model_info();
  if (Status status = check_request(request, model, ranks_.context_tokens()); !status) {
    return status.error();
  }
  const SequenceOptions options{.block_size = ranks_.limits().block_size,
                                .context_tokens = ranks_.context_tokens()};
  try {
    auto sequence = std::make_unique<Sequence>(++last_id_, std::move(request), options);
    if (sequence->request().prompt_logits) {
      sequence->prompt_logits =
          Tensor(DType::kF32, {sequence->num_prompt_rows(), model.vocab_size});
      sequence->image_embeds.resize(sequence->pictures.size());
    }
    return sequence;
  } catch (const std::exception& failure) {  // a request's own size: its error, not the engine's
    return error_of(failure);
  }
}

void EngineCore::admit(std::unique_ptr<Sequence> sequence) {
  ended_.clear();
  scheduler_.add(std::move(sequence));
}

/// Frees what the sequence holds; its record stays until the next admit().
void EngineCore::end_sequence(std::uint64_t sequence_id) {
  std::unique_ptr<Sequence> sequence = scheduler_.remove(sequence_id);
  if (sequence == nullptr) return;
  for (SequencePicture& picture : sequence->pictures) picture.pixels.reset();
  ended_.emplace(sequence_id, std::move(sequence));
}

Sequence& EngineCore::find(std::uint64_t sequence_id) const {
  if (Sequence* sequence = scheduler_.find(sequence_id)) return *sequence;
  if (const auto entry = ended_.find(sequence_id); entry != ended_.end()) return *entry->second;
  throw_error(
      ErrorCode::kNotFound,
      fmt::format("sequence {} is neither active nor ended since the last submit", sequence_id));
}

void EngineCore::fail(std::uint64_t sequence_id, const Error& error,
                      std::vector<SequenceEvent>& events) {
  if (scheduler_.find(sequence_id) == nullptr) return;  // cancelled, or failed by another part
  events.push_back({.sequence_id = sequence_id, .finish = FinishReason::kError, .error = error});
  end_sequence(sequence_id);
}

EngineStats EngineCore::stats() const {
  const BlockCache& blocks = scheduler_.blocks();
  const SchedulerCounts& counts = scheduler_.counts();
  EngineStats stats;
  stats.running = scheduler_.num_running();
  stats.waiting = scheduler_.num_waiting();
  stats.waiting_for_place = scheduler_.num_waiting_for_place();
  stats.kv_blocks = blocks.num_blocks();
  stats.kv_blocks_used = blocks.num_used();
  stats.kv_blocks_cached = blocks.num_idle();
  stats.steps = last_step_;
  stats.step_rows = step_rows_;
  stats.step_seconds = std::chrono::duration<double>(step_time_).count();
  stats.prompt_tokens = prompt_tokens_;
  stats.generated_tokens = generated_tokens_;
  stats.prefix_queries = counts.prefix_queries;
  stats.prefix_hits = counts.prefix_hits;
  stats.picture_queries = counts.picture_queries;
  stats.picture_hits = counts.picture_hits;
  stats.preemptions = counts.preemptions;
  stats.corrupted = corrupted_;
  stats.speculated = speculated_;
  stats.accepted = accepted_;
  return stats;
}

// --- The plan of a step ---

StepPlan EngineCore::make_plan() {
  StepPlan plan;
  plan.step_id = ++last_step_;
  plan.fingerprints = fingerprints_;
  plan.vision_cut = options_.vision_cut;
  return plan;
}

bool EngineCore::begin_step() {
  CARDLOOM_ASSERT(!running_);
  if (ranks_.lost()) return false;
  drop_pictures();
  scheduler_.admit();
  if (encoding_.pictures.empty()) {
    encoding_ = {.pictures = scheduler_.schedule_pictures()};
    scheduler_.begin_pictures(encoding_.pictures);
  }
  Running step;
  // Turn by turn: pictures must not hold up those who generate for more than a stage.
  if (encoded_last_ || encoding_.pictures.empty()) step.rows = scheduler_.schedule_rows();
  step.encodes = step.rows.empty() && !encoding_.pictures.empty();
  if (step.rows.empty() && !step.encodes) return false;
  encoded_last_ = step.encodes;
  StepPlan plan = step.encodes ? plan_pictures() : plan_rows(step.rows);
  step.begin = Clock::now();
  for (const std::uint64_t id : sequences_of(step)) {
    Sequence& sequence = *scheduler_.find(id);
    if (sequence.times.queue.count() == 0) {
      sequence.times.queue = step.begin - sequence.submitted;
    }
  }
  ranks_.begin(std::move(plan));
  running_ = std::move(step);
  return true;
}

/// Stops encoding what nobody wants any more, or what no stage has begun: who was to give the
/// pixels may be gone.
void EngineCore::drop_pictures() {
  const std::vector<ScheduledPicture>& pictures = encoding_.pictures;
  if (pictures.empty()) return;
  if (encoding_.num_stages_done > 0 && scheduler_.wants_one_of(pictures)) return;
  scheduler_.end_pictures(pictures, false);
  encoding_ = {};
}

StepPlan EngineCore::plan_pictures() {
  StepPlan plan = make_plan();
  plan.vision_stage = vision_stages_[encoding_.num_stages_done];
  for (const ScheduledPicture& scheduled : encoding_.pictures) {
    plan.pictures.push_back({.slot = scheduled.slot, .wants_embeds = scheduled.wants_embeds});
    if (encoding_.num_stages_done > 0) continue;  // pixels are for the first alone
    const Sequence& sequence = *scheduler_.find(scheduled.sequence_id);
    plan.pictures.back().pixel_values = sequence.pictures[scheduled.picture].pixels;
  }
  return plan;
}

StepPlan EngineCore::plan_rows(const std::vector<ScheduledRows>& scheduled) {
  StepPlan plan = make_plan();
  std::vector<const Sequence*> sequences;
  for (const ScheduledRows& rows : scheduled) {
    sequences.push_back(scheduler_.find(rows.sequence_id));
    append_rows(plan, *sequences.back(), rows, ranks_.limits().block_size);
  }
  append_block_tables(plan, sequences);
  plan.num_candidates = candidates_for(scheduled);
  return plan;
}

/// How many candidates of each row are enough for all that are sampled; 0 if somebody needs whole
/// rows of logits (`check` compares them, too).
std::int64_t EngineCore::candidates_for(const std::vector<ScheduledRows>& scheduled) const {
  if (fingerprints_) return 0;
  std::int64_t most = 0;
  for (const ScheduledRows& rows : scheduled) {
    if (rows.num_logits == 0) continue;
    const std::int64_t needed = candidates_for(*scheduler_.find(rows.sequence_id), rows);
    if (needed == 0) return 0;
    most = std::max(most, needed);
  }
  return std::min(most, ranks_.model_info().vocab_size);
}

std::int64_t EngineCore::candidates_for(const Sequence& sequence, const ScheduledRows& rows) const {
  const Request& request = sequence.request();
  if (request.prompt_logits && rows.first_row < sequence.num_prompt_rows()) return 0;
  const bool may_stop = sequence.num_generated() >= request.min_tokens;
  return candidates_needed(request.sampling, request.constraint != nullptr,
                           may_stop ? 0 : static_cast<std::int64_t>(request.stop_ids.size()));
}

// --- The result of a step ---

std::vector<SequenceEvent> EngineCore::step() {
  std::vector<SequenceEvent> events;
  bool encoded = true;
  while (encoded && begin_step()) {
    StepReport report = end_step();
    encoded = report.pictures > 0 && !ranks_.lost();
    std::move(report.events.begin(), report.events.end(), std::back_inserter(events));
  }
  return events;
}

StepReport EngineCore::end_step() {
  const Running step = std::move(*std::exchange(running_, std::nullopt));
  StepResult result = ranks_.finish();
  step_time_ += Clock::now() - step.begin;
  copies_.copies += result.copies;
  copies_.bytes += result.copy_bytes;
  StepReport report{.step_id = last_step_};
  if (step.encodes) report.pictures = static_cast<std::int64_t>(encoding_.pictures.size());
  for (const ScheduledRows& rows : step.rows) report.rows += rows.num_rows;
  if (!step.encodes) step_rows_.observe(report.rows);
  const std::vector<std::uint64_t> ids = sequences_of(step);
  if (result.error) {
    for (const std::uint64_t id : ids) fail(id, *result.error, report.events);
    if (step.encodes) scheduler_.end_pictures(std::exchange(encoding_, {}).pictures, false);
  } else if (step.encodes) {
    stage_done(step, result);
  } else {
    rows_done(step, result, report.events);
  }
  for (const std::uint64_t id : ids) report.progress.push_back(progress_of(find(id)));
  if (ranks_.lost()) {  // no step can follow: what was not in this one ends too
    for (const std::uint64_t id : scheduler_.ids()) fail(id, *ranks_.lost(), report.events);
  }
  return report;
}

/// That have part in the step and were not cancelled meanwhile.
std::vector<std::uint64_t> EngineCore::sequences_of(const Running& step) const {
  std::vector<std::uint64_t> ids;
  for (const ScheduledRows& rows : step.rows) {
    if (scheduler_.find(rows.sequence_id) != nullptr) ids.push_back(rows.sequence_id);
  }
  if (!step.encodes) return ids;
  for (const ScheduledPicture& picture : encoding_.pictures) {
    for (const std::uint64_t id : scheduler_.users_of_slot(picture.slot)) {
      if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
    }
  }
  return ids;
}

SequenceProgress EngineCore::progress_of(const Sequence& sequence) const {
  SequenceProgress progress{.sequence_id = sequence.id()};
  // With a token all of the prompt was computed, whatever a pre-emption or the end took away again.
  const bool is_past = sequence.num_generated() > 0;
  progress.rows_cached = is_past ? sequence.num_prompt_rows() : sequence.num_cached_rows;
  for (const SequencePicture& picture : sequence.pictures) {
    const bool is_encoded = picture.end_row <= progress.rows_cached ||
                            (picture.slot >= 0 && scheduler_.slots().is_ready(picture.slot));
    progress.pictures_encoded += is_encoded ? 1 : 0;
  }
  return progress;
}

void EngineCore::stage_done(const Running& step, StepResult& result) {
  const Clock::duration duration = Clock::now() - step.begin;
  const bool is_last = ++encoding_.num_stages_done == vision_stages_.size();
  auto embeds = result.image_embeds.begin();
  std::uint64_t previous_id = 0;
  for (const ScheduledPicture& scheduled : encoding_.pictures) {
    Tensor kept = is_last && scheduled.wants_embeds ? std::move(*embeds++) : Tensor();
    Sequence* sequence = scheduler_.find(scheduled.sequence_id);
    if (sequence == nullptr) continue;  // cancelled meanwhile
    sequence->times.vision_cut = result.vision_cut;
    if (is_last && scheduled.wants_embeds) {
      sequence->image_embeds[scheduled.picture] = std::move(kept);
    }
    // Once, however many pictures it had.
    if (previous_id != sequence->id()) sequence->times.vision += duration;
    previous_id = sequence->id();
  }
  if (is_last) scheduler_.end_pictures(std::exchange(encoding_, {}).pictures, true);
}

void EngineCore::rows_done(const Running& step, StepResult& result,
                           std::vector<SequenceEvent>& events) {
  std::int64_t logits_row = 0;
  for (const ScheduledRows& rows : step.rows) {
    const std::int64_t first_logits = std::exchange(logits_row, logits_row + rows.num_logits);
    Sequence* sequence = scheduler_.find(rows.sequence_id);
    if (sequence == nullptr) continue;  // cancelled meanwhile
    if (sequence->prefill_begin == Clock::time_point{}) sequence->prefill_begin = step.begin;
    prompt_tokens_ += static_cast<std::uint64_t>(
        std::clamp<std::int64_t>(sequence->num_prompt_rows() - rows.first_row, 0, rows.num_rows));
    keep_prompt_logits(*sequence, rows, first_logits);
    choose_tokens(*sequence, rows, result, first_logits, events);
  }
}

void EngineCore::keep_prompt_logits(Sequence& sequence, const ScheduledRows& rows,
                                    std::int64_t logits_row) {
  if (!sequence.request().prompt_logits || rows.first_row >= sequence.num_prompt_rows()) return;
  for (std::int64_t row = 0; row < rows.num_logits; ++row) {
    const std::span<const float> logits = ranks_.logits(logits_row + row);
    std::memcpy(sequence.prompt_logits.view().at<float>(rows.first_row + row), logits.data(),
                logits.size_bytes());
  }
}

/// The token behind the last known row, and those behind proposed ones as long as they are right:
/// a proposal is kept only if it is what would have been chosen without it.
void EngineCore::choose_tokens(Sequence& sequence, const ScheduledRows& rows, StepResult& result,
                               std::int64_t logits_row, std::vector<SequenceEvent>& events) {
  const std::vector<std::int32_t> proposal = std::exchange(sequence.proposal, {});
  const auto num_proposed = static_cast<std::int64_t>(proposal.size());
  std::int64_t num_kept = rows.num_rows - num_proposed;
  if (rows.first_row + num_kept < sequence.num_rows()) {  // more rows to come
    scheduler_.rows_done(sequence, rows, num_kept);
    return;
  }
  logits_row += rows.num_logits - num_proposed - 1;
  auto next = proposal.begin();
  for (;;) {
    events.push_back(choose_token(sequence, result, logits_row++));
    const SequenceEvent& event = events.back();
    if (event.finish != FinishReason::kNone) break;
    if (next == proposal.end() || event.token_id != *next) break;
    ++next;
    ++num_kept;
  }
  speculated_ += proposal.size();
  accepted_ += static_cast<std::uint64_t>(next - proposal.begin());
  scheduler_.rows_done(sequence, rows, num_kept);
  if (events.back().finish != FinishReason::kNone) end_sequence(sequence.id());
}

/// Samples; a row of logits without any number ends its sequence alone.
SequenceEvent EngineCore::choose_token(Sequence& sequence, StepResult& result,
                                       std::int64_t logits_row) {
  SequenceEvent event{.sequence_id = sequence.id()};
  const Request& request = sequence.request();
  // What a step throws ends here, with the constraint's own objections.
  try {
    const TokenMask* allowed = request.constraint ? &request.constraint->allowed() : nullptr;
    const SamplingContext context{.tokens = sequence.tokens(),
                                  .num_prompt_tokens = sequence.num_prompt_rows(),
                                  .allowed = allowed,
                                  .forbidden_ids = forbidden_ids(sequence, allowed)};
    const auto position = static_cast<std::uint64_t>(sequence.position(sequence.num_rows()));
    SampledToken chosen =
        result.candidates.empty()
            ? sample(ranks_.logits(logits_row), request.sampling, context, position)
            : sample_candidates(std::move(result.candidates[static_cast<std::size_t>(logits_row)]),
                                ranks_.model_info().vocab_size, request.sampling, context,
                                position);
    event.finish = append(sequence, chosen.id);
    if (event.finish == FinishReason::kStop) return event;
    if (request.constraint) request.constraint->accept(chosen.id);
    event.token_id = chosen.id;
    if (chosen.logprobs) {
      event.logprobs = std::make_shared<TokenLogprobs>(std::move(*chosen.logprobs));
    }
  } catch (const std::exception& failure) {
    event.finish = FinishReason::kError;
    event.error = error_of(failure);
    corrupted_ += event.error.code == ErrorCode::kDataLoss ? 1 : 0;
  }
  return event;
}

FinishReason EngineCore::append(Sequence& sequence, std::int32_t token_id) {
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
  ++generated_tokens_;
  sequence.times.generated_tokens = sequence.num_generated();
  const bool has_room =
      row < ranks_.context_tokens() && sequence.position(row) < ranks_.model_info().max_positions;
  return verdict == StopChecker::Verdict::kLength || !has_room ? FinishReason::kLength
                                                               : FinishReason::kNone;
}

}  // namespace cardloom
