#pragma once

#include "cardloom/api/field_reader.h"
#include "cardloom/api/generation_request.h"

/// Parts of a request that several APIs share under the same names. All throw Refusal.
namespace cardloom::api {

/// temperature (default 1, as OpenAI has it: cardloom's own default would be greedy), top_p, top_k,
/// min_p, repetition_penalty or its alias repeat_penalty, presence_penalty, frequency_penalty,
/// logit_bias {"token id": -100 .. 100}, seed (-1: as if absent).
void read_sampling(ObjectReader& reader, const RequestLimits& limits, GenerationRequest& request);

/// `names`: fields that all mean the greatest number of tokens; two that differ are an error. The
/// answer is at most limits.max_tokens; `fallback` if none is there.
void read_max_tokens(ObjectReader& reader, std::initializer_list<std::string_view> names,
                     std::int64_t fallback, const RequestLimits& limits,
                     GenerationRequest& request);

/// `name`: a string or a list of strings, none empty.
void read_stop_strings(ObjectReader& reader, std::string_view name, const RequestLimits& limits,
                       GenerationRequest& request);

/// min_tokens, ignore_eos, stop_token_ids, include_stop_str_in_output, skip_special_tokens: vLLM's
/// names. After read_max_tokens.
void read_stop_rules(ObjectReader& reader, const RequestLimits& limits, GenerationRequest& request);

/// n, at most limits.max_n.
void read_num_choices(ObjectReader& reader, const RequestLimits& limits,
                      GenerationRequest& request);

/// A list of token ids below limits.vocab_size (0: any).
[[nodiscard]] std::vector<std::int32_t> read_token_ids(const json::array& list,
                                                       const std::string& path,
                                                       const RequestLimits& limits);

/// OpenAI's service_tier: priority and flex are our classes of priority, all else is the normal
/// one. Before read_extensions, whose `priority` outweighs it.
void read_service_tier(ObjectReader& reader, GenerationRequest& request);

/// priority, cache_salt, return_token_ids, return_progress.
void read_extensions(ObjectReader& reader, GenerationRequest& request);

/// stream and stream_options {include_usage, continuous_usage_stats}.
void read_stream(ObjectReader& reader, GenerationRequest& request);

}  // namespace cardloom::api
