#include <fmt/format.h>

#include "cardloom/api/api.h"
#include "cardloom/api/chat_content.h"
#include "cardloom/api/openai_request.h"
#include "cardloom/api/output_format.h"
#include "cardloom/api/request_parser.h"
#include "cardloom/api/request_tools.h"
#include "cardloom/api/sampling_fields.h"

namespace cardloom::api {
namespace {

void read_logprobs(ObjectReader& reader, GenerationRequest& request) {
  const bool wanted = reader.boolean("logprobs").value_or(false);
  const std::int64_t num_top = reader.integer("top_logprobs").value_or(0);
  if (!wanted && num_top > 0) {
    refuse(reader.path_of("top_logprobs"),
           fmt::format("top_logprobs is {}, but needs \"logprobs\": true", num_top));
  }
  request.sampling.num_logprobs = wanted ? num_top : -1;
}

/// Whether the answer begins a new turn or goes on with the last message; from the field itself or
/// from chat_template_kwargs, where transformers has it.
struct TurnFields {
  std::optional<bool> add_generation_prompt{};
  std::optional<bool> continue_final_message{};
};

void read_turn_fields(ObjectReader& reader, TurnFields& fields) {
  if (const auto value = reader.boolean("add_generation_prompt")) {
    fields.add_generation_prompt = value;
  }
  if (const auto value = reader.boolean("continue_final_message")) {
    fields.continue_final_message = value;
  }
}

void read_template_options(ObjectReader& reader, TurnFields& fields) {
  const json::object* object = reader.object("chat_template_kwargs");
  if (object == nullptr) return;
  const std::string path = reader.path_of("chat_template_kwargs");
  ObjectReader options(*object, path, reader.notes());
  read_turn_fields(options, fields);
  // Sent to every model by clients that know those which think.
  options.ignore({"enable_thinking", "thinking"});
  for (const auto& option : *object) {
    const std::string_view name = option.key();
    if (name == "add_generation_prompt" || name == "continue_final_message" ||
        name == "enable_thinking" || name == "thinking") {
      continue;
    }
    refuse(path,
           fmt::format("{} may hold add_generation_prompt, continue_final_message, "
                       "enable_thinking and thinking, holds {}",
                       path, quoted(name)),
           "unsupported_parameter");
  }
}

void read_turn(ObjectReader& reader, GenerationRequest& request) {
  TurnFields fields;
  read_template_options(reader, fields);
  read_turn_fields(reader, fields);
  request.continue_final_message = fields.continue_final_message.value_or(false);
  request.add_generation_prompt =
      fields.add_generation_prompt.value_or(!request.continue_final_message);
  if (!request.continue_final_message) return;
  const std::string param = reader.path_of("continue_final_message");
  if (request.add_generation_prompt) {
    refuse(param, fmt::format("{} and add_generation_prompt exclude each other: give one", param));
  }
  const ChatMessage& last = request.messages.back();
  if (last.role != "assistant" || !last.metadata.empty() || last.content.empty()) {
    refuse(param, fmt::format("{} needs a last message of the assistant with a text", param));
  }
}

void read_chat_completion(ObjectReader& reader, const RequestLimits& limits,
                          GenerationRequest& request) {
  read_openai_account_fields(reader, request);
  const std::string path = reader.path_of("messages");
  ChatBuilder chat(limits);
  read_chat_messages(list_of(reader.require("messages"), path), path, reader.notes(), chat);
  chat.finish(request, path);
  read_turn(reader, request);
  read_tools(reader, limits, request);
  read_output_format(reader, limits, request);
  read_sampling(reader, limits, request);
  read_max_tokens(reader, {"max_tokens", "max_completion_tokens"}, 0, limits, request);
  read_stop_strings(reader, "stop", limits, request);
  read_stop_rules(reader, limits, request);
  read_num_choices(reader, limits, request);
  read_logprobs(reader, request);
  read_stream(reader, request);
  read_extensions(reader, request);
}

}  // namespace

ParsedRequest parse_chat_completion(std::string_view body, const RequestLimits& limits) {
  return parse_body(body, limits, [&](ObjectReader& reader, GenerationRequest& request) {
    read_chat_completion(reader, limits, request);
  });
}

}  // namespace cardloom::api
