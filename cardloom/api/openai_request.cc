#include "cardloom/api/openai_request.h"

#include <fmt/format.h>

#include "cardloom/api/sampling_fields.h"

namespace cardloom::api {
namespace {

void read_modalities(ObjectReader& reader) {
  const json::array* list = reader.list("modalities");
  if (list == nullptr) return;
  for (std::size_t i = 0; i < list->size(); ++i) {
    const std::string param = fmt::format("{}[{}]", reader.path_of("modalities"), i);
    const std::string_view modality = string_of((*list)[i], param);
    if (modality == "text") continue;
    refuse(
        param,
        fmt::format("{} must be text, is {}: this model answers in text", param, quoted(modality)),
        "unsupported_parameter");
  }
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

}  // namespace

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

void read_openai_account_fields(ObjectReader& reader, GenerationRequest& request) {
  request.model = reader.string("model").value_or("");
  if (reader.boolean("store").value_or(false)) {
    refuse(reader.path_of("store"), "store must be false or left out: nothing is kept here",
           "unsupported_parameter");
  }
  read_modalities(reader);
  reader.refuse_fields({"audio"}, "this model answers in text: leave it out");
  reader.refuse_fields({"prompt_logprobs"}, "use logprobs for the answer's tokens");
  reader.refuse_fields({"mm_processor_kwargs", "media_io_kwargs"},
                       "pictures are always prepared as the model was trained");
  reader.refuse_fields({"chat_template"}, "the model's own is always used");
  // One server has one cache, which finds a shared beginning without a hint.
  reader.accept({"user", "metadata", "safety_identifier", "prompt_cache_key",
                 "prompt_cache_retention", "prompt_cache_options"});
  read_service_tier(reader, request);
  reader.ignore({"reasoning_effort", "reasoning", "verbosity", "prediction", "web_search_options",
                 "moderation"});
}

}  // namespace cardloom::api
