#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "apps/chat.h"
#include "apps/commands.h"
#include "apps/interrupt.h"
#include "apps/text.h"
#include "cardloom/base/ascii.h"

namespace cardloom::app {
namespace {

constexpr std::int64_t kMaxPromptBytes = std::int64_t{16} << 20;

std::vector<ChatMessage> first_messages(const RunOptions& options, std::string prompt) {
  std::vector<ChatMessage> messages;
  if (!options.system.empty()) messages.push_back(make_message("system", options.system));
  messages.push_back(make_message("user", std::move(prompt), options.images));
  return messages;
}

/// Prompt, picture and flags are judged before the weights are loaded: a typing mistake must not
/// cost the minutes that a large model takes.
int answer_once(const RunOptions& options, const Checkpoint& checkpoint, std::string prompt) {
  PreparedPrompt prepared =
      prepare_chat(checkpoint, first_messages(options, std::move(prompt)), options.common);
  LoadedEngine loaded = load_engine(checkpoint, options.common);
  Request request;
  request.sampling = sampling_of(options.sampling);
  request.max_tokens = options.max_tokens;
  request.stop_ids = checkpoint.stop_ids();

  interrupt::install();
  AnswerText text(*checkpoint.tokenizer);
  const auto show = [&](const std::string& part) {
    if (options.common.json || part.empty()) return;
    std::fwrite(part.data(), 1, part.size(), stdout);
    std::fflush(stdout);
  };
  const Answer answer = generate(*loaded.engine, prepared, std::move(request),
                                 [&](std::int32_t id) { show(text.append(id)); });
  show(text.finish());
  if (options.common.json) {
    json::object object = figures_json(answer, prepared, loaded);
    object["answer"] = text.text();
    object["ids"] = ids_json(answer.ids);
    print_json(object);
  } else {
    std::fputs("\n", stdout);
    std::fflush(stdout);
    if (!options.common.quiet) {
      std::fputs((figures_line(answer, prepared, loaded) + "\n").c_str(), stderr);
    }
  }
  return answer.finish == FinishReason::kCancelled ? kExitInterrupted : kExitOk;
}

void warn_of_idle_options(const RunOptions& options) {
  const SamplingOptions& sampling = options.sampling;
  if (sampling.temperature == 0 && (sampling.top_p != 1 || sampling.top_k != 0)) {
    std::fputs("warning: --top-p and --top-k have no effect without --temperature\n", stderr);
  }
}

}  // namespace

int run_run(const RunOptions& options) {
  check_common(options.common);
  check_range("--max-tokens", options.max_tokens, 1, INT64_MAX);
  static_cast<void>(sampling_of(options.sampling));
  warn_of_idle_options(options);
  const Checkpoint checkpoint = open_checkpoint(options.common.model);
  if (options.prompt) return answer_once(options, checkpoint, *options.prompt);
  if (isatty(STDIN_FILENO) == 1) {
    LoadedEngine loaded = load_engine(checkpoint, options.common);
    return run_chat(options, checkpoint, loaded);
  }
  const std::string text = read_stdin(kMaxPromptBytes);
  if (stripped(text).empty() && options.images.empty()) {
    fail_usage("there is no prompt", "no PROMPT was given and stdin is empty",
               "cardloom run MODEL \"your question\"");
  }
  return answer_once(options, checkpoint, std::string(stripped(text)));
}

}  // namespace cardloom::app
