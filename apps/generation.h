#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "apps/session.h"
#include "cardloom/engine/output_text.h"

namespace cardloom::app {

/// One answer and where its time went.
struct Answer {
  std::uint64_t sequence_id = 0;
  std::vector<std::int32_t> ids;
  FinishReason finish = FinishReason::kNone;
  SequenceTimes times;
  LayoutCopies copies;                     ///< of this answer alone
  std::chrono::nanoseconds first_token{};  ///< from the start of the request, pictures included
  std::chrono::nanoseconds total{};        ///< to its end

  [[nodiscard]] double tokens_per_second() const;
};

/// Throws Failure(kExitUsage) on a sampling option out of range.
[[nodiscard]] SamplingParams sampling_of(const SamplingOptions& options);

/// Runs a prompt, which is taken out of `prepared`, to its end or until Ctrl-C (see interrupt.h).
/// `on_token` is told every token.
/// Throws Failure: kExitUsage if the prompt does not fit, else by the kind of the error.
[[nodiscard]] Answer generate(Engine& engine, PreparedPrompt& prepared, Request request,
                              const std::function<void(std::int32_t)>& on_token);

/// Turns tokens into the text that people see: whole characters only, without the newline that
/// GLM-4V begins its answers with.
class AnswerText {
 public:
  explicit AnswerText(const Tokenizer& tokenizer);
  /// What to show now.
  [[nodiscard]] std::string append(std::int32_t id);
  [[nodiscard]] std::string finish();
  /// Everything so far.
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string show(const OutputPiece& piece);
  OutputText output_;
  std::string text_;
};

/// One line of figures: time to first token, tokens/s, time by stage, cards, copies.
[[nodiscard]] std::string figures_line(const Answer& answer, const PreparedPrompt& prepared,
                                       const LoadedEngine& loaded);
/// The same for programs: usage, finish_reason, timings_ms, cards, ...
[[nodiscard]] json::object figures_json(const Answer& answer, const PreparedPrompt& prepared,
                                        const LoadedEngine& loaded);

}  // namespace cardloom::app
