#include <fmt/format.h>

#include <cstdio>
#include <map>

#include "apps/commands.h"
#include "apps/generation.h"
#include "apps/text.h"
#include "cardloom/layers/trace.h"
#include "cardloom/weights/safetensors_writer.h"

namespace cardloom::app {
namespace {

void check(const LogitsOptions& options) {
  check_common(options.common);
  if (options.ids.empty() == options.chat.empty()) {
    fail_usage(options.ids.empty() ? "there is no prompt" : "--ids and --chat were both given",
               "exactly one of --ids and --chat says what to run",
               "cardloom logits MODEL --ids \"1 2 3\" --out logits.safetensors");
  }
}

using NamedViews = std::vector<std::pair<std::string, TensorView>>;

/// {"logits": [rows, vocab], ..}.
json::object shapes_json(const NamedViews& tensors) {
  json::object shapes;
  for (const auto& [name, view] : tensors) {
    json::array shape;
    for (int axis = 0; axis < view.rank; ++axis) shape.emplace_back(view.shape[axis]);
    shapes[name] = std::move(shape);
  }
  return shapes;
}

}  // namespace

int run_logits(const LogitsOptions& options) {
  check(options);
  const Checkpoint checkpoint = open_checkpoint(options.common.model);
  PreparedPrompt prepared =
      options.chat.empty()
          ? prepare_ids(checkpoint, options.ids, options.images, options.common)
          : prepare_chat(checkpoint, read_chat(options.chat, options.images), options.common);
  LoadedEngine loaded =
      load_engine(checkpoint, options.common, {.max_logits_rows = options.common.chunk});
  Trace trace;
  if (options.trace) loaded.engine->set_trace(&trace);

  Request request;
  request.max_tokens = 1;
  request.prompt_logits = true;
  const Answer answer = generate(*loaded.engine, prepared, std::move(request), {});

  loaded.engine->set_trace(nullptr);
  const Tensor logits = loaded.engine->take_prompt_logits(answer.sequence_id);
  const std::vector<Tensor> embeds = loaded.engine->take_image_embeds(answer.sequence_id);
  NamedViews tensors = {{"logits", logits}};
  for (std::size_t image = 0; image < embeds.size(); ++image) {
    tensors.emplace_back(fmt::format("image_embeds.{}", image), embeds[image]);
  }
  std::map<std::string, Tensor> traced;
  if (options.trace) {
    for (const std::string& name : trace.names()) {
      tensors.emplace_back(name, traced.emplace(name, trace.rows(name)).first->second);
    }
  }
  const std::map<std::string, std::string> metadata = {
      {"isa", loaded.instruction_path},
      {"tp", std::to_string(loaded.tp)},
      {"dtype", std::string(to_string(loaded.dtype))},
      {"weights", to_string(loaded.weights.text)},
      {"vision_weights", to_string(loaded.weights.vision)},
      {"kv_cache", std::string(kv_cache_name(loaded.kv_cache))},
      {"chunk", std::to_string(options.common.chunk)},
      {"model", options.common.model}};
  unwrap(write_safetensors(options.out, tensors, metadata), kExitFailed);
  if (options.common.json) {
    json::object object = figures_json(answer, prepared, loaded);
    object["out"] = options.out;
    object["tensors"] = shapes_json(tensors);
    print_json(object);
    return kExitOk;
  }
  std::fputs(fmt::format("{}: {} (logits {})\n", options.out,
                         counted(static_cast<std::int64_t>(tensors.size()), "tensor"),
                         to_string(logits.view()))
                 .c_str(),
             stdout);
  if (!options.common.quiet) {
    std::fputs((figures_line(answer, prepared, loaded) + "\n").c_str(), stderr);
  }
  return kExitOk;
}

}  // namespace cardloom::app
