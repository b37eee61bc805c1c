#include "cardloom/tokenizer/special_tokens.h"

#include <fmt/format.h>

#include <algorithm>

#include "cardloom/base/ascii.h"
#include "cardloom/base/json.h"

namespace cardloom {
namespace {

constexpr std::size_t kMaxEntries = 4096;
constexpr std::size_t kMaxSpellingBytes = 256;
constexpr std::int32_t kMaxId = 1 << 24;

Error wrong_entry(std::string_view what, std::string_view key, const std::string& rule) {
  return make_error(ErrorCode::kInvalidArgument,
                    fmt::format("{}: added_tokens_decoder[\"{}\"]{}", what, key, rule), {},
                    "compare it with the checkpoint's original tokenizer_config.json");
}

/// The id that an entry's key spells, above the ordinary ones.
Result<std::int32_t> parse_id(std::string_view what, std::string_view key,
                              std::int32_t num_ordinary) {
  const std::optional<std::int32_t> id = parse_number<std::int32_t>(key);
  if (!id) {
    return wrong_entry(what, key.substr(0, 40), ": the key must be a token id");
  }
  if (*id < num_ordinary || *id > kMaxId) {
    return wrong_entry(what, key,
                       fmt::format(": the id must be {} to {}, as ids below are ordinary tokens",
                                   num_ordinary, kMaxId));
  }
  return *id;
}

/// The spelling that an entry gives.
Result<std::string> parse_entry(std::string_view what, std::string_view key,
                                const json::value& entry) {
  if (!entry.is_object()) return wrong_entry(what, key, " must be an object");
  const json::value* content = entry.as_object().if_contains("content");
  if (content == nullptr || !content->is_string()) {
    return wrong_entry(what, key, ".content must be a string");
  }
  for (const char* flag : {"lstrip", "rstrip", "single_word"}) {
    const json::value* value = entry.as_object().if_contains(flag);
    if (value == nullptr || *value == json::value(false)) continue;
    Error error = wrong_entry(what, key, fmt::format(".{} must be false", flag));
    error.code = ErrorCode::kUnimplemented;
    return error;
  }
  const std::string_view spelling = content->as_string();
  if (spelling.empty() || spelling.size() > kMaxSpellingBytes) {
    return wrong_entry(what, key,
                       fmt::format(".content must have 1 to {} bytes, has {}", kMaxSpellingBytes,
                                   spelling.size()));
  }
  return std::string(spelling);
}

/// The `added_tokens_decoder` object of a parsed tokenizer_config.json.
Result<const json::object*> entries_of(const json::value& config, std::string_view what) {
  const json::value* entries =
      config.is_object() ? config.as_object().if_contains("added_tokens_decoder") : nullptr;
  if (entries == nullptr || !entries->is_object()) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("{} must hold an object \"added_tokens_decoder\"", what),
                      "without it the ids of <|user|> and the others are unknown",
                      "compare it with the checkpoint's original tokenizer_config.json");
  }
  const json::object& object = entries->as_object();
  if (object.size() > kMaxEntries) {
    return make_error(ErrorCode::kResourceExhausted,
                      fmt::format("{}: added_tokens_decoder is too large", what),
                      fmt::format("{} entries, the limit is {}", object.size(), kMaxEntries));
  }
  return &object;
}

}  // namespace

Result<SpecialTokens> SpecialTokens::parse(std::string_view config_text, std::string_view what,
                                           std::int32_t num_ordinary) {
  const Result<json::value> config = parse_json(config_text, what);
  if (!config) return config.error();
  const Result<const json::object*> entries = entries_of(*config, what);
  if (!entries) return entries.error();
  SpecialTokens tokens;
  for (const auto& [key, entry] : **entries) {
    const Result<std::int32_t> id = parse_id(what, key, num_ordinary);
    if (!id) return id.error();
    const Result<std::string> spelling = parse_entry(what, key, entry);
    if (!spelling) return spelling.error();
    if (!tokens.ids_.emplace(*spelling, *id).second) {
      return wrong_entry(
          what, key,
          fmt::format(".content is the same as that of \"{}\"", tokens.ids_.at(*spelling)));
    }
    if (!tokens.spellings_.emplace(*id, *spelling).second) {  // "7" and "07"
      return wrong_entry(what, key, ": this id is there twice");
    }
    if (tokens.first_bytes_.find(spelling->front()) == std::string::npos) {
      tokens.first_bytes_ += spelling->front();
    }
    tokens.max_bytes_ = std::max(tokens.max_bytes_, spelling->size());
  }
  return tokens;
}

std::optional<SpecialTokens::Match> SpecialTokens::find(std::string_view text,
                                                        std::size_t pos) const {
  while ((pos = text.find_first_of(first_bytes_, pos)) != std::string_view::npos) {
    const std::size_t longest = std::min(max_bytes_, text.size() - pos);
    for (std::size_t size = longest; size > 0; --size) {
      const auto found = ids_.find(text.substr(pos, size));
      if (found != ids_.end()) return Match{pos, pos + size, found->second};
    }
    ++pos;
  }
  return std::nullopt;
}

std::optional<std::int32_t> SpecialTokens::id(std::string_view spelling) const {
  const auto found = ids_.find(spelling);
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

}  // namespace cardloom
