#include "apps/generation.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "apps/interrupt.h"
#include "apps/text.h"

namespace cardloom::app {

using Clock = std::chrono::steady_clock;

double Answer::tokens_per_second() const {
  const double seconds = milliseconds(times.decode) * 1e-3;
  return ids.size() < 2 || seconds <= 0
             ? 0
             : std::round(static_cast<double>(ids.size() - 1) / seconds * 10) / 10;
}

SamplingParams sampling_of(const SamplingOptions& options) {
  const SamplingParams params{.temperature = options.temperature,
                              .top_k = options.top_k,
                              .top_p = options.top_p,
                              .repetition_penalty = options.repetition_penalty,
                              .seed = options.seed};
  unwrap(validate(params), kExitUsage);
  return params;
}

Answer generate(Engine& engine, PreparedPrompt& prepared, Request request,
                const std::function<void(std::int32_t)>& on_token) {
  const std::chrono::nanoseconds before = prepared.decode + prepared.preprocess;
  const LayoutCopies copies = engine.layout_copies();
  const Clock::time_point begin = Clock::now();
  request.prompt = std::move(prepared.prompt);
  const auto submitted = engine.submit(std::move(request));
  if (!submitted) {
    const bool memory = submitted.error().code == ErrorCode::kResourceExhausted;
    throw Failure(memory ? kExitNoMemory : kExitUsage, submitted.error());
  }
  Answer answer;
  answer.sequence_id = *submitted;
  while (answer.finish == FinishReason::kNone) {
    if (interrupt::requested()) {
      engine.cancel(answer.sequence_id);
      answer.finish = FinishReason::kCancelled;
      break;
    }
    for (const SequenceEvent& event : engine.step()) {
      if (event.finish == FinishReason::kError) {
        throw Failure(exit_code_of(event.error), event.error);
      }
      answer.finish = event.finish;
      if (answer.first_token.count() == 0) answer.first_token = before + (Clock::now() - begin);
      if (event.token_id < 0) continue;
      answer.ids.push_back(event.token_id);
      if (on_token) on_token(event.token_id);
    }
  }
  answer.times = engine.times(answer.sequence_id);
  answer.total = before + (Clock::now() - begin);
  answer.copies = {engine.layout_copies().copies - copies.copies,
                   engine.layout_copies().bytes - copies.bytes};
  return answer;
}

AnswerText::AnswerText(const Tokenizer& tokenizer)
    : output_(tokenizer, {.trim_leading_newline = true}) {}

std::string AnswerText::show(const OutputPiece& piece) {
  text_ += piece.text;
  return piece.text;
}

std::string AnswerText::append(std::int32_t id) { return show(output_.append(id)); }
std::string AnswerText::finish() { return show(output_.finish()); }

std::string figures_line(const Answer& answer, const PreparedPrompt& prepared,
                         const LoadedEngine& loaded) {
  std::string stages;
  if (prepared.num_images > 0) {
    stages =
        fmt::format("decode picture {}, preprocess {}, vision {}, ", duration_text(prepared.decode),
                    duration_text(prepared.preprocess), duration_text(answer.times.vision));
  }
  std::string copies = counted(static_cast<std::int64_t>(answer.copies.copies), "layout copie");
  if (answer.copies.copies == 1) copies = "1 layout copy";
  if (answer.copies.bytes > 0) {
    copies += fmt::format(" ({})", binary_bytes(static_cast<double>(answer.copies.bytes)));
  }
  return fmt::format(
      "first token {} | {:.1f} tokens/s | {}prefill {} ({}), decode {} ({}) | {} | {}",
      duration_text(answer.first_token), answer.tokens_per_second(), stages,
      duration_text(answer.times.prefill), counted(answer.times.prompt_rows, "row"),
      duration_text(answer.times.decode),
      counted(static_cast<std::int64_t>(answer.ids.size()), "token"), loaded.describe(), copies);
}

json::object figures_json(const Answer& answer, const PreparedPrompt& prepared,
                          const LoadedEngine& loaded) {
  const auto generated = static_cast<std::int64_t>(answer.ids.size());
  json::object figures;
  figures["finish_reason"] = to_string(answer.finish);
  figures["usage"] = {{"prompt_tokens", answer.times.prompt_rows},
                      {"image_tokens", prepared.image_rows},
                      {"completion_tokens", generated},
                      {"total_tokens", answer.times.prompt_rows + generated}};
  figures["timings_ms"] = {{"load", milliseconds(loaded.load_time)},
                           {"decode_picture", milliseconds(prepared.decode)},
                           {"preprocess", milliseconds(prepared.preprocess)},
                           {"vision", milliseconds(answer.times.vision)},
                           {"prefill", milliseconds(answer.times.prefill)},
                           {"decode", milliseconds(answer.times.decode)},
                           {"first_token", milliseconds(answer.first_token)},
                           {"total", milliseconds(answer.total)}};
  figures["tokens_per_second"] = answer.tokens_per_second();
  figures["cards"] = loaded.tp;
  figures["threads_per_card"] = loaded.threads_per_card;
  figures["isa"] = loaded.instruction_path;
  figures["dtype"] = to_string(loaded.dtype);
  figures["weights"] = to_string(loaded.weights.text);
  figures["vision_weights"] = to_string(loaded.weights.vision);
  figures["kv_cache"] = kv_cache_name(loaded.kv_cache);
  if (prepared.num_images > 0) {
    figures["vision_cut"] = answer.times.vision_cut == VisionCut::kPictures ? "pictures" : "heads";
  }
  figures["layout_copies"] = {{"copies", answer.copies.copies}, {"bytes", answer.copies.bytes}};
  return figures;
}

}  // namespace cardloom::app
