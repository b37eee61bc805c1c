#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <optional>
#include <random>
#include <regex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cardloom/base/utf8.h"
#include "cardloom/grammar/grammar.h"

namespace cardloom::grammar_test {

/// Tokens as given, longest match first; the id behind the last is special and ends a text.
class ListTokenizer final : public Tokenizer {
 public:
  explicit ListTokenizer(std::vector<std::string> tokens) : tokens_(std::move(tokens)) {}

  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text) const override {
    std::vector<std::int32_t> ids;
    while (!text.empty()) {
      std::size_t best = tokens_.size();
      for (std::size_t i = 0; i < tokens_.size(); ++i) {
        const bool fits = !tokens_[i].empty() && text.starts_with(tokens_[i]);
        if (fits && (best == tokens_.size() || tokens_[i].size() > tokens_[best].size())) best = i;
      }
      if (best == tokens_.size()) return {-1};
      ids.push_back(static_cast<std::int32_t>(best));
      text.remove_prefix(tokens_[best].size());
    }
    return ids;
  }
  [[nodiscard]] std::vector<std::int32_t> encode_with_special(
      std::string_view text) const override {
    return encode(text);
  }
  [[nodiscard]] std::string_view token_bytes(std::int32_t id) const override {
    return id >= 0 && id < stop_id() ? std::string_view(tokens_[static_cast<std::size_t>(id)])
                                     : std::string_view();
  }
  [[nodiscard]] std::optional<std::int32_t> special_id(std::string_view) const override {
    return stop_id();
  }
  [[nodiscard]] bool is_special(std::int32_t id) const override { return id == stop_id(); }
  [[nodiscard]] std::int32_t vocab_size() const override { return stop_id() + 1; }
  [[nodiscard]] std::int32_t stop_id() const { return static_cast<std::int32_t>(tokens_.size()); }

 private:
  std::vector<std::string> tokens_;
};

/// All 256 bytes, and a few tokens that cross what a grammar holds apart.
inline ListTokenizer byte_tokenizer() {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  for (const char* more :
       {"\",\"", "\":",  "\": ", "\"}",   "}}",   "]}",  "}]",       "{\"",      "[[", "[{",
        "], [",  "null", "true", "false", ": \"", "\\n", "\\\"",     "\\u",      "12", "3.5",
        "ab",    "abc",  "  ",   "\n  ",  ",\n",  "你",  "\xBD\xA0", "\xE4\xBD", "é"}) {
    tokens.emplace_back(more);
  }
  return ListTokenizer(std::move(tokens));
}

/// Whether `grammar` lets the tokens of `text` through, each in the mask of its place, and the text
/// end there.
inline bool accepts(GrammarCompiler& compiler, const std::shared_ptr<const Grammar>& grammar,
                    const Tokenizer& tokenizer, std::int32_t stop_id, std::string_view text) {
  const auto constraint = compiler.begin(grammar);
  for (const std::int32_t id : tokenizer.encode(text)) {
    if (!constraint->allowed().contains(id)) return false;
    constraint->accept(id);
  }
  return constraint->allowed().contains(stop_id);
}

/// A text of allowed tokens, random until `num_tokens`, then bent towards an end. Fails the test
/// where nothing is allowed. Empty if there was no end in sight.
class Sampler {
 public:
  Sampler(const Tokenizer& tokenizer, std::int32_t stop_id, std::uint64_t seed)
      : tokenizer_(&tokenizer), stop_id_(stop_id), random_(seed) {
    for (std::int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
      const std::string_view bytes = tokenizer.token_bytes(id);
      if (bytes.size() != 1) continue;
      singles_.push_back(id);
      if (std::string_view("\"}]").find(bytes[0]) != std::string_view::npos) ends_.push_back(id);
      if (std::string_view("{[, \t\n\r\\").find(bytes[0]) == std::string_view::npos) {
        plain_.push_back(id);
      }
    }
  }

  std::optional<std::string> sample(GrammarCompiler& compiler,
                                    const std::shared_ptr<const Grammar>& grammar, int num_tokens) {
    const auto constraint = compiler.begin(grammar);
    std::string text;
    for (int i = 0; i < num_tokens + 2000; ++i) {
      const TokenMask& mask = constraint->allowed();
      const bool may_end = mask.contains(stop_id_);
      if (may_end && (i >= num_tokens || random_() % 4 == 0)) return text;
      const std::int32_t id = i < num_tokens ? any(mask) : towards_end(mask);
      if (id < 0) {
        if (may_end) return text;
        ADD_FAILURE() << "dead end after: " << text;
        return std::nullopt;
      }
      EXPECT_FALSE(tokenizer_->is_special(id));
      text += tokenizer_->token_bytes(id);
      constraint->accept(id);
    }
    return std::nullopt;
  }

