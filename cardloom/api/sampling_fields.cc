#include "cardloom/api/sampling_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "cardloom/base/ascii.h"

namespace cardloom::api {
namespace {

/// So much and no more must be looked at for every token.
constexpr std::size_t kMaxBiases = 1024;
constexpr std::size_t kMaxSaltBytes = 256;

std::int64_t max_token_id(const RequestLimits& limits) {
  return limits.vocab_size > 0 ? limits.vocab_size - 1 : std::numeric_limits<std::int32_t>::max();
}

std::int32_t token_id_of(const json::value& value, const std::string& param,
                         const RequestLimits& limits) {
  const std::int64_t id = integer_of(value, param, "token");
  if (id > max_token_id(limits)) {
    refuse(param, fmt::format("{} must be a token id from 0 to {}, is {}", param,
                              max_token_id(limits), id));
  }
  return static_cast<std::int32_t>(id);
}

/// The id that `text` writes in decimal, without sign, space or leading zero: two spellings of one
/// id would be two biases.
std::optional<std::int64_t> decimal_id(std::string_view text) {
  if (text.empty() || text.front() == '-' || (text.size() > 1 && text.front() == '0')) return {};
  return parse_number<std::int64_t>(text);
}

void read_logit_bias(ObjectReader& reader, const RequestLimits& limits, SamplingParams& sampling) {
  const json::object* map = reader.object("logit_bias");
  if (map == nullptr) return;
  const std::string path = reader.path_of("logit_bias");
  if (map->size() > kMaxBiases) {
    refuse(path, fmt::format("{} has {} entries, the limit is {}", path, map->size(), kMaxBiases));
  }
  for (const auto& entry : *map) {
    const std::string_view key = entry.key();
    const std::optional<std::int64_t> id = decimal_id(key);
    if (!id || *id > max_token_id(limits)) {
      refuse(path, fmt::format("{} must have token ids from 0 to {} as keys, has {}", path,
                               max_token_id(limits), quoted(key)));
    }
    const double bias = real_of(entry.value(), fmt::format("{}.{}", path, key), "logit_bias");
    sampling.logit_bias.push_back({static_cast<std::int32_t>(*id), bias});
  }
}

void read_repetition_penalty(ObjectReader& reader, SamplingParams& sampling) {
  const std::optional<double> penalty = reader.real("repetition_penalty");
  const std::optional<double> alias = reader.real("repeat_penalty", "repetition_penalty");
  if (penalty && alias && *penalty != *alias) {
    refuse(reader.path_of("repeat_penalty"),
           fmt::format("repeat_penalty is another name of repetition_penalty: give one, not {} and "
                       "{}",
                       *alias, *penalty));
  }
  sampling.repetition_penalty = penalty.value_or(alias.value_or(1));
}

void add_stop(const json::value& value, const std::string& path, const RequestLimits& limits,
              GenerationRequest& request) {
  const std::string_view text = string_of(value, path);
  if (text.empty()) {
    refuse(path, fmt::format("{} must not be empty: every text would end at once", path));
  }
  if (static_cast<std::int64_t>(text.size()) > limits.max_stop_bytes) {
    refuse(path, fmt::format("{} has {} bytes, the limit is {}", path, text.size(),
                             limits.max_stop_bytes));
  }
  request.stop.emplace_back(text);
}

void require_at_most(const std::string& path, std::size_t size, std::int64_t limit) {
  if (static_cast<std::int64_t>(size) <= limit) return;
  refuse(path, fmt::format("{} has {} entries, the limit is {}", path, size, limit));
}

}  // namespace

void read_sampling(ObjectReader& reader, const RequestLimits& limits, GenerationRequest& request) {
  SamplingParams& sampling = request.sampling;
  sampling.temperature = reader.real("temperature").value_or(1);
  sampling.top_p = reader.real("top_p").value_or(1);
  sampling.top_k = std::max<std::int64_t>(0, reader.integer("top_k").value_or(0));
  sampling.min_p = reader.real("min_p").value_or(0);
  sampling.presence_penalty = reader.real("presence_penalty").value_or(0);
  sampling.frequency_penalty = reader.real("frequency_penalty").value_or(0);
  read_repetition_penalty(reader, sampling);
  read_logit_bias(reader, limits, sampling);
  const std::optional<std::int64_t> seed = reader.integer("seed");
  // vLLM and llama.cpp take -1 for "any".
  request.has_seed = seed.has_value() && *seed != -1;
  if (request.has_seed) sampling.seed = static_cast<std::uint64_t>(*seed);
}

void read_max_tokens(ObjectReader& reader, std::initializer_list<std::string_view> names,
                     std::int64_t fallback, const RequestLimits& limits,
                     GenerationRequest& request) {
  std::optional<std::int64_t> asked;
  std::string_view asked_name;
  for (const std::string_view name : names) {
    const std::optional<std::int64_t> value = reader.integer(name);
    if (!value) continue;
    if (asked && *asked != *value) {
      refuse(reader.path_of(name), fmt::format("{} is {}, but {} is {}: they mean the same, give "
                                               "one",
                                               name, *value, asked_name, *asked));
    }
    asked = value;
    asked_name = name;
  }
  request.max_tokens = asked.value_or(fallback);
  if (limits.max_tokens > 0 &&
      (request.max_tokens == 0 || request.max_tokens > limits.max_tokens)) {
    request.max_tokens = limits.max_tokens;
  }
}

void read_stop_strings(ObjectReader& reader, std::string_view name, const RequestLimits& limits,
                       GenerationRequest& request) {
  const json::value* value = reader.find(name);
  if (value == nullptr) return;
  const std::string path = reader.path_of(name);
  if (value->is_string()) return add_stop(*value, path, limits, request);
  if (!value->is_array()) {
    refuse(path,
           fmt::format("{} must be a string or a list of strings, is {}", path, kind_of(*value)));
  }
  const json::array& list = value->get_array();
  require_at_most(path, list.size(), limits.max_stop);
  for (std::size_t i = 0; i < list.size(); ++i) {
    add_stop(list[i], fmt::format("{}[{}]", path, i), limits, request);
  }
}

void read_stop_rules(ObjectReader& reader, const RequestLimits& limits,
                     GenerationRequest& request) {
  request.min_tokens = reader.integer("min_tokens").value_or(0);
  if (request.max_tokens > 0 && request.min_tokens > request.max_tokens) {
    refuse(reader.path_of("min_tokens"),
           fmt::format("min_tokens is {}, but at most {} tokens may be generated",
                       request.min_tokens, request.max_tokens));
  }
  request.ignore_eos = reader.boolean("ignore_eos").value_or(false);
  request.include_stop = reader.boolean("include_stop_str_in_output").value_or(false);
  request.skip_special_tokens = reader.boolean("skip_special_tokens").value_or(true);
  if (const json::array* ids = reader.list("stop_token_ids")) {
    const std::string path = reader.path_of("stop_token_ids");
    require_at_most(path, ids->size(), limits.max_stop);
    request.stop_token_ids = read_token_ids(*ids, path, limits);
  }
}

void read_num_choices(ObjectReader& reader, const RequestLimits& limits,
                      GenerationRequest& request) {
  request.n = reader.integer("n").value_or(1);
  if (request.n > limits.max_n) {
    refuse(reader.path_of("n"), fmt::format("n is {}, the limit of this server is {} (--max-n)",
                                            request.n, limits.max_n));
  }
}

std::vector<std::int32_t> read_token_ids(const json::array& list, const std::string& path,
                                         const RequestLimits& limits) {
  const std::int64_t max_id = max_token_id(limits);
  std::vector<std::int32_t> ids;
  ids.reserve(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::int64_t* id = list[i].if_int64();
    // A prompt may have many thousands: only the one at fault needs a path.
    const bool is_good = id != nullptr && *id >= 0 && *id <= max_id;
    ids.push_back(is_good ? static_cast<std::int32_t>(*id)
                          : token_id_of(list[i], fmt::format("{}[{}]", path, i), limits));
  }
  return ids;
}

void read_service_tier(ObjectReader& reader, GenerationRequest& request) {
  const std::optional<std::string_view> tier = reader.string("service_tier");
  if (!tier) return;
  const std::string path = reader.path_of("service_tier");
  if (*tier == "priority") {
    request.priority = 0;
  } else if (*tier == "flex") {
    request.priority = 2;
  } else if (*tier != "auto" && *tier != "default" && *tier != "scale") {
    refuse(path,
           fmt::format("{} must be auto, default, flex or priority, is {}", path, quoted(*tier)),
           "unsupported_value");
  }
  request.service_tier = request.priority == 1 ? "default" : *tier;
}

void read_extensions(ObjectReader& reader, GenerationRequest& request) {
  request.priority = static_cast<int>(reader.integer("priority").value_or(request.priority));
  request.return_token_ids = reader.boolean("return_token_ids").value_or(false);
  request.return_progress = reader.boolean("return_progress").value_or(false);
  if (const std::optional<std::string_view> salt = reader.string("cache_salt")) {
    const std::string path = reader.path_of("cache_salt");
    if (salt->empty() || salt->size() > kMaxSaltBytes) {
      refuse(path,
             fmt::format("{} must have 1 to {} bytes, has {}", path, kMaxSaltBytes, salt->size()));
    }
    request.cache_salt = *salt;
  }
}

void read_stream(ObjectReader& reader, GenerationRequest& request) {
  request.stream = reader.boolean("stream").value_or(false);
  const json::object* object = reader.object("stream_options");
  if (object == nullptr) return;
  const std::string path = reader.path_of("stream_options");
  if (!request.stream) {
    refuse(path, fmt::format("{} needs \"stream\": true", path));
  }
  ObjectReader options(*object, path, reader.notes());
  // Random bytes that hide the lengths of tokens: OpenAI's own, on by default there.
  options.accept({"include_obfuscation"});
  request.include_usage = options.boolean("include_usage").value_or(false);
  const bool continuous = options.boolean("continuous_usage_stats").value_or(false);
  request.continuous_usage = request.include_usage && continuous;
  options.finish();
}

}  // namespace cardloom::api
