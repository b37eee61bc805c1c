#include "cardloom/models/glm4v/config_fields.h"

#include <fmt/format.h>

#include <boost/json/serialize.hpp>
#include <cmath>

#include "cardloom/weights/printable.h"

namespace cardloom::glm4v {
namespace {

/// The value as the file has it, cut to a length fit for an error.
std::string spelled(const json::value& found) {
  constexpr std::size_t kLongest = 80;
  std::string text = json::serialize(found);
  if (text.size() > kLongest) text = text.substr(0, kLongest) + "...";
  for (char& c : text) {
    if (c == 0x7f) c = '?';  // serialize escapes all other control characters
  }
  return text;
}

std::optional<std::int64_t> whole(const json::value& found) {
  return found.is_int64() ? std::optional(found.get_int64()) : std::nullopt;
}

std::optional<double> finite(const json::value& found) {
  if (found.is_int64()) return static_cast<double>(found.get_int64());
  if (found.is_uint64()) return static_cast<double>(found.get_uint64());
  if (found.is_double() && std::isfinite(found.get_double())) return found.get_double();
  return std::nullopt;
}

}  // namespace

const json::value* ConfigFields::value(const char* name) const {
  const json::value* found = object_.if_contains(name);
  return found == nullptr || found->is_null() ? nullptr : found;
}

void ConfigFields::fail(ErrorCode code, std::string rule, std::string detail, std::string remedy) {
  if (!status_) return;
  status_ =
      make_error(code, fmt::format("{}: {}", what_, rule), std::move(detail), std::move(remedy));
}

void ConfigFields::wrong(const char* name, const json::value& found, const std::string& wanted) {
  fail(ErrorCode::kInvalidArgument,
       fmt::format("field {}{} is {}, it must be {}", prefix_, name, spelled(found), wanted), {},
       "take the file as published with the checkpoint");
}

void ConfigFields::missing(const char* name) {
  fail(ErrorCode::kInvalidArgument, fmt::format("field {}{} is missing", prefix_, name), {},
       "take the file as published with the checkpoint");
}

void ConfigFields::require(bool holds, const std::string& rule) {
  if (holds) return;
  fail(ErrorCode::kInvalidArgument, rule, {}, "take the file as published with the checkpoint");
}

void ConfigFields::unsupported(const std::string& rule, std::string detail, std::string remedy) {
  fail(ErrorCode::kUnimplemented, rule, std::move(detail), std::move(remedy));
}

std::optional<std::int64_t> ConfigFields::optional_integer(const char* name, std::int64_t least,
                                                           std::int64_t most) {
  const json::value* found = value(name);
  if (found == nullptr) return std::nullopt;
  const std::optional<std::int64_t> number = whole(*found);
  if (number && *number >= least && *number <= most) return number;
  wrong(name, *found, fmt::format("a whole number from {} to {}", least, most));
  return std::nullopt;
}

std::int64_t ConfigFields::integer(const char* name, std::int64_t least, std::int64_t most) {
  if (!has(name)) missing(name);
  return optional_integer(name, least, most).value_or(least);
}

double ConfigFields::number_or(const char* name, double least, double most, double absent) {
  const json::value* found = value(name);
  if (found == nullptr) return absent;
  const std::optional<double> number = finite(*found);
  if (number && *number >= least && *number <= most) return *number;
  wrong(name, *found, fmt::format("a number from {} to {}", least, most));
  return absent;
}

double ConfigFields::number(const char* name, double least, double most) {
  if (!has(name)) missing(name);
  return number_or(name, least, most, most);
}

bool ConfigFields::boolean_or(const char* name, bool absent) {
  const json::value* found = value(name);
  if (found == nullptr) return absent;
  if (!found->is_bool()) wrong(name, *found, "true or false");
  return found->is_bool() ? found->get_bool() : absent;
}

std::string ConfigFields::text_or(const char* name, std::string absent) {
  const json::value* found = value(name);
  if (found == nullptr) return absent;
  if (!found->is_string()) {
    wrong(name, *found, "a string");
    return absent;
  }
  return std::string(found->get_string());
}

std::string ConfigFields::text(const char* name) {
  if (!has(name)) missing(name);
  return text_or(name, {});
}

std::optional<std::int32_t> ConfigFields::id_from(const char* name, const json::value& found,
                                                  std::int64_t vocab_size) {
  const std::optional<std::int64_t> id = whole(found);
  if (id && *id >= 0 && *id < vocab_size) return static_cast<std::int32_t>(*id);
  wrong(name, found, fmt::format("a token id from 0 to {}", vocab_size - 1));
  return std::nullopt;
}

std::optional<std::int32_t> ConfigFields::token_id(const char* name, std::int64_t vocab_size) {
  const json::value* found = value(name);
  return found == nullptr ? std::nullopt : id_from(name, *found, vocab_size);
}

std::vector<std::int32_t> ConfigFields::token_ids(const char* name, std::int64_t vocab_size) {
  constexpr std::size_t kMost = 1024;  // each is compared with every token that is generated
  std::vector<std::int32_t> ids;
  const json::value* found = value(name);
  if (found == nullptr) return ids;
  const json::array* list = found->if_array();
  if (list == nullptr) {
    if (const auto id = id_from(name, *found, vocab_size)) ids.push_back(*id);
    return ids;
  }
  if (list->size() > kMost) {
    wrong(name, *found, fmt::format("at most {} token ids", kMost));
    return ids;
  }
  for (const json::value& each : *list) {
    if (const auto id = id_from(name, each, vocab_size)) ids.push_back(*id);
  }
  return ids;
}

std::vector<std::string> ConfigFields::texts(const char* name) {
  std::vector<std::string> texts;
  const json::value* found = value(name);
  if (found == nullptr) return texts;
  if (!found->is_array()) {
    wrong(name, *found, "a list of strings");
    return texts;
  }
  for (const json::value& each : found->get_array()) {
    if (!each.is_string()) {
      wrong(name, *found, "a list of strings");
      return texts;
    }
    texts.emplace_back(each.get_string());
  }
  return texts;
}

const json::object* ConfigFields::object(const char* name) {
  const json::value* found = value(name);
  if (found == nullptr) return nullptr;
  if (!found->is_object()) wrong(name, *found, "an object");
  return found->if_object();
}

void ConfigFields::require_boolean(const char* name, bool supported, bool absent,
                                   const char* reason) {
  const bool found = boolean_or(name, absent);
  if (found == supported) return;
  unsupported(
      fmt::format("field {}{} is {}, only {} is supported", prefix_, name, found, supported),
      has(name) ? reason : fmt::format("{}; the field is absent, which means {}", reason, found),
      "use a checkpoint of GLM-4V-9B or GLM-4-9B-chat");
}

}  // namespace cardloom::glm4v