 private:
  std::int32_t one_of(const TokenMask& mask, const std::vector<std::int32_t>& ids) {
    std::vector<std::int32_t> allowed;
    for (const std::int32_t id : ids) {
      if (mask.contains(id)) allowed.push_back(id);
    }
    return allowed.empty() ? -1 : allowed[random_() % allowed.size()];
  }

  std::int32_t any(const TokenMask& mask) {
    if (random_() % 3 == 0) {
      const std::int32_t end = one_of(mask, ends_);
      if (end >= 0) return end;
    }
    if (random_() % 2 == 0) {
      const std::int32_t single = one_of(mask, singles_);
      if (single >= 0) return single;
    }
    // One from a random start on: uniform enough, and no list of 150,000.
    const auto size = static_cast<std::uint64_t>(mask.size());
    const std::uint64_t begin = random_() % size;
    for (std::uint64_t i = 0; i < size; ++i) {
      const auto id = static_cast<std::int32_t>((begin + i) % size);
      if (mask.contains(id) && id != stop_id_) return id;
    }
    return -1;
  }

  std::int32_t towards_end(const TokenMask& mask) {
    for (const auto* ids : {&ends_, &plain_, &singles_}) {
      if (ids == &ends_ && random_() % 2 == 0) continue;  // the end may need a letter first
      const std::int32_t id = one_of(mask, *ids);
      if (id >= 0) return id;
    }
    return any(mask);
  }

  const Tokenizer* tokenizer_;
  std::int32_t stop_id_;
  std::mt19937_64 random_;
  std::vector<std::int32_t> singles_;
  std::vector<std::int32_t> ends_;
  std::vector<std::int32_t> plain_;
};

inline std::size_t num_characters(std::string_view text) {
  std::size_t count = 0;
  for (std::size_t pos = 0; pos < text.size(); ++count) pos += next_code_point(text, pos).num_bytes;
  return count;
}

/// Whether `value` is an instance of `schema`, by the words of the specification and nothing
/// shared with the compiler.
class Checker {
 public:
  explicit Checker(const json::value& root) : root_(&root) {}

  [[nodiscard]] bool is_valid(const json::value& value) const { return holds(*root_, value); }

 private:
  [[nodiscard]] bool holds(const json::value& schema, const json::value& value) const {
    if (schema.is_bool()) return schema.get_bool();
    const json::object& rules = schema.get_object();
    return std::all_of(rules.begin(), rules.end(), [&](const auto& rule) {
      return rule_holds(rules, rule.key(), rule.value(), value);
    });
  }

  static bool has_type(std::string_view type, const json::value& value) {
    if (type == "null") return value.is_null();
    if (type == "boolean") return value.is_bool();
    if (type == "object") return value.is_object();
    if (type == "array") return value.is_array();
    if (type == "string") return value.is_string();
    if (type == "number") return value.is_number();
    return value.is_int64() || value.is_uint64() ||
           (value.is_double() && value.get_double() == std::floor(value.get_double()));
  }

  bool rule_holds(const json::object& rules, std::string_view key, const json::value& rule,
                  const json::value& value) const {
    const auto matches = [&](const json::value& schema) { return holds(schema, value); };
    if (key == "type") {
      if (rule.is_string()) return has_type(rule.get_string(), value);
      const auto& list = rule.get_array();
      return std::any_of(list.begin(), list.end(), [&](const json::value& type) {
        return has_type(type.get_string(), value);
      });
    }
    if (key == "const") return value == rule;
    if (key == "enum") {
      return std::find(rule.get_array().begin(), rule.get_array().end(), value) !=
             rule.get_array().end();
    }
    if (key == "anyOf" || key == "allOf" || key == "oneOf") {
      const auto& list = rule.get_array();
      const auto count = std::count_if(list.begin(), list.end(), matches);
      return key == "anyOf"   ? count > 0
             : key == "oneOf" ? count == 1
                              : count == static_cast<std::ptrdiff_t>(list.size());
    }
    if (key == "$ref") {
      std::string pointer(rule.get_string().subview(1));
      for (std::size_t at; (at = pointer.find("%20")) != std::string::npos;) {
        pointer.replace(at, 3, " ");
      }
      return matches(root_->at_pointer(pointer));
    }
    if (value.is_string()) return string_holds(key, rule, std::string(value.get_string()));
    if (value.is_number()) return number_holds(key, rule, value.to_number<double>());
    if (value.is_array()) return array_holds(rules, key, rule, value.get_array());
    if (value.is_object()) return object_holds(rules, key, rule, value.get_object());
    return true;
  }

