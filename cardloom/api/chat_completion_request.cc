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
