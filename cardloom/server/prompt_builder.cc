#include "cardloom/server/prompt_builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cardloom/api/tool_call_parser.h"
#include "cardloom/models/chat_template.h"
#include "cardloom/models/glm4v/processor.h"
#include "cardloom/server/metrics.h"

namespace cardloom::server {
namespace {

using api::ApiError;
using Clock = std::chrono::steady_clock;

/// Begin, a place, end: as text they are three, as rows image_rows().
constexpr std::int64_t kIdsPerPicture = 3;

/// How this file's functions say no to each other; prepare_request and count_tokens catch it.
struct Refused {
  ApiError error;
};

[[noreturn]] void refuse(ApiError error) { throw Refused{std::move(error)}; }

/// A failure of something that the request holds: the client's, whatever kind it is.
[[noreturn]] void refuse_part(const Error& error, const std::string& param, const char* code) {
  ApiError refusal = api::api_error_of(error);
  refusal.param = param;
  if (error.code == ErrorCode::kResourceExhausted) {
    refusal.status = 413;
    refusal.code = "request_too_large";
  } else if (error.code != ErrorCode::kInternal) {
    refusal.status = 400;
    refusal.code = code;
  }
  if (refusal.status < 500) {
    refusal.type = "invalid_request_error";
    refusal.headers.clear();
    refusal.message = error.message;
    if (!error.detail.empty()) refusal.message += " (" + error.detail + ")";
    if (!error.remedy.empty()) refusal.message += ": " + error.remedy;
  }
  refuse(std::move(refusal));
}

template <class T>
T unwrap(Result<T> result, const std::string& param, const char* code) {
  if (!result) refuse_part(result.error(), param, code);
  return *std::move(result);
}

void append(std::vector<std::int32_t>& ids, const std::vector<std::int32_t>& more) {
  ids.insert(ids.end(), more.begin(), more.end());
}

void append_special(const ServedModel& model, std::vector<std::int32_t>& ids,
                    std::initializer_list<const char*> spellings) {
  for (const char* spelling : spellings) {
    if (const auto id = model.tokenizer->special_id(spelling)) ids.push_back(*id);
  }
}

/// Whether tools are shown to the model: not if it must not call any.
bool offers_tools(const api::GenerationRequest& request) {
  return !request.tools.empty() && request.tool_choice.kind != api::ToolChoice::Kind::kNone;
}

/// Moves the pictures' URLs, megabytes each, out of the messages: what is left there is a number.
std::vector<std::string> take_urls(std::vector<ChatMessage>& messages) {
  std::vector<std::string> urls;
  for (ChatMessage& message : messages) {
    for (std::string& image : message.images) {
      std::string number = std::to_string(urls.size());
      urls.push_back(std::exchange(image, std::move(number)));
    }
  }
  return urls;
}

std::vector<ChatMessage> messages_of(const api::GenerationRequest& request) {
  std::vector<ChatMessage> messages = request.messages;
  if (!offers_tools(request)) return messages;
  if (messages.empty() || messages.front().role != "system") {
    messages.emplace(messages.begin())->role = "system";
  }
  messages.front().tools = request.tools;
  return messages;
}

/// The text that the model goes on with, if the last message is to be continued.
std::string take_continued(const api::GenerationRequest& request,
                           std::vector<ChatMessage>& messages) {
  if (!request.continue_final_message) return {};
  if (messages.empty() || messages.back().role != "assistant") {
    refuse(api::invalid("continue_final_message",
                        "continue_final_message is true, but the last message is not the "
                        "assistant's: end with one to be continued"));
  }
  const ChatMessage last = std::move(messages.back());
  messages.pop_back();
  return last.metadata + "\n" + last.content;
}

/// A chat as tokens, up to where the model goes on.
TokenizedChat tokenize(const ServedModel& model, const api::GenerationRequest& request) {
  std::vector<ChatMessage> messages = messages_of(request);
  const std::string continued = take_continued(request, messages);
  TokenizedChat chat = unwrap(tokenize_chat(*model.tokenizer, model.style, messages), "messages",
                              "invalid_messages");
  if (!continued.empty()) {
    append(chat.ids, model.tokenizer->encode(continued));
  } else if (!request.add_generation_prompt) {
    chat.ids.pop_back();  // <|assistant|>
  } else if (request.format.kind != api::OutputFormat::Kind::kText) {
    // The empty first line, which says that the user is addressed, is no part of the form.
    append(chat.ids, model.tokenizer->encode("\n"));
  }
  return chat;
}

std::vector<std::int32_t> ids_of_text(const ServedModel& model, const std::string& text) {
  std::vector<std::int32_t> ids;
  append_special(model, ids, {"[gMASK]", "<sop>"});
  append(ids, model.tokenizer->encode(text));
  return ids;
}

std::int64_t rows_of(const ServedModel& model, std::size_t num_ids, std::size_t num_images) {
  return static_cast<std::int64_t>(num_ids) +
         static_cast<std::int64_t>(num_images) * (model.image_rows() - kIdsPerPicture);
}

/// Before pictures are fetched: a conversation that cannot fit costs nobody anything.
void require_context(const ServedModel& model, const api::GenerationRequest& request,
                     std::int64_t rows, std::int64_t image_rows) {
  const std::int64_t limit = model.engine->context_tokens();
  if (rows + std::max<std::int64_t>(1, request.max_tokens) <= limit) return;
  ApiError error = api::invalid(
      request.prompts.empty() ? "messages" : "prompt",
      fmt::format("the context has {} tokens, but the prompt has {} (of which {} of pictures) and "
                  "{}: shorten the conversation, show fewer pictures or ask for fewer tokens",
                  limit, rows, image_rows,
                  request.max_tokens > 0 ? fmt::format("{} more are asked for", request.max_tokens)
                                         : std::string("leaves no room for an answer")),
      "context_length_exceeded");
  refuse(std::move(error));
}

/// What the decoder says, less the first bytes of what is no picture: a data: URL's sender knows
/// them, but a file's or another server's are not for whoever guesses its name.
Error without_bytes(Error error, const std::string& url) {
  if (!url.starts_with("data:")) error.detail.clear();
  return error;
}

Tensor load_picture(const ServedModel& model, const std::string& url, const std::string& param,
                    std::int64_t& pixels_left, PreparedRequest& prepared) {
  const Clock::time_point begin = Clock::now();
  Result<std::string> bytes = model.pictures->get(url);
  if (!bytes) model.metrics->observe_picture({}, "refused");
  const std::string file = unwrap(std::move(bytes), param, "invalid_image_url");
  prepared.fetch += Clock::now() - begin;
  Result<DecodedPicture> decoded = model.decoders->decode(file, pixels_left);
  model.metrics->observe_picture(file, decoded ? "ok" : "refused");
  if (!decoded) decoded = without_bytes(std::move(decoded).error(), url);
  DecodedPicture picture = unwrap(std::move(decoded), param, "unsupported_image");
  pixels_left -= picture.num_pixels;
  prepared.decode += picture.decode;
  prepared.preprocess += picture.preprocess;
  return std::move(picture.pixel_values);
}

void prepare_chat(const ServedModel& model, PreparedRequest& prepared) {
  const std::vector<std::string> urls = take_urls(prepared.request.messages);
  const api::GenerationRequest& request = prepared.request;
  if (!request.pictures.empty() && model.image_rows() == 0) {
    refuse(api::invalid(request.pictures.front().param,
                        fmt::format("{} takes no pictures: leave them out", model.id),
                        "unsupported_image"));
  }
  const TokenizedChat chat = tokenize(model, request);
  prepared.num_images = static_cast<std::int64_t>(chat.images.size());
  prepared.image_rows = prepared.num_images * model.image_rows();
  require_context(model, request, rows_of(model, chat.ids.size(), chat.images.size()),
                  prepared.image_rows);
  std::vector<Tensor> pixels;
  std::int64_t pixels_left = model.max_total_pixels;
  for (const ImagePlace& place : chat.images) {
    const std::size_t index = std::stoul(place.reference);
    const std::string param = index < request.pictures.size() ? request.pictures[index].param : "";
    pixels.push_back(load_picture(model, urls[index], param, pixels_left, prepared));
  }
  prepared.prompts.push_back(
      unwrap(glm4v::make_prompt(chat, std::move(pixels), *model.config), "messages", ""));
}

void prepare_completion(const ServedModel& model, PreparedRequest& prepared) {
  for (const auto& prompt : prepared.request.prompts) {
    TokenizedChat chat;
    if (const auto* text = std::get_if<std::string>(&prompt)) {
      chat.ids = ids_of_text(model, *text);
      if (prepared.request.echo) prepared.echo.push_back(*text);
    } else {
      chat.ids = std::get<std::vector<std::int32_t>>(prompt);
      if (prepared.request.echo) prepared.echo.push_back(model.tokenizer->decode(chat.ids));
    }
    if (chat.ids.empty())
      refuse(api::invalid("prompt", "the prompt has no tokens: give some text"));
    require_context(model, prepared.request, static_cast<std::int64_t>(chat.ids.size()), 0);
    prepared.prompts.push_back(unwrap(glm4v::make_prompt(chat, {}, *model.config), "prompt", ""));
  }
}

/// The grammar of what the request leaves the model to say; none if that is anything.
Result<std::shared_ptr<const Grammar>> compile(const ServedModel& model,
                                               const api::GenerationRequest& request) {
  std::vector<GrammarCompiler::Tool> tools;
  for (api::ToolGrammar& tool : api::tool_grammars(request.tools, request.tool_choice)) {
    tools.push_back({std::move(tool.name), std::move(tool.parameters)});
  }
  if (!tools.empty()) return model.grammars->tool_call(tools);
  const api::OutputFormat& format = request.format;
  switch (format.kind) {
    case api::OutputFormat::Kind::kText:
      break;
    case api::OutputFormat::Kind::kJsonObject:
      return model.grammars->json_object();
    case api::OutputFormat::Kind::kJsonSchema:
      return model.grammars->json_schema(format.schema);
    case api::OutputFormat::Kind::kRegex:
      return model.grammars->regex(format.regex);
    case api::OutputFormat::Kind::kChoice:
      return model.grammars->choice(format.choices);
  }
  return std::shared_ptr<const Grammar>();
}

}  // namespace

std::variant<PreparedRequest, ApiError> prepare_request(const ServedModel& model,
                                                        api::GenerationRequest request) {
  try {
    PreparedRequest prepared;
    prepared.request = std::move(request);
    const std::string& format = prepared.request.format.param;
    Result<std::shared_ptr<const Grammar>> grammar = compile(model, prepared.request);
    // Of all requests together: this one is fine, and may come again.
    if (!grammar && grammar.error().code == ErrorCode::kUnavailable) {
      refuse(api::api_error_of(grammar.error()));
    }
    prepared.grammar =
        unwrap(std::move(grammar), format.empty() ? "tools" : format, "invalid_grammar");
    if (prepared.request.prompts.empty()) {
      prepare_chat(model, prepared);
    } else {
      prepare_completion(model, prepared);
    }
    return prepared;
  } catch (const Refused& refused) {
    return refused.error;
  }
}

std::variant<TokenCount, ApiError> count_tokens(const ServedModel& model,
                                                api::GenerationRequest request,
                                                bool add_special_tokens) {
  try {
    take_urls(request.messages);
    TokenizedChat chat;
    if (request.prompts.empty()) {
      chat = tokenize(model, request);
    } else if (const auto* text = std::get_if<std::string>(&request.prompts.front())) {
      chat.ids = add_special_tokens ? ids_of_text(model, *text) : model.tokenizer->encode(*text);
    } else {
      chat.ids = std::get<std::vector<std::int32_t>>(request.prompts.front());
    }
    const auto num_images = static_cast<std::int64_t>(chat.images.size());
    TokenCount count{.ids = std::move(chat.ids),
                     .rows = 0,
                     .image_rows = num_images * model.image_rows(),
                     .images = {}};
    count.rows = rows_of(model, count.ids.size(), chat.images.size());
    for (const ImagePlace& place : chat.images) count.images.push_back(place.begin_of_image_index);
    return count;
  } catch (const Refused& refused) {
    return refused.error;
  }
}

std::variant<api::RenderReply, ApiError> render_prompt(const ServedModel& model,
                                                       api::GenerationRequest request) {
  auto counted = count_tokens(model, std::move(request));
  if (auto* error = std::get_if<ApiError>(&counted)) return std::move(*error);
  auto& count = std::get<TokenCount>(counted);
  api::RenderReply reply{.prompt = {},
                         .tokens = std::move(count.ids),
                         .images = {},
                         .count = count.rows,
                         .image_tokens = count.image_rows,
                         .context_tokens = model.engine->context_tokens()};
  for (const std::int32_t id : reply.tokens) reply.prompt += spelling_of(*model.tokenizer, id);
  for (const std::int64_t index : count.images) {
    const auto earlier = static_cast<std::int64_t>(reply.images.size());
    reply.images.push_back({.token_index = index,
                            .offset = index + earlier * (model.image_rows() - kIdsPerPicture),
                            .length = model.image_rows()});
  }
  return reply;
}

std::string_view spelling_of(const Tokenizer& tokenizer, std::int32_t id) {
  return tokenizer.is_special(id) ? tokenizer.special_spelling(id) : tokenizer.token_bytes(id);
}

}  // namespace cardloom::server