  static bool string_holds(std::string_view key, const json::value& rule, const std::string& text) {
    const std::size_t size = num_characters(text);
    if (key == "minLength") return size >= rule.to_number<std::size_t>();
    if (key == "maxLength") return size <= rule.to_number<std::size_t>();
    if (key == "pattern") {
      return std::regex_search(text, std::regex(std::string(rule.get_string())));
    }
    return true;
  }

  static bool number_holds(std::string_view key, const json::value& rule, double number) {
    if (key == "minimum") return number >= rule.to_number<double>();
    if (key == "maximum") return number <= rule.to_number<double>();
    if (key == "exclusiveMinimum") return number > rule.to_number<double>();
    if (key == "exclusiveMaximum") return number < rule.to_number<double>();
    return true;
  }

  bool array_holds(const json::object& rules, std::string_view key, const json::value& rule,
                   const json::array& list) const {
    const json::value* prefix = rules.if_contains("prefixItems");
    const std::size_t num_prefix = prefix == nullptr ? 0 : prefix->get_array().size();
    if (key == "minItems") return list.size() >= rule.to_number<std::size_t>();
    if (key == "maxItems") return list.size() <= rule.to_number<std::size_t>();
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (key == "prefixItems" && i < num_prefix && !holds(rule.get_array()[i], list[i])) {
        return false;
      }
      if (key == "items" && i >= num_prefix && !holds(rule, list[i])) return false;
    }
    return true;
  }

  bool object_holds(const json::object& rules, std::string_view key, const json::value& rule,
                    const json::object& object) const {
    if (key == "required") {
      const auto& list = rule.get_array();
      return std::all_of(list.begin(), list.end(), [&](const json::value& name) {
        return object.contains(std::string_view(name.get_string()));
      });
    }
    const json::value* properties = rules.if_contains("properties");
    const json::value* patterns = rules.if_contains("patternProperties");
    for (const auto& member : object) {
      bool declared = properties != nullptr && properties->get_object().contains(member.key());
      if (patterns != nullptr) {
        for (const auto& [pattern, schema] : patterns->get_object()) {
          const std::regex wanted{std::string(pattern)};
          if (!std::regex_search(std::string(member.key()), wanted)) continue;
          declared = true;
          if (!holds(schema, member.value())) return false;
        }
      }
      if (key == "properties" && declared && rule.get_object().contains(member.key()) &&
          !holds(rule.get_object().at(member.key()), member.value())) {
        return false;
      }
      if (key == "additionalProperties" && !declared && !holds(rule, member.value())) return false;
      if (key == "propertyNames" && !holds(rule, json::value(json::string(member.key())))) {
        return false;
      }
    }
    return true;
  }

  const json::value* root_;
};

inline json::value parsed(std::string_view text) {
  Result<json::value> value = parse_json(text, "test");
  EXPECT_TRUE(value.has_value()) << text;
  return value ? *value : json::value();
}

inline std::unique_ptr<Tokenizer> demo_tokenizer() {
  auto tokenizer = load_tokenizer(std::string(CARDLOOM_SOURCE_DIR) + "/demo/glm-4v-nano");
  return tokenizer ? std::move(*tokenizer) : nullptr;
}

/// The real one of 151,329 tokens, if it is beside the sources.
inline std::unique_ptr<Tokenizer> glm4_tokenizer() {
  const std::string directory = std::string(CARDLOOM_SOURCE_DIR) + "/../shared/data/glm4-tokenizer";
  if (!std::filesystem::exists(directory + "/tokenizer.model")) return nullptr;
  auto tokenizer = load_tokenizer(directory);
  return tokenizer ? std::move(*tokenizer) : nullptr;
}

}  // namespace cardloom::grammar_test
