#include "apps/bench_accuracy.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "apps/bench_prompt.h"
#include "apps/interrupt.h"
#include "cardloom/layers/trace.h"

namespace cardloom::app {
namespace {

constexpr std::int64_t kRows = 32;

struct TracedRun {
  std::unique_ptr<Trace> trace = std::make_unique<Trace>();
  Tensor logits;  ///< f32 [rows, V]
};

/// The arithmetic that everything is compared with.
CommonOptions reference_options(const CommonOptions& options) {
  CommonOptions reference = options;
  reference.dtype = "f32";
  reference.weights.clear();
  reference.vision_weights.clear();
  reference.kv_cache.clear();
  return reference;
}

Prompt make_prompt(const Checkpoint& checkpoint, bool vision) {
  BenchPrompts prompts(checkpoint);  // made anew: the same tokens for both runs
  return vision ? prompts.picture() : prompts.text(kRows);
}

/// Only the last row's logits are kept of a picture's many rows.
TracedRun run_traced(const Checkpoint& checkpoint, const CommonOptions& options, bool vision) {
  Request request;
  request.prompt = make_prompt(checkpoint, vision);
  const auto rows = static_cast<std::int64_t>(request.prompt.token_ids.size());
  LoadedEngine loaded =
      load_engine(checkpoint, options, {.max_logits_rows = kRows, .context_tokens = rows + 1});
  request.max_tokens = 1;
  request.prompt_logits = !vision;
  TracedRun run;
  loaded.engine->set_trace(run.trace.get());
  const std::uint64_t id = unwrap(loaded.engine->submit(std::move(request)), kExitFailed);
  while (!loaded.engine->idle()) {
    if (interrupt::requested()) {
      throw Failure(kExitInterrupted, make_error(ErrorCode::kCancelled, "stopped by Ctrl-C"));
    }
    for (const SequenceEvent& event : loaded.engine->step()) {
      if (event.finish == FinishReason::kError) {
        throw Failure(exit_code_of(event.error), event.error);
      }
    }
  }
  loaded.engine->set_trace(nullptr);
  if (!vision) run.logits = loaded.engine->take_prompt_logits(id);
  return run;
}

std::int64_t argmax_of_last_row(const Tensor& logits) {
  const TensorView& view = logits.view();
  const float* row = view.at<float>(view.shape[0] - 1);
  return std::max_element(row, row + view.shape[1]) - row;
}

/// Where the model puts an output out: by stage, then by the layer's number (names alone would
/// have layer.10 before layer.2).
std::pair<std::size_t, long> place(const std::string& name) {
  const std::size_t digits = name.find_last_not_of("0123456789") + 1;
  std::size_t stage = 0;
  for (const char* prefix : {"vision.embed", "vision.layer.", "vision.conv", "text.layer."}) {
    if (name.starts_with(prefix)) break;
    ++stage;
  }
  return {stage, digits < name.size() ? std::stol(name.substr(digits)) : 0L};
}

}  // namespace

AccuracyRow compare_outputs(std::string name, const Tensor& measured, const Tensor& reference) {
  if (!same_shape(measured, reference)) {
    throw_error(ErrorCode::kInternal, fmt::format("{}: two runs of other shapes", name),
                fmt::format("{}, {}", to_string(measured.view()), to_string(reference.view())));
  }
  AccuracyRow row;
  row.name = std::move(name);
  double difference = 0;
  double whole = 0;
  const std::int64_t count = reference.view().num_elements();
  const auto* a = reinterpret_cast<const float*>(measured.view().data);
  const auto* b = reinterpret_cast<const float*>(reference.view().data);
  for (std::int64_t index = 0; index < count; ++index) {
    const double error = static_cast<double>(a[index]) - static_cast<double>(b[index]);
    difference += error * error;
    whole += static_cast<double>(b[index]) * static_cast<double>(b[index]);
    row.largest = std::max(row.largest, std::abs(error));
  }
  row.relative = whole > 0 ? std::sqrt(difference / whole) : 0;
  row.root_mean_square = count > 0 ? std::sqrt(whole / static_cast<double>(count)) : 0;
  return row;
}

Accuracy measure_accuracy(const Checkpoint& checkpoint, const CommonOptions& options, bool vision) {
  const TracedRun measured = run_traced(checkpoint, options, vision);
  const TracedRun reference = run_traced(checkpoint, reference_options(options), vision);
  Accuracy accuracy;
  for (const std::string& name : reference.trace->names()) {
    const Tensor b = reference.trace->rows(name);
    accuracy.num_rows = std::max(accuracy.num_rows, b.view().shape[0]);
    accuracy.rows.push_back(compare_outputs(name, measured.trace->rows(name), b));
  }
  std::stable_sort(
      accuracy.rows.begin(), accuracy.rows.end(),
      [](const AccuracyRow& x, const AccuracyRow& y) { return place(x.name) < place(y.name); });
  if (!vision) {
    accuracy.rows.push_back(compare_outputs("logits", measured.logits, reference.logits));
    accuracy.same_argmax =
        argmax_of_last_row(measured.logits) == argmax_of_last_row(reference.logits);
  }
  return accuracy;
}

}  // namespace cardloom::app
