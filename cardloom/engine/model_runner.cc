#include "cardloom/engine/model_runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <utility>

#include "cardloom/base/integer_math.h"

namespace cardloom {
namespace {

/// A view of a plan's numbers. Views are of mutable memory by type; nobody writes a plan.
template <class T>
TensorView plan_view(const std::vector<T>& values, DType dtype,
                     std::initializer_list<std::int64_t> shape) {
  return make_view(const_cast<T*>(values.data()), dtype, shape);
}

template <class T>
TensorView plan_view(const std::vector<T>& values, DType dtype) {
  return plan_view(values, dtype, {static_cast<std::int64_t>(values.size())});
}

std::int64_t product(const char* what, std::initializer_list<std::int64_t> factors) {
  std::optional<std::int64_t> bytes = 1;
  for (const std::int64_t factor : factors) {
    if (bytes) bytes = checked_mul(*bytes, factor);
  }
  if (!bytes) {
    throw_error(ErrorCode::kResourceExhausted,
                fmt::format("the size of the {} does not fit 63 bits", what), {},
                "use a shorter context or fewer sequences at once");
  }
  return *bytes;
}

std::int64_t sum(const char* what, std::int64_t a, std::int64_t b) {
  const std::optional<std::int64_t> bytes = checked_add(a, b);
  if (bytes) return *bytes;
  throw_error(ErrorCode::kResourceExhausted,
              fmt::format("the size of the {} does not fit 63 bits", what), {},
              "use a shorter context or fewer sequences at once");
}

std::int64_t workspace_bytes(const ModelSizes& model, const RankLimits& limits) {
  const std::int64_t T = limits.max_step_rows;
  const std::int64_t R = std::min(limits.max_logits_rows, T);
  const std::int64_t forward = std::max(model.forward_workspace_bytes(T, R),
                                        model.forward_workspace_bytes(T, std::min(R, T - 1)));
  if (model.info().image_rows == 0) return forward;
  return std::max(forward, model.encode_workspace_bytes(limits.max_pictures));
}

/// Each picture being encoded has a slot of its own to go to.
std::int64_t num_vision_states(const RankLimits& limits) {
  return std::min(limits.max_pictures, limits.num_picture_slots);
}

Error error_of(const std::exception& failure) {
  if (const auto* named = dynamic_cast<const Exception*>(&failure)) return named->error();
  if (dynamic_cast<const std::bad_alloc*>(&failure) != nullptr) {
    return make_error(ErrorCode::kResourceExhausted, "no memory for a step", failure.what(),
                      "free memory or use a smaller prompt chunk");
  }
  return make_error(ErrorCode::kInternal, failure.what());
}

TensorView candidates_of(const Tensor& tensor, std::int64_t num_rows, std::int64_t count) {
  return tensor.view().slice(0, 0, num_rows).slice(1, 0, count);
}

float load_f32(const std::byte* from, DType dtype) {
  if (dtype == DType::kBF16) return to_f32(*reinterpret_cast<const bf16*>(from));
  if (dtype == DType::kF16) return to_f32(*reinterpret_cast<const f16*>(from));
  return *reinterpret_cast<const float*>(from);
}

}  // namespace

RankBytes plan_rank_bytes(const ModelSizes& sizes, const RankLimits& limits) {
  const ModelInfo& info = sizes.info();
  RankBytes bytes;
  bytes.kv_cache =
      product("KV cache", {2, info.num_layers, limits.num_blocks, limits.block_size,
                           info.num_kv_heads, kv_row_bytes(limits.kv_cache, info.head_dim)});
  bytes.workspace = workspace_bytes(sizes, limits);
  bytes.pictures = product("encoded pictures", {limits.num_picture_slots, info.image_rows,
                                                info.hidden_size, size_of(info.dtype)});
  const std::int64_t states = product(
      "pictures being encoded",
      {num_vision_states(limits), info.vision_rows, info.vision_hidden_size, size_of(info.dtype)});
  bytes.pictures = sum("encoded pictures", bytes.pictures, states);
  bytes.logits =
      product("logits", {limits.max_logits_rows, info.vocab_size + 2 * kMaxCandidates, 4});
  bytes.logs = OpLog::reserved_bytes() + Stream::reserved_bytes();
  return bytes;
}

ModelRunner::ModelRunner(Device& device, Communicator& comm, Model& model, const RankLimits& limits,
                         const StreamOptions& stream, const TensorView& logits)
    : device_(device),
      comm_(comm),
      model_(model),
      log_(comm.rank(), comm.world_size()),
      workspace_(workspace_bytes(model, limits), device.id()),
      kv_cache_(model.info().num_layers, limits.num_blocks, limits.block_size,
                model.info().num_kv_heads, model.info().head_dim, limits.kv_cache, device.id()),
      pictures_(model.info().dtype,
                {limits.num_picture_slots, model.info().image_rows, model.info().hidden_size},
                device.id()),
      vision_states_(
          model.info().dtype,
          {num_vision_states(limits), model.info().vision_rows, model.info().vision_hidden_size},
          device.id()),
      logits_(logits),
      candidate_logits_(DType::kF32, {limits.max_logits_rows, kMaxCandidates}, device.id()),
      candidate_ids_(DType::kI32, {limits.max_logits_rows, kMaxCandidates}, device.id()),
      stream_(device, log_, stream) {
  stream_.set_failure_hook([this](const Error& error) { comm_.abort(error); });
  thread_ = std::thread([this] { serve(); });
}

ModelRunner::~ModelRunner() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void ModelRunner::populate() {
  // On a thread of its own: this one stays where it is.
  std::exception_ptr failure;
  std::thread([&] {
    try {
      device_.bind_thread();
      workspace_.populate();
      kv_cache_.populate();
      for (const Tensor* part :
           {&pictures_, &vision_states_, &candidate_logits_, &candidate_ids_}) {
        part->populate();
      }
      populate_memory(logits_.data, logits_.num_elements() * size_of(logits_.dtype));
    } catch (...) {
      failure = std::current_exception();
    }
  }).join();
  if (failure) std::rethrow_exception(failure);
}

void ModelRunner::post(std::shared_ptr<const StepPlan> plan) {
  {
    const std::lock_guard lock(mutex_);
    plan_ = std::move(plan);
    result_.reset();
  }
  wake_.notify_all();
}

bool ModelRunner::wait_left(std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  return wake_.wait_for(lock, limit, [this] { return result_.has_value(); });
}

StepResult ModelRunner::take_result() {
  const std::lock_guard lock(mutex_);
  StepResult result = std::move(*result_);
  result_.reset();
  return result;
}

void ModelRunner::serve() {
  for (;;) {
    std::shared_ptr<const StepPlan> plan;
    {
      std::unique_lock lock(mutex_);
      // Not an unbounded wait for a peer: idle until the engine has a step or ends.
      wake_.wait(lock, [this] { return plan_ != nullptr || stop_; });
      if (stop_) return;
      plan = std::exchange(plan_, nullptr);
    }
    StepResult result = run(*plan);
    if (!result.is_drained) stuck_plan_ = std::move(plan);
    {
      const std::lock_guard lock(mutex_);
      result_ = std::move(result);
    }
    wake_.notify_all();
  }
}

StepResult ModelRunner::run(const StepPlan& plan) {
  StepResult result;
  log_.set_step(plan.step_id);
  stream_.set_fingerprints(plan.fingerprints);
  // The rank's half of the step loop: what a step throws ends here.
  try {
    const Workspace::Scope scope(workspace_);
    if (plan.pictures.empty()) {
      forward(plan);
    } else {
      encode(plan, result);
    }
    stream_.synchronize();
    if (!plan.pictures.empty()) next_vision_layer_ = plan.vision_stage.end_layer;
    take_candidates(plan, result);
    copy_embeds(plan, result);
  } catch (const std::exception& failure) {
    result.error = error_of(failure);
    comm_.abort(*result.error);  // the first rank's error stays
    stream_.reset();             // drains it first, unless a kernel is stuck
  }
  result.is_drained = stream_.num_finished() == stream_.num_launched();
  if (result.is_drained) count_copies(result);
  return result;
}

StepContext ModelRunner::context() { return {stream_, comm_, workspace_, trace_}; }

void ModelRunner::encode(const StepPlan& plan, StepResult& result) {
  check_stage(plan);
  if (plan.vision_stage.first_layer == 0) encoding_slots_.clear();
  next_vision_layer_ = 0;  // until the stage has ended: after a failure nothing goes on
  jobs_.clear();
  for (const PictureToEncode& picture : plan.pictures) {
    const auto state = static_cast<std::int64_t>(jobs_.size());
    jobs_.push_back(
        {.pixel_values = picture.pixel_values ? picture.pixel_values->view() : TensorView{},
         .hidden = vision_states_.view().select(0, state),
         .embeds = pictures_.view().select(0, picture.slot)});
    if (plan.vision_stage.first_layer == 0) encoding_slots_.push_back(picture.slot);
  }
  result.vision_cut = model_.encode(context(), jobs_, plan.vision_cut, plan.vision_stage);
}

bool ModelRunner::is_last_stage(const StepPlan& plan) const {
  return plan.vision_stage.end_layer == model_.info().num_vision_layers;
}

/// Whether the states hold what the stage begins with.
void ModelRunner::check_stage(const StepPlan& plan) const {
  const std::int64_t num_states = vision_states_.view().shape[0];
  if (static_cast<std::int64_t>(plan.pictures.size()) > num_states) {
    throw_error(ErrorCode::kInvalidArgument,
                fmt::format("a step encodes {} pictures, but there is room for {} at once",
                            plan.pictures.size(), num_states));
  }
  if (plan.vision_stage.first_layer == 0) return;
  const bool is_same_set = std::equal(
      plan.pictures.begin(), plan.pictures.end(), encoding_slots_.begin(), encoding_slots_.end(),
      [](const PictureToEncode& picture, std::int32_t slot) { return picture.slot == slot; });
  if (is_same_set && plan.vision_stage.first_layer == next_vision_layer_) return;
  throw_error(ErrorCode::kInternal,
              fmt::format("encoding goes on at layer {} with {} pictures, but the last stage left "
                          "{} at layer {}",
                          plan.vision_stage.first_layer, plan.pictures.size(),
                          encoding_slots_.size(), next_vision_layer_));
}

void ModelRunner::forward(const StepPlan& plan) {
  image_rows_.clear();
  for (const ImageRowRange& range : plan.image_rows) {
    const TensorView embeds = pictures_.view().select(0, range.slot);
    image_rows_.push_back({range.first_row, embeds.slice(0, range.begin, range.end)});
  }
  const std::int64_t num_sequences =
      plan.max_blocks > 0 ? static_cast<std::int64_t>(plan.block_tables.size()) / plan.max_blocks
                          : 0;
  const ModelInput input{
      .token_ids = plan_view(plan.token_ids, DType::kI32),
      .positions = plan_view(plan.positions, DType::kI32),
      .slot_mapping = plan_view(plan.slot_mapping, DType::kI64),
      .token_sequences = plan_view(plan.token_sequences, DType::kI32),
      .context_lens = plan_view(plan.context_lens, DType::kI32),
      .block_tables = plan_view(plan.block_tables, DType::kI32, {num_sequences, plan.max_blocks}),
      .logits_rows = plan_view(plan.logits_rows, DType::kI32),
      .image_rows = image_rows_,
  };
  const auto num_logits = static_cast<std::int64_t>(plan.logits_rows.size());
  ModelOutput output;
  if (plan.num_candidates == 0) {
    output.logits = logits_.slice(0, 0, num_logits);
  } else {
    output.candidate_logits = candidates_of(candidate_logits_, num_logits, plan.num_candidates);
    output.candidate_ids = candidates_of(candidate_ids_, num_logits, plan.num_candidates);
  }
  model_.forward(context(), input, kv_cache_, output);
}

void ModelRunner::take_candidates(const StepPlan& plan, StepResult& result) const {
  if (plan.num_candidates == 0 || !plan.pictures.empty()) return;
  result.candidates.resize(plan.logits_rows.size());
  for (std::size_t row = 0; row < result.candidates.size(); ++row) {
    const auto r = static_cast<std::int64_t>(row);
    for (std::int64_t i = 0; i < plan.num_candidates; ++i) {
      const std::int32_t id = *candidate_ids_.view().at<std::int32_t>(r, i);
      if (id < 0) break;  // this rank's part has no more
      result.candidates[row].push_back({*candidate_logits_.view().at<float>(r, i), id});
    }
  }
}

void ModelRunner::copy_embeds(const StepPlan& plan, StepResult& result) const {
  if (comm_.rank() != 0 || !is_last_stage(plan)) return;
  for (const PictureToEncode& picture : plan.pictures) {
    if (!picture.wants_embeds) continue;
    const TensorView from = pictures_.view().select(0, picture.slot);
    Tensor copy(DType::kF32, {from.shape[0], from.shape[1]});
    const std::int64_t size = size_of(from.dtype);
    for (std::int64_t element = 0; element < from.num_elements(); ++element) {
      reinterpret_cast<float*>(copy.view().data)[element] =
          load_f32(from.data + element * size, from.dtype);
    }
    result.image_embeds.push_back(std::move(copy));
  }
}

void ModelRunner::count_copies(StepResult& result) {
  const LayoutCopies total = log_.layout_copies();
  result.copies = total.copies - counted_.copies;
  result.copy_bytes = total.bytes - counted_.bytes;
  counted_ = total;
}

}  // namespace cardloom
