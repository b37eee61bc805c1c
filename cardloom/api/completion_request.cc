#include <fmt/format.h>

#include "cardloom/api/api.h"
#include "cardloom/api/openai_request.h"
#include "cardloom/api/output_format.h"
#include "cardloom/api/request_parser.h"
#include "cardloom/api/sampling_fields.h"

namespace cardloom::api {
namespace {

/// OpenAI's default of this endpoint, and vLLM's.
constexpr std::int64_t kDefaultMaxTokens = 16;

void add_prompt(const json::value& value, const std::string& path, const RequestLimits& limits,
                GenerationRequest& request) {
  if (value.is_string()) {
    request.prompts.emplace_back(std::string(std::string_view(value.get_string())));
    return;
  }
  if (!value.is_array()) {
    refuse(path,
           fmt::format("{} must be a string or a list of token ids, is {}", path, kind_of(value)));
  }
  if (value.get_array().empty()) refuse(path, fmt::format("{} must hold a token id", path));
  request.prompts.emplace_back(read_token_ids(value.get_array(), path, limits));
}

/// A text, a list of texts, a list of ids, or a list of such lists.
void read_prompt(ObjectReader& reader, const RequestLimits& limits, GenerationRequest& request) {
  const json::value& value = reader.require("prompt");
  const std::string path = reader.path_of("prompt");
  const json::array* list = value.if_array();
  if (list == nullptr || list->empty() || list->front().is_number()) {
    return add_prompt(value, path, limits, request);
  }
  if (static_cast<std::int64_t>(list->size()) > limits.max_prompts) {
    refuse(path, fmt::format("{} holds {} prompts, the limit is {}", path, list->size(),
                             limits.max_prompts));
  }
  for (std::size_t i = 0; i < list->size(); ++i) {
    add_prompt((*list)[i], fmt::format("{}[{}]", path, i), limits, request);
  }
}

void read_completion(ObjectReader& reader, const RequestLimits& limits,
                     GenerationRequest& request) {
  read_openai_account_fields(reader, request);
  read_prompt(reader, limits, request);
  if (const auto suffix = reader.string("suffix"); suffix && !suffix->empty()) {
    refuse(reader.path_of("suffix"), "suffix is not supported: this model cannot fill in a middle",
           "unsupported_parameter");
  }
  read_output_format(reader, limits, request);
  read_sampling(reader, limits, request);
  read_max_tokens(reader, {"max_tokens"}, kDefaultMaxTokens, limits, request);
  read_stop_strings(reader, "stop", limits, request);
  read_stop_rules(reader, limits, request);
  read_num_choices(reader, limits, request);
  if (const auto best_of = reader.integer("best_of"); best_of && *best_of != request.n) {
    refuse(reader.path_of("best_of"),
           fmt::format("best_of is {}, but must be n, which is {}: all answers are returned",
                       *best_of, request.n),
           "unsupported_parameter");
  }
  request.echo = reader.boolean("echo").value_or(false);
  request.sampling.num_logprobs = reader.integer("logprobs").value_or(-1);
  read_stream(reader, request);
  read_extensions(reader, request);
}

}  // namespace

ParsedRequest parse_completion(std::string_view body, const RequestLimits& limits) {
  return parse_body(body, limits, [&](ObjectReader& reader, GenerationRequest& request) {
    read_completion(reader, limits, request);
  });
}

}  // namespace cardloom::api
