#include "cardloom/engine/rank_group.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "cardloom/base/integer_math.h"

namespace cardloom {
namespace {

using Clock = std::chrono::steady_clock;

/// How often a waiting engine looks whether ranks make progress; the result itself wakes it.
constexpr std::chrono::milliseconds kSlice{100};
/// What a rank gets beyond its own deadlines to leave a step, and again once the group is aborted.
constexpr std::chrono::milliseconds kGrace{2000};
std::string ranks_text(const std::vector<int>& ranks) {
  std::string text = ranks.size() == 1 ? "rank" : "ranks";
  for (std::size_t index = 0; index < ranks.size(); ++index) {
    text += fmt::format("{} {}", index == 0 ? "" : ",", ranks[index]);
  }
  return text;
}

}  // namespace

RankGroup::RankGroup(CardGroup cards, const ModelFactory& make_models, const EngineOptions& options)
    : cards_(std::move(cards)), patience_(2 * options.stream.stall_deadline + kGrace) {
  if (cards_.devices.empty()) throw_error(ErrorCode::kInvalidArgument, "an engine without cards");
  models_ = make_models(cards_);
  if (models_.size() != cards_.devices.size()) {
    throw_error(ErrorCode::kInvalidArgument,
                fmt::format("{} models for {} cards", models_.size(), cards_.devices.size()));
  }
  limits_ = rank_limits(options, model_info(), world_size());
  context_tokens_ = limits_.context_tokens;
  for (const auto& model : models_) {
    const RankBytes bytes = plan_rank_bytes(*model, limits_);
    bytes_.kv_cache = std::max(bytes_.kv_cache, bytes.kv_cache);
    bytes_.workspace = std::max(bytes_.workspace, bytes.workspace);
    bytes_.pictures = std::max(bytes_.pictures, bytes.pictures);
    bytes_.logits = std::max(bytes_.logits, bytes.logits);
    bytes_.logs = std::max(bytes_.logs, bytes.logs);
  }
  try {
    reserve(options.stream);
    if (options.populate) {
      for (const auto& runner : runners_) runner->populate();
    }
  } catch (const Exception& failure) {
    if (failure.error().code != ErrorCode::kResourceExhausted) throw;
    const std::string what =
        options.kv_tokens > 0 ? fmt::format("a KV cache of {} tokens", options.kv_tokens)
                              : fmt::format("{} sequence{} of {} tokens", options.max_sequences,
                                            options.max_sequences == 1 ? "" : "s", context_tokens_);
    throw_error(ErrorCode::kResourceExhausted,
                fmt::format("no memory for {} on {} card{}", what, world_size(),
                            world_size() == 1 ? "" : "s"),
                fmt::format("each card needs {} bytes of KV cache, {} of workspace, {} for "
                            "encoded pictures, {} for logits; {}",
                            bytes_.kv_cache, bytes_.workspace, bytes_.pictures, bytes_.logits,
                            failure.error().message),
                "use a shorter context, fewer sequences at once or smaller prompt chunks");
  }
}

RankGroup::~RankGroup() = default;

void RankGroup::reserve(const StreamOptions& stream) {
  for (int rank = 0; rank < world_size(); ++rank) {
    const auto index = static_cast<std::size_t>(rank);
    Device& device = *cards_.devices[index];
    const std::int64_t V = models_[index]->info().vocab_size;
    logits_.push_back(Tensor(DType::kF32, {limits_.max_logits_rows, V}, device.id()));
    runners_.push_back(std::make_unique<ModelRunner>(device, cards_.communicator(rank),
                                                     *models_[index], limits_, stream,
                                                     logits_.back().view()));
  }
}

std::span<const float> RankGroup::logits(std::int64_t row) const {
  const TensorView& logits = logits_.front().view();
  return {logits.at<const float>(row), static_cast<std::size_t>(logits.shape[1])};
}

const OpLog& RankGroup::log(int rank) const {
  if (rank < 0 || rank >= world_size()) {
    throw_error(ErrorCode::kInvalidArgument, fmt::format("rank {} of {}", rank, world_size()));
  }
  return runners_[static_cast<std::size_t>(rank)]->log();
}

bool RankGroup::wait_until_all_left(std::chrono::milliseconds patience) {
  std::uint64_t progress = 0;
  Clock::time_point deadline = Clock::now() + patience;
  for (std::size_t rank = 0; rank < runners_.size();) {
    if (runners_[rank]->wait_left(kSlice)) {
      ++rank;
      continue;
    }
    std::uint64_t finished = 0;
    for (const auto& runner : runners_) finished += runner->num_finished();
    if (finished != progress) {
      progress = finished;
      deadline = Clock::now() + patience;
    } else if (Clock::now() > deadline) {
      return false;
    }
  }
  return true;
}

Error RankGroup::name_stuck_ranks() const {
  std::vector<int> stuck;
  std::string detail;
  for (int rank = 0; rank < world_size(); ++rank) {
    ModelRunner& runner = *runners_[static_cast<std::size_t>(rank)];
    if (runner.wait_left(std::chrono::milliseconds(0))) continue;
    stuck.push_back(rank);
    detail += fmt::format("{}rank {} has run {} of {} launches", detail.empty() ? "" : "; ", rank,
                          runner.num_finished(), runner.num_launched());
  }
  return make_error(ErrorCode::kDeadlineExceeded,
                    fmt::format("{} did not leave step {} within {} ms without progress",
                                ranks_text(stuck), step_id_, patience_.count()),
                    detail, "look at what that rank's thread does; restart the command");
}

void RankGroup::begin(StepPlan plan) {
  step_id_ = plan.step_id;
  const auto shared = std::make_shared<const StepPlan>(std::move(plan));
  for (const auto& runner : runners_) runner->post(shared);
}

StepResult RankGroup::finish() {
  if (!wait_until_all_left(patience_)) {
    const Error stuck = name_stuck_ranks();
    cards_.communicator(0).abort(stuck);
    if (!wait_until_all_left(kGrace)) {
      lost_ = stuck;
      StepResult result;
      result.error = stuck;
      return result;
    }
  }
  StepResult all = runners_.front()->take_result();
  for (std::size_t rank = 1; rank < runners_.size(); ++rank) {
    StepResult result = runners_[rank]->take_result();
    if (!all.error) all.error = std::move(result.error);
    all.is_drained = all.is_drained && result.is_drained;
    all.copies += result.copies;
    all.copy_bytes += result.copy_bytes;
    for (std::size_t row = 0; row < std::min(all.candidates.size(), result.candidates.size());
         ++row) {
      all.candidates[row].insert(all.candidates[row].end(), result.candidates[row].begin(),
                                 result.candidates[row].end());
    }
  }
  Communicator& comm = cards_.communicator(0);
  if (all.error || comm.aborted()) recover(all);
  return all;
}

/// Every rank has left: finds out who failed first and makes the group usable again.
void RankGroup::recover(StepResult& result) {
  try {
    cards_.communicator(0).throw_if_aborted();
  } catch (const GroupFailure& first) {  // the one way to ask a communicator for its error
    result.error = first.error();
  }
  if (result.is_drained) {
    cards_.reset();
  } else {
    lost_ = result.error;
  }
}

}  // namespace cardloom
