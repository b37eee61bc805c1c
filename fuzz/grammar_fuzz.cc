// Input: a first byte that says what follows: 'r' a regular expression, 'c' texts to choose from, a
// line each, 't' the schema of a tool's arguments, 'o' nothing (any object), anything else a JSON
// Schema. What compiles must lead from every allowed token to another or to an end, and what ends
// by a schema must be JSON.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cardloom/grammar/grammar.h"
#include "fuzz/require.h"

namespace {

/// Single bytes, a few longer tokens, and one special token at the end.
class ByteTokenizer final : public cardloom::Tokenizer {
 public:
  ByteTokenizer() {
    for (int byte = 0; byte < 256; ++byte) tokens_.emplace_back(1, static_cast<char>(byte));
    for (const char* more : {"\",\"", "\":", "}}", "]}", "[[", "{\"", "true", "ab", "\\u", "12"}) {
      tokens_.emplace_back(more);
    }
  }
  std::vector<std::int32_t> encode(std::string_view) const override { return {}; }
  std::vector<std::int32_t> encode_with_special(std::string_view) const override { return {}; }
  std::string_view token_bytes(std::int32_t id) const override {
    return id >= 0 && id < stop_id() ? std::string_view(tokens_[static_cast<std::size_t>(id)])
                                     : std::string_view();
  }
  std::optional<std::int32_t> special_id(std::string_view) const override { return stop_id(); }
  bool is_special(std::int32_t id) const override { return id == stop_id(); }
  std::int32_t vocab_size() const override { return stop_id() + 1; }
  std::int32_t stop_id() const { return static_cast<std::int32_t>(tokens_.size()); }

 private:
  std::vector<std::string> tokens_;
};

using GrammarResult = cardloom::Result<std::shared_ptr<const cardloom::Grammar>>;

/// Nothing if there is no schema to begin with.
std::optional<GrammarResult> compile(cardloom::GrammarCompiler& compiler, char kind,
                                     std::string_view text) {
  if (kind == 'r') return compiler.regex(text);
  if (kind == 'o') return compiler.json_object();
  if (kind == 'c') {
    std::vector<std::string> choices;
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find('\n', begin), text.size());
      if (end > begin) choices.emplace_back(text.substr(begin, end - begin));
      begin = end + 1;
    }
    if (choices.empty()) return std::nullopt;
    return compiler.choice(choices);
  }
  const auto schema = cardloom::parse_json(text, "schema");
  if (!schema) return std::nullopt;
  if (kind != 't') return compiler.json_schema(*schema);
  return compiler.tool_call(
      {{"get", *schema}, {"get_all", cardloom::json::object{{"type", "object"}}}});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static const ByteTokenizer tokenizer;
  cardloom::GrammarLimits limits;
  limits.max_states = 512;
  limits.max_steps = 1 << 18;
  limits.max_depth = 12;
  cardloom::GrammarCompiler compiler(tokenizer, tokenizer.vocab_size(), {tokenizer.stop_id()},
                                     limits);
  const char kind = static_cast<char>(data[0]);
  const auto compiled =
      compile(compiler, kind, {reinterpret_cast<const char*>(data) + 1, size - 1});
  if (!compiled) return 0;
  const GrammarResult& grammar = *compiled;
  if (!grammar) {
    require(!grammar.error().message.empty());
    require(grammar.error().code != cardloom::ErrorCode::kInternal);
    return 0;
  }
  const auto constraint = compiler.begin(*grammar);
  std::string text;
  std::uint32_t random = 1;
  for (int step = 0; step < 64; ++step) {
    const cardloom::TokenMask& mask = constraint->allowed();
    random = random * 1664525u + 1013904223u + data[static_cast<std::size_t>(step) % size];
    const auto begin =
        static_cast<std::int32_t>((random >> 8) % static_cast<std::uint32_t>(mask.size()));
    std::int32_t id = begin;
    while (!mask.contains(id)) {
      id = (id + 1) % mask.size();
      require(id != begin);  // something is always allowed
    }
    if (random >> 30 == 0 && mask.contains(tokenizer.stop_id())) id = tokenizer.stop_id();
    if (id == tokenizer.stop_id()) {
      const bool is_json = kind != 'r' && kind != 'c' && kind != 't';
      require(!is_json || cardloom::parse_json(text, "answer").has_value());
      break;
    }
    text += tokenizer.token_bytes(id);
    constraint->accept(id);
  }
  return 0;
}
