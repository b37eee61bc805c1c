#include "cardloom/api/small_requests.h"

#include <fmt/format.h>

#include "cardloom/api/chat_content.h"
#include "cardloom/api/json_writer.h"
#include "cardloom/api/openai_request.h"
#include "cardloom/api/request_parser.h"
#include "cardloom/api/request_tools.h"
#include "cardloom/api/sampling_fields.h"
#include "cardloom/base/utf8.h"

namespace cardloom::api {
namespace {

void read_tokenize(ObjectReader& reader, const RequestLimits& limits, GenerationRequest& request,
                   TokenizeRequest& answer) {
  request.model = reader.string("model").value_or("");
  const std::optional<std::string_view> prompt = reader.string("prompt");
  const json::array* messages = reader.list("messages");
  if (prompt.has_value() == (messages != nullptr)) {
    refuse(reader.path_of("prompt"), fmt::format("one of prompt and messages is required, {} there",
                                                 prompt ? "both are" : "none is"));
  }
  if (prompt) {
    request.prompts.emplace_back(std::string(*prompt));
  } else {
    ChatBuilder chat(limits);
    read_chat_messages(*messages, reader.path_of("messages"), reader.notes(), chat);
    chat.finish(request, reader.path_of("messages"));
    read_tools(reader, limits, request);
    read_turn(reader, request);
  }
  answer.add_special_tokens = reader.boolean("add_special_tokens").value_or(true);
  answer.return_token_strings = reader.boolean("return_token_strs").value_or(false);
}

void append_model(JsonWriter& json, const ServedModel& model) {
  json.begin_object().field("id", model.id).field("object", "model");
  json.field("created", model.created).field("owned_by", "cardloom");
  json.field("max_model_len", model.context_tokens);
  json.key("architecture").begin_object().key("input_modalities").begin_list();
  for (const std::string& modality : model.input_modalities) json.string(modality);
  json.end_list().key("output_modalities").begin_list().string("text").end_list().end_object();
  json.key("limits").begin_object().field("context_tokens", model.context_tokens);
  json.field("image_tokens", model.image_tokens).end_object().end_object();
}

}  // namespace

std::variant<TokenizeRequest, ApiError> parse_tokenize(std::string_view body,
                                                       const RequestLimits& limits) {
  TokenizeRequest answer;
  ParsedRequest parsed =
      parse_body(body, limits, [&](ObjectReader& reader, GenerationRequest& request) {
        read_tokenize(reader, limits, request, answer);
      });
  if (const ApiError* error = std::get_if<ApiError>(&parsed)) return *error;
  answer.request = std::get<GenerationRequest>(std::move(parsed));
  return answer;
}

std::string tokenize_body(const TokenizeReply& reply, bool with_strings) {
  std::string out;
  JsonWriter json(out);
  json.begin_object().field("count", reply.count).field("max_model_len", reply.context_tokens);
  json.key("tokens").begin_list();
  for (const std::int32_t id : reply.tokens) json.integer(id);
  json.end_list().key("token_strs");
  if (with_strings) {
    json.begin_list();
    for (const std::string& bytes : reply.token_strings) json.string(replace_invalid_utf8(bytes));
    json.end_list();
  } else {
    json.null();
  }
  json.field("image_tokens", reply.image_tokens).end_object();
  return out;
}

std::string render_body(const RenderReply& reply) {
  std::string out;
  JsonWriter json(out);
  json.begin_object().field("prompt", replace_invalid_utf8(reply.prompt));
  json.key("token_ids").begin_list();
  for (const std::int32_t id : reply.tokens) json.integer(id);
  json.end_list().key("images").begin_list();
  for (const RenderReply::Image& image : reply.images) {
    json.begin_object().field("token_index", image.token_index).field("offset", image.offset);
    json.field("length", image.length).end_object();
  }
  json.end_list().field("count", reply.count).field("image_tokens", reply.image_tokens);
  json.field("max_model_len", reply.context_tokens).end_object();
  return out;
}

std::variant<DetokenizeRequest, ApiError> parse_detokenize(std::string_view body,
                                                           const RequestLimits& limits) {
  DetokenizeRequest answer;
  ParsedRequest parsed =
      parse_body(body, limits, [&](ObjectReader& reader, GenerationRequest& request) {
        request.model = reader.string("model").value_or("");
        const std::string path = reader.path_of("tokens");
        answer.tokens = read_token_ids(list_of(reader.require("tokens"), path), path, limits);
      });
  if (const ApiError* error = std::get_if<ApiError>(&parsed)) return *error;
  GenerationRequest& request = std::get<GenerationRequest>(parsed);
  answer.model = std::move(request.model);
  answer.ignored_fields = std::move(request.ignored_fields);
  return answer;
}

std::string detokenize_body(std::string_view text) {
  std::string out;
  JsonWriter(out).begin_object().field("prompt", replace_invalid_utf8(text)).end_object();
  return out;
}

std::string model_body(const ServedModel& model) {
  std::string out;
  JsonWriter json(out);
  append_model(json, model);
  return out;
}

std::string models_body(const std::vector<ServedModel>& models) {
  std::string out;
  JsonWriter json(out);
  json.begin_object().field("object", "list").key("data").begin_list();
  for (const ServedModel& model : models) append_model(json, model);
  json.end_list().end_object();
  return out;
}

}  // namespace cardloom::api
