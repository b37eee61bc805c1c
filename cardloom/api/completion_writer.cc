#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "cardloom/api/api.h"
#include "cardloom/api/openai_reply.h"
#include "cardloom/base/utf8.h"

namespace cardloom::api {
namespace {

/// How OpenAI writes a token in this API: its text, or `bytes:\xe2\x80` if it is a part of a
/// character.
std::string token_text(const TokenText& token) {
  if (is_valid_utf8(token.bytes)) return token.bytes;
  std::string text = "bytes:";
  for (const char byte : token.bytes) {
    fmt::format_to(std::back_inserter(text), "\\x{:02x}", static_cast<unsigned char>(byte));
  }
  return text;
}

/// Characters that begin in `bytes`: right for parts of characters, too, in their sum.
std::int64_t num_characters(std::string_view bytes) {
  return std::count_if(bytes.begin(), bytes.end(), [](char byte) {
    return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U;
  });
}

/// {"token": logprob, ...}, the chosen one among them.
void append_top(JsonWriter& json, const TokenDetail& detail) {
  json.begin_object();
  std::set<std::string> names;
  const auto append = [&](const TokenText& token) {
    const auto [name, is_new] = names.insert(token_text(token));
    if (is_new) json.escaped_key(*name).real(token.logprob);
  };
  for (const TokenText& token : detail.top) append(token);
  append(detail.chosen);
  json.end_object();
}

/// "logprobs": {"tokens", "token_logprobs", "top_logprobs", "text_offset"}, or null. `offset`: of
/// the first token in the choice's text; moved behind the last.
void append_logprobs(JsonWriter& json, const std::vector<TokenDetail>& logprobs,
                     std::int64_t& offset) {
  if (logprobs.empty()) {
    json.null_field("logprobs");
    return;
  }
  json.key("logprobs").begin_object().key("tokens").begin_list();
  for (const TokenDetail& detail : logprobs) json.string(token_text(detail.chosen));
  json.end_list().key("token_logprobs").begin_list();
  for (const TokenDetail& detail : logprobs) json.real(detail.chosen.logprob);
  json.end_list().key("top_logprobs").begin_list();
  for (const TokenDetail& detail : logprobs) append_top(json, detail);
  json.end_list().key("text_offset").begin_list();
  for (const TokenDetail& detail : logprobs) {
    json.integer(offset);
    offset += num_characters(detail.chosen.bytes);
  }
  json.end_list().end_object();
}

/// Source: the type Completion of npm openai 6.49, which is that of its chunks, too.
class CompletionWriter final : public ReplyWriter {
 public:
  CompletionWriter(const GenerationRequest& request, ReplyIdentity identity)
      : frame_(request, identity, "cmpl-", "text_completion", "text_completion"),
        return_token_ids_(request.return_token_ids),
        num_choices_a_prompt_(static_cast<std::size_t>(request.n)),
        prompt_ids_(std::move(identity.prompt_ids)),
        offsets_(std::max<std::size_t>(1, request.prompts.size()) *
                 static_cast<std::size_t>(request.n)),
        told_(offsets_.size()) {}

  // A completion has no role to tell.
  std::string begin() override { return {}; }

  std::string progress(const PromptProgress& progress) override {
    return frame_.progress(progress);
  }

  std::string delta(const ReplyDelta& delta, const Usage& so_far) override {
    last_usage_ = so_far;
    const bool has_ids = return_token_ids_ && !delta.token_ids.empty();
    if (delta.text.empty() && delta.logprobs.empty() && !has_ids) return {};
    std::int64_t& offset = offsets_.at(static_cast<std::size_t>(delta.choice));
    std::string out;
    out.reserve(512);
    frame_.begin_chunk(out);
    JsonWriter json(out);
    begin_choice(json, delta.choice, delta.text);
    // Text without tokens is the prompt's echo.
    if (delta.logprobs.empty()) offset += num_characters(delta.text);
    append_logprobs(json, delta.logprobs, offset);
    if (has_ids) {
      const auto choice = static_cast<std::size_t>(delta.choice);
      if (!told_[choice]) append_prompt_ids(json, prompt_ids_of(choice));
      told_[choice] = true;
      append_token_ids(json.key("token_ids"), delta.token_ids);
    }
    json.null_field("finish_reason").end_object();
    frame_.end_chunk(out, last_usage_);
    return out;
  }

  std::string end_choice(std::int64_t choice, ReplyEnd end, const std::string&) override {
    std::string out;
    frame_.begin_chunk(out);
    JsonWriter json(out);
    begin_choice(json, choice, {}).null_field("logprobs");
    json.field("finish_reason", finish_reason(end)).end_object();
    frame_.end_chunk(out, last_usage_);
    return out;
  }

  std::string end(const Usage& usage, const ReplyTimings& timings) override {
    return frame_.end(usage, timings);
  }
  std::string ping() override { return OpenAiFrame::ping(); }
  std::string fail(const ApiError& error) override { return OpenAiFrame::fail(error); }

  std::string body(const std::vector<ReplyChoice>& choices, const Usage& usage,
                   const ReplyTimings& timings) override {
    std::string out = frame_.begin_body();
    JsonWriter json(out);
    for (std::size_t i = 0; i < choices.size(); ++i) {
      const ReplyChoice& choice = choices[i];
      begin_choice(json, static_cast<std::int64_t>(i), choice.text);
      // With the prompt's echo before them, the tokens are the text's end.
      std::int64_t offset = num_characters(choice.text);
      for (const TokenDetail& detail : choice.logprobs) {
        offset -= num_characters(detail.chosen.bytes);
      }
      offset = std::max<std::int64_t>(0, offset);
      append_logprobs(json, choice.logprobs, offset);
      if (return_token_ids_) {
        append_prompt_ids(json, prompt_ids_of(i));
        append_token_ids(json.key("token_ids"), choice.token_ids);
      }
      json.field("finish_reason", finish_reason(choice.end)).end_object();
    }
    OpenAiFrame::end_body(out, usage, timings);
    return out;
  }

 private:
  static JsonWriter& begin_choice(JsonWriter& json, std::int64_t choice, std::string_view text) {
    return json.begin_object().field("index", choice).field("text", text);
  }

  [[nodiscard]] std::vector<std::int32_t> prompt_ids_of(std::size_t choice) const {
    const std::size_t prompt = choice / num_choices_a_prompt_;
    return prompt < prompt_ids_.size() ? prompt_ids_[prompt] : std::vector<std::int32_t>();
  }

  OpenAiFrame frame_;
  bool return_token_ids_;
  std::size_t num_choices_a_prompt_;
  std::vector<std::vector<std::int32_t>> prompt_ids_;
  std::vector<std::int64_t> offsets_;  ///< of each choice, where its next token begins
  std::vector<bool> told_;             ///< of each choice, whether its prompt's ids are
  std::optional<Usage> last_usage_;
};

}  // namespace

std::unique_ptr<ReplyWriter> make_completion_writer(const GenerationRequest& request,
                                                    ReplyIdentity identity) {
  return std::make_unique<CompletionWriter>(request, std::move(identity));
}

}  // namespace cardloom::api
