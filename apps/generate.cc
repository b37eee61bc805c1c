#include <cstdio>

#include "apps/commands.h"
#include "apps/generation.h"
#include "apps/interrupt.h"
#include "apps/text.h"

namespace cardloom::app {

int run_generate(const GenerateOptions& options) {
  check_common(options.common);
  check_range("--max-tokens", options.max_tokens, 1, INT64_MAX);
  const SamplingParams sampling = sampling_of(options.sampling);
  const Checkpoint checkpoint = open_checkpoint(options.common.model);
  PreparedPrompt prepared = prepare_ids(checkpoint, options.ids, options.images, options.common);
  LoadedEngine loaded = load_engine(checkpoint, options.common);

  Request request;
  request.sampling = sampling;
  request.max_tokens = options.max_tokens;
  if (!options.ignore_eos) request.stop_ids = checkpoint.stop_ids();
  interrupt::install();
  const Answer answer = generate(*loaded.engine, prepared, std::move(request), {});
  const std::string text = checkpoint.tokenizer->decode(answer.ids);
  if (options.common.json) {
    json::object object;
    object["ids"] = ids_json(answer.ids);
    object["text"] = text;
    for (auto& [key, value] : figures_json(answer, prepared, loaded)) object[key] = value;
    print_json(object);
  } else {
    std::fputs((text + "\n").c_str(), stdout);
    std::fflush(stdout);
    if (!options.common.quiet) {
      std::fputs((figures_line(answer, prepared, loaded) + "\n").c_str(), stderr);
    }
  }
  return answer.finish == FinishReason::kCancelled ? kExitInterrupted : kExitOk;
}

}  // namespace cardloom::app
