#include "cardloom/api/openai_request.h"

#include <fmt/format.h>

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

}  // namespace

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
  reader.ignore({"reasoning_effort", "reasoning", "verbosity", "service_tier", "prediction",
                 "web_search_options", "moderation"});
}

}  // namespace cardloom::api
