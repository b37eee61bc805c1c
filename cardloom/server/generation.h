#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cardloom/api/api.h"
#include "cardloom/api/tool_call_parser.h"
#include "cardloom/engine/output_text.h"
#include "cardloom/http/http_server.h"
#include "cardloom/server/delivery.h"
#include "cardloom/server/metrics.h"
#include "cardloom/server/prompt_builder.h"
#include "cardloom/server/served_model.h"

namespace cardloom::server {

/// What a generation needs beside its request; outlives it.
struct GenerationHome {
  const ServedModel* model = nullptr;
  Delivery* delivery = nullptr;  ///< of the exchange's I/O thread
  Metrics* metrics = nullptr;
  std::chrono::seconds ping_interval{15};
};

/// How one API words its replies and errors.
struct ReplyShape {
  std::unique_ptr<api::ReplyWriter> (*make_writer)(const api::GenerationRequest&,
                                                   api::ReplyIdentity) = nullptr;
  api::ErrorShape error = api::ErrorShape::kOpenAi;
};

/// One request from its prepared prompt to the last byte of its reply: submits its sequences, turns
/// their tokens into text, tool calls and log probabilities, and writes them as they come or at the
/// end. Lives on its exchange's I/O thread, but for prepare(); the delivery keeps it alive.
class Generation : public Receiver, public std::enable_shared_from_this<Generation> {
 public:
  using Clock = std::chrono::steady_clock;

  Generation(GenerationHome home, std::shared_ptr<http::Exchange> exchange,
             PreparedRequest prepared, ReplyShape shape, std::string request_id,
             Clock::time_point arrived);

  ~Generation() override;

  /// What takes long before anything can run: sequences with the hashes of prompts and pictures. On
  /// any thread, once and before start(); the error if a sequence is refused.
  [[nodiscard]] std::optional<api::ApiError> prepare();
  /// Submits all sequences. If one is refused, the reply says so and nothing runs.
  void start();

  void on_event(const LoopEvent& event) override;
  void on_step_end() override;
  void on_tick() override;

 private:
  struct Choice;

  [[nodiscard]] std::unique_ptr<Choice> make_choice(std::size_t index) const;
  Request request_of(std::size_t index);
  void begin_reply();
  Choice& choice_of(std::uint64_t sequence_id);
  void take_token(Choice& choice, const SequenceEvent& event);
  void tell(Choice& choice, const OutputPiece& piece);
  void show(Choice& choice, const OutputPiece& piece);
  void take_text(Choice& choice, const std::string& text);
  void take_calls(Choice& choice, api::ToolCallParser::Piece piece);
  void take_logprobs(Choice& choice, const TokenLogprobs& logprobs);
  static void append_to(api::ReplyChoice& whole, const api::ReplyDelta& delta);
  void finish_choice(Choice& choice, api::ReplyEnd end);
  void finish_reply();
  void flush_delta(Choice& choice);
  void report_progress(Choice& choice, const LoopEvent& event);
  void fail(const api::ApiError& error);
  void drop(const char* by);
  void write();
  [[nodiscard]] api::TokenText token_text(const TokenLogprob& token) const;
  [[nodiscard]] api::Usage usage() const;
  [[nodiscard]] api::ReplyTimings timings() const;
  [[nodiscard]] http::Headers headers(const char* content_type) const;

  GenerationHome home_;
  std::shared_ptr<http::Exchange> exchange_;
  PreparedRequest prepared_;
  ReplyShape shape_;
  std::string request_id_;
  Clock::time_point arrived_;
  std::unique_ptr<api::ReplyWriter> writer_;
  std::vector<std::unique_ptr<Choice>> choices_;
  std::size_t num_done_ = 0;
  std::int64_t prompt_rows_ = 0;
  std::vector<std::vector<std::int32_t>> prompt_ids_;  ///< if asked for; until the reply begins
  std::optional<Clock::time_point> first_token_;
  Clock::time_point last_token_{};
  Clock::time_point last_write_{};
  std::string out_;  ///< of this step, to be sent at its end
  bool is_over_ = false;
};

/// Answers with an error in an API's shape.
void respond_error(http::Exchange& exchange, const api::ApiError& error, api::ErrorShape shape,
                   const std::string& request_id);

}  // namespace cardloom::server
