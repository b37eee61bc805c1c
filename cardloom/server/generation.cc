#include "cardloom/server/generation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <deque>
#include <span>
#include <utility>

#include "cardloom/engine/content_hash.h"
#include "cardloom/engine/sequence.h"
#include "cardloom/sampling/philox.h"

namespace cardloom::server {
namespace {

using api::ApiError;

double milliseconds(std::chrono::nanoseconds duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

/// Why we failed goes to stderr: whoever looks there must find what a client was told of.
void log_cause(const ApiError& error, const std::string& request_id) {
  if (error.cause.empty()) return;
  fmt::print(stderr, "request {}: {} {}: {}\n", request_id, error.status, error.code, error.cause);
}

double seconds(std::chrono::nanoseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

/// Choice 0 draws as a lone request with this seed would; others are as far from it as from
/// each other.
std::uint64_t seed_of_choice(std::uint64_t seed, std::size_t choice) {
  if (choice == 0) return seed;
  const auto words =
      philox4x32({static_cast<std::uint32_t>(choice), 0, 0, 1},
                 {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
  return std::uint64_t{words[1]} << 32 | words[0];
}

Prompt clone(const Prompt& prompt) {
  Prompt copy{.token_ids = prompt.token_ids,
              .positions = prompt.positions,
              .next_position = prompt.next_position,
              .image_spans = prompt.image_spans,
              .images = {}};
  for (const Tensor& image : prompt.images) {
    const TensorView& view = image.view();
    Tensor pixels(view.dtype, {view.shape[0], view.shape[1], view.shape[2]});
    std::memcpy(pixels.view().at<float>(0), view.at<float>(0),
                static_cast<std::size_t>(image.size_bytes()));
    copy.images.push_back(std::move(pixels));
  }
  return copy;
}

/// A prompt's ids as clients know them: of a picture its begin, places, its end. (The model's rows
/// of a picture have no ids of their own.)
std::vector<std::int32_t> told_ids(const ServedModel& model, const Prompt& prompt) {
  std::vector<std::int32_t> ids = prompt.token_ids;
  const std::int32_t place = model.tokenizer->special_id("<|endoftext|>").value_or(0);
  const std::int32_t end = model.tokenizer->special_id("<|end_of_image|>").value_or(place);
  for (const ImageSpan& span : prompt.image_spans) {
    std::fill(ids.begin() + span.begin + 1, ids.begin() + span.end, place);
    ids[static_cast<std::size_t>(span.end - 1)] = end;
  }
  return ids;
}

/// Sequences with the same salt share what is cached; 0 if there is none. A strong hash: with a
/// weak one, whoever chooses a salt could meet the number of another key's and probe what it has
/// asked.
std::uint64_t salt_number(const std::string& salt) {
  if (salt.empty()) return 0;
  ContentHasher hasher;
  hasher.add(std::as_bytes(std::span(salt)));
  return hasher.finish().words[0];
}

}  // namespace

/// One sequence and what has come of it.
struct Generation::Choice {
  Choice(std::size_t choice_index, const Tokenizer& tokenizer, OutputTextOptions options)
      : index(static_cast<std::int64_t>(choice_index)), text(tokenizer, std::move(options)) {}

  std::int64_t index;
  std::unique_ptr<Sequence> sequence;  ///< until it is submitted
  std::uint64_t sequence_id = 0;
  OutputText text;
  std::optional<api::ToolCallParser> calls;
  std::deque<std::int32_t> ids;          ///< not told yet: their text is held back
  std::deque<api::TokenDetail> details;  ///< of the same tokens, if asked for
  api::ReplyDelta delta;                 ///< of this step
  api::ReplyChoice whole;                ///< of a reply that is not streamed
  SequenceTimes times;
  std::int64_t num_tokens = 0;
  bool is_done = false;
};

void respond_error(http::Exchange& exchange, const ApiError& error, api::ErrorShape shape,
                   const std::string& request_id) {
  log_cause(error, request_id);
  http::Response response{
      .status = error.status,
      .headers = {{"content-type", "application/json"}, {"x-request-id", request_id}},
      .body = api::error_body(error, shape, request_id)};
  response.headers.insert(response.headers.end(), error.headers.begin(), error.headers.end());
  exchange.respond(std::move(response));
}

Generation::Generation(GenerationHome home, std::shared_ptr<http::Exchange> exchange,
                       PreparedRequest prepared, ReplyShape shape, std::string request_id,
                       Clock::time_point arrived)
    : home_(std::move(home)),
      exchange_(std::move(exchange)),
      prepared_(std::move(prepared)),
      shape_(shape),
      request_id_(std::move(request_id)),
      arrived_(arrived) {
  for (const Prompt& prompt : prepared_.prompts) {
    prompt_rows_ += static_cast<std::int64_t>(prompt.token_ids.size());
    if (prepared_.request.return_token_ids) prompt_ids_.push_back(told_ids(*home_.model, prompt));
  }
}

Generation::~Generation() = default;

std::optional<ApiError> Generation::prepare() {
  const std::size_t num_choices =
      prepared_.prompts.size() * static_cast<std::size_t>(prepared_.request.n);
  for (std::size_t index = 0; index < num_choices; ++index) {
    Result<std::unique_ptr<Sequence>> sequence = home_.model->engine->prepare(request_of(index));
    if (!sequence) {
      home_.metrics->observe_rejection(to_string(sequence.error().code));
      return api::api_error_of(sequence.error());
    }
    choices_.push_back(make_choice(index));
    choices_.back()->sequence = *std::move(sequence);
  }
  return std::nullopt;
}

void Generation::start() {
  home_.metrics->observe_wishes(prepared_.request.n, prepared_.request.max_tokens);
  for (const auto& choice : choices_) {
    const Result<std::uint64_t> id =
        home_.model->engine->submit(std::move(choice->sequence), *home_.delivery);
    if (!id) {
      home_.metrics->observe_rejection(to_string(id.error().code));
      return fail(api::api_error_of(id.error()));
    }
    choice->sequence_id = *id;
    home_.delivery->add(*id, shared_from_this());
  }
  exchange_->on_gone([self = weak_from_this()] {
    if (const auto generation = self.lock()) generation->drop("client");
  });
  begin_reply();
}

std::unique_ptr<Generation::Choice> Generation::make_choice(std::size_t index) const {
  const api::GenerationRequest& request = prepared_.request;
  const bool is_chat = request.prompts.empty();
  const bool has_tools = is_chat && !request.tools.empty();
  auto choice =
      std::make_unique<Choice>(index, *home_.model->tokenizer,
                               OutputTextOptions{.stop = request.stop,
                                                 .include_stop = request.include_stop,
                                                 .skip_special_tokens = request.skip_special_tokens,
                                                 .trim_leading_newline = is_chat && !has_tools});
  if (has_tools) {
    choice->calls.emplace(api::callable_tools(request.tools, request.tool_choice),
                          request.parallel_tool_calls,
                          api::make_id_source(request_id_ + std::to_string(index)));
  }
  choice->delta.choice = choice->index;
  return choice;
}

Request Generation::request_of(std::size_t index) {
  const api::GenerationRequest& request = prepared_.request;
  const std::size_t prompt = index / static_cast<std::size_t>(request.n);
  const bool is_last_use = (index + 1) % static_cast<std::size_t>(request.n) == 0;
  Request sequence;
  sequence.prompt =
      is_last_use ? std::move(prepared_.prompts[prompt]) : clone(prepared_.prompts[prompt]);
  sequence.sampling = request.sampling;
  sequence.sampling.seed =
      seed_of_choice(request.sampling.seed, index % static_cast<std::size_t>(request.n));
  sequence.max_tokens = request.max_tokens;
  sequence.min_tokens = request.min_tokens;
  if (!request.ignore_eos) sequence.stop_ids = home_.model->stop_ids;
  sequence.stop_ids.insert(sequence.stop_ids.end(), request.stop_token_ids.begin(),
                           request.stop_token_ids.end());
  if (prepared_.grammar) sequence.constraint = home_.model->grammars->begin(prepared_.grammar);
  sequence.priority = static_cast<Priority>(request.priority);
  sequence.cache_salt = salt_number(request.cache_salt);
  return sequence;
}

http::Headers Generation::headers(const char* content_type) const {
  http::Headers headers = {{"content-type", content_type}, {"x-request-id", request_id_}};
  if (prepared_.request.ignored_fields.empty()) return headers;
  std::string names;
  for (const std::string& name : prepared_.request.ignored_fields) {
    names += (names.empty() ? "" : ", ") + name;
  }
  headers.emplace_back("x-ignored-fields", std::move(names));
  return headers;
}

void Generation::begin_reply() {
  api::ReplyIdentity identity{.id_suffix = request_id_,
                              .model = home_.model->id,
                              .created = std::chrono::duration_cast<std::chrono::seconds>(
                                             std::chrono::system_clock::now().time_since_epoch())
                                             .count(),
                              .fingerprint = home_.model->fingerprint,
                              .prompt_ids = std::move(prompt_ids_)};
  writer_ = shape_.make_writer(prepared_.request, std::move(identity));
  if (prepared_.request.stream) {
    http::Headers head = headers("text/event-stream");
    head.emplace_back("cache-control", "no-cache");
    head.emplace_back("x-accel-buffering", "no");  // proxies must not gather what is a stream
    exchange_->begin_stream({.status = 200, .headers = std::move(head), .body = writer_->begin()});
  }
  for (std::size_t index = 0; index < choices_.size() && !prepared_.echo.empty(); ++index) {
    take_text(*choices_[index],
              prepared_.echo[index / static_cast<std::size_t>(prepared_.request.n)]);
    flush_delta(*choices_[index]);
  }
  write();
}

Generation::Choice& Generation::choice_of(std::uint64_t sequence_id) {
  return **std::find_if(choices_.begin(), choices_.end(),
                        [&](const auto& choice) { return choice->sequence_id == sequence_id; });
}

void Generation::on_event(const LoopEvent& event) {
  if (is_over_) return;
  Choice& choice = choice_of(event.event.sequence_id);
  if (choice.is_done) return;  // tokens that came after a stop string
  if (event.event.finish == FinishReason::kError) return fail(api::api_error_of(event.event.error));
  if (event.event.token_id >= 0 || event.event.finish != FinishReason::kNone) {
    choice.times = event.times;
  }
  if (event.event.token_id >= 0) {
    take_token(choice, event.event);
  } else if (event.event.finish == FinishReason::kNone) {
    report_progress(choice, event);
  }
  if (choice.is_done || event.event.finish == FinishReason::kNone) return;
  finish_choice(choice, event.event.finish == FinishReason::kLength ? api::ReplyEnd::kLength
                                                                    : api::ReplyEnd::kStop);
}

void Generation::take_token(Choice& choice, const SequenceEvent& event) {
  const Clock::time_point now = Clock::now();
  if (!first_token_) {
    first_token_ = now;
    home_.metrics->observe_first_token(seconds(now - arrived_));
  } else if (choice.num_tokens > 0 && now != last_token_) {
    home_.metrics->observe_token_gap(seconds(now - last_token_));
  }
  last_token_ = now;
  ++choice.num_tokens;
  choice.ids.push_back(event.token_id);
  if (event.logprobs) take_logprobs(choice, *event.logprobs);
  if (choice.calls && event.token_id == home_.model->tokenizer->special_id("<|assistant|>")) {
    take_calls(choice, choice.calls->next_turn());
  }
  show(choice, choice.text.append(event.token_id));
}

void Generation::tell(Choice& choice, const OutputPiece& piece) {
  for (std::int64_t index = 0; index < piece.num_tokens && !choice.ids.empty(); ++index) {
    if (prepared_.request.return_token_ids) choice.delta.token_ids.push_back(choice.ids.front());
    choice.ids.pop_front();
    if (choice.details.empty()) continue;
    choice.delta.logprobs.push_back(std::move(choice.details.front()));
    choice.details.pop_front();
  }
  if (!piece.text.empty()) take_text(choice, piece.text);
}

void Generation::show(Choice& choice, const OutputPiece& piece) {
  tell(choice, piece);
  const bool calls_complete = choice.calls && choice.calls->is_complete();
  if (!piece.stopped && !calls_complete) return;
  choice.whole.stop_sequence = piece.stop;
  home_.model->engine->cancel(choice.sequence_id);
  finish_choice(choice, api::ReplyEnd::kStop);
}

void Generation::take_text(Choice& choice, const std::string& text) {
  if (choice.calls) return take_calls(choice, choice.calls->append(text));
  choice.delta.text += text;
}

void Generation::take_calls(Choice& choice, api::ToolCallParser::Piece piece) {
  choice.delta.text += piece.text;
  for (api::ToolCallDelta& call : piece.calls) choice.delta.tool_calls.push_back(std::move(call));
}

api::TokenText Generation::token_text(const TokenLogprob& token) const {
  return {token.id, std::string(home_.model->tokenizer->token_bytes(token.id)), token.logprob};
}

void Generation::take_logprobs(Choice& choice, const TokenLogprobs& logprobs) {
  api::TokenDetail detail{.chosen = token_text(logprobs.chosen), .top = {}};
  for (const TokenLogprob& token : logprobs.top) detail.top.push_back(token_text(token));
  choice.details.push_back(std::move(detail));
}

void Generation::report_progress(Choice& choice, const LoopEvent& event) {
  const bool wanted = prepared_.request.stream && prepared_.request.return_progress;
  if (!wanted || choice.index != 0 || choice.num_tokens > 0) return;
  out_ += writer_->progress({.images_done = event.pictures_encoded,
                             .images = prepared_.num_images,
                             .tokens_done = event.rows_cached,
                             .tokens = prompt_rows_});
}

void Generation::flush_delta(Choice& choice) {
  api::ReplyDelta& delta = choice.delta;
  if (delta.text.empty() && delta.tool_calls.empty() && delta.logprobs.empty() &&
      delta.token_ids.empty()) {
    return;
  }
  if (prepared_.request.stream) {
    out_ += writer_->delta(delta, usage());
  } else {
    append_to(choice.whole, delta);
  }
  delta = api::ReplyDelta();
  delta.choice = choice.index;
}

void Generation::append_to(api::ReplyChoice& whole, const api::ReplyDelta& delta) {
  whole.text += delta.text;
  for (const api::ToolCallDelta& call : delta.tool_calls) {
    const auto index = static_cast<std::size_t>(call.index);
    if (whole.tool_calls.size() <= index) whole.tool_calls.resize(index + 1);
    api::ReplyChoice::ToolCall& target = whole.tool_calls[index];
    if (!call.id.empty()) target.id = call.id;
    if (!call.name.empty()) target.name = call.name;
    target.arguments += call.arguments;
  }
  whole.logprobs.insert(whole.logprobs.end(), delta.logprobs.begin(), delta.logprobs.end());
  whole.token_ids.insert(whole.token_ids.end(), delta.token_ids.begin(), delta.token_ids.end());
}

void Generation::finish_choice(Choice& choice, api::ReplyEnd end) {
  choice.is_done = true;  // first: the last piece must not finish it again
  home_.delivery->remove(choice.sequence_id);
  if (choice.whole.stop_sequence.empty()) {
    const OutputPiece rest = choice.text.finish();
    choice.whole.stop_sequence = rest.stop;
    tell(choice, rest);
  }
  if (choice.calls) {
    take_calls(choice, choice.calls->finish());
    if (choice.calls->has_calls() && end == api::ReplyEnd::kStop) end = api::ReplyEnd::kToolCalls;
  }
  choice.whole.end = end;
  flush_delta(choice);
  if (prepared_.request.stream) {
    out_ += writer_->end_choice(choice.index, end, choice.whole.stop_sequence);
  }
  if (++num_done_ == choices_.size()) finish_reply();
}

api::Usage Generation::usage() const {
  api::Usage usage{.prompt_tokens = prompt_rows_, .image_tokens = prepared_.image_rows};
  for (const auto& choice : choices_) {
    usage.completion_tokens += choice->num_tokens;
    // Choices of one prompt share it: what the first found in the cache is what the reply saved.
    if (choice->index % prepared_.request.n == 0) usage.cached_tokens += choice->times.cached_rows;
  }
  return usage;
}

api::ReplyTimings Generation::timings() const {
  const SequenceTimes& times = choices_.front()->times;
  const std::chrono::nanoseconds decode = last_token_ - first_token_.value_or(last_token_);
  const double decode_s = seconds(decode);
  const std::int64_t after_first = std::max<std::int64_t>(0, choices_.front()->num_tokens - 1);
  return {.queue_ms = milliseconds(times.queue),
          .image_fetch_ms = milliseconds(prepared_.fetch),
          .image_decode_ms = milliseconds(prepared_.decode),
          .image_preprocess_ms = milliseconds(prepared_.preprocess),
          .image_encode_ms = milliseconds(times.vision),
          .prefill_ms = milliseconds(times.prefill),
          .first_token_ms = first_token_ ? milliseconds(*first_token_ - arrived_) : 0,
          .decode_ms = milliseconds(decode),
          .tokens_per_second = decode_s > 0 ? static_cast<double>(after_first) / decode_s : 0};
}

void Generation::finish_reply() {
  is_over_ = true;
  const api::ReplyTimings spent = timings();
  const api::ReplyEnd end = choices_.front()->whole.end;
  home_.metrics->observe_reply(end == api::ReplyEnd::kLength      ? "length"
                               : end == api::ReplyEnd::kToolCalls ? "tool_calls"
                                                                  : "stop",
                               usage(), spent, seconds(Clock::now() - arrived_));
  if (prepared_.request.stream) {
    out_ += writer_->end(usage(), spent);
    write();
    exchange_->end_stream();
    return;
  }
  std::vector<api::ReplyChoice> whole;
  for (const auto& choice : choices_) whole.push_back(std::move(choice->whole));
  exchange_->respond({.status = 200,
                      .headers = headers("application/json"),
                      .body = writer_->body(whole, usage(), spent)});
}

void Generation::on_step_end() {
  if (is_over_) return;
  for (const auto& choice : choices_) flush_delta(*choice);
  write();
}

void Generation::on_tick() {
  const bool is_silent = Clock::now() - last_write_ >= home_.ping_interval;
  if (is_over_ || !prepared_.request.stream || !is_silent) return;
  out_ += writer_->ping();
  write();
}

void Generation::write() {
  if (out_.empty()) return;
  last_write_ = Clock::now();
  exchange_->write(std::exchange(out_, {}));
}

/// After the 200 an error is an event of the stream.
void Generation::fail(const ApiError& error) {
  const bool has_begun = writer_ != nullptr && prepared_.request.stream;
  if (has_begun) out_ += writer_->fail(error);
  write();
  drop("error");
  if (has_begun) {
    log_cause(error, request_id_);
    exchange_->end_stream();
  } else {
    respond_error(*exchange_, error, shape_.error, request_id_);
  }
}

/// Ends all sequences that still run; the reply is somebody else's affair.
void Generation::drop(const char* by) {
  if (std::exchange(is_over_, true)) return;
  home_.metrics->observe_cancel(by);
  const auto keep = shared_from_this();
  for (const auto& choice : choices_) {
    if (choice->is_done || choice->sequence_id == 0) continue;
    home_.model->engine->cancel(choice->sequence_id);
    home_.delivery->remove(choice->sequence_id);
  }
}

}  // namespace cardloom::server
