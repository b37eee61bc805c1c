#include "cardloom/engine/engine.h"

#include <thread>
#include <utility>

#include "cardloom/engine/engine_core.h"

namespace cardloom {

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

Engine::Engine(CardGroup cards, const ModelFactory& make_models, const EngineOptions& options)
    : core_(std::make_unique<EngineCore>(std::move(cards), make_models, options)) {}

Engine::~Engine() {
  // A lost rank's kernel may never end: waiting for it here would hang, and freeing what it works
  // on would crash. So a thread of its own waits, and frees everything if that moment comes.
  if (core_ != nullptr && lost()) {
    std::thread([lost = std::move(core_)]() mutable { lost.reset(); }).detach();
  }
}

Result<std::uint64_t> Engine::submit(Request request) {
  if (lost()) {
    return make_error(ErrorCode::kUnavailable, "the engine has lost a rank", lost()->describe(),
                      "restart the command");
  }
  Result<std::unique_ptr<Sequence>> sequence = prepare(std::move(request));
  if (!sequence) return sequence.error();
  const std::uint64_t id = (*sequence)->id();
  admit(std::move(*sequence));
  return id;
}

Result<std::unique_ptr<Sequence>> Engine::prepare(Request request) const {
  return core_->prepare(std::move(request));
}
void Engine::admit(std::unique_ptr<Sequence> sequence) { core_->admit(std::move(sequence)); }
void Engine::cancel(std::uint64_t sequence_id) { core_->end_sequence(sequence_id); }
std::vector<SequenceEvent> Engine::step() { return core_->step(); }
bool Engine::begin_step() { return core_->begin_step(); }
StepReport Engine::end_step() { return core_->end_step(); }
EngineStats Engine::stats() const { return core_->stats(); }
bool Engine::idle() const { return core_->idle(); }
const std::optional<Error>& Engine::lost() const { return core_->ranks().lost(); }
const ModelInfo& Engine::model_info() const { return core_->ranks().model_info(); }
std::int64_t Engine::context_tokens() const { return core_->ranks().context_tokens(); }
std::int64_t Engine::max_sequences() const { return core_->max_sequences(); }

SequenceTimes Engine::times(std::uint64_t sequence_id) const {
  return core_->find(sequence_id).times;
}

Tensor Engine::take_prompt_logits(std::uint64_t sequence_id) {
  return std::exchange(core_->find(sequence_id).prompt_logits, Tensor());
}

std::vector<Tensor> Engine::take_image_embeds(std::uint64_t sequence_id) {
  return std::exchange(core_->find(sequence_id).image_embeds, {});
}

void Engine::set_trace(Trace* trace) { core_->ranks().set_trace(trace); }
void Engine::set_fingerprints(bool on) { core_->set_fingerprints(on); }
const OpLog& Engine::op_log(int rank) const { return core_->ranks().log(rank); }
int Engine::world_size() const { return core_->ranks().world_size(); }
LayoutCopies Engine::layout_copies() const { return core_->copies(); }

Engine::ReservedBytes Engine::reserved_bytes() const {
  return {core_->ranks().bytes().kv_cache, core_->ranks().bytes().workspace};
}

}  // namespace cardloom
