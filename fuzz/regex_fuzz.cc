// Input: a regular expression, a line end and a text. PCRE2 is the judge of what matches, where
// both take the expression and mean the same by its signs.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cardloom/grammar/grammar.h"
#include "fuzz/require.h"

namespace {

/// Every byte is a token.
class ByteTokenizer final : public cardloom::Tokenizer {
 public:
  ByteTokenizer() {
    for (int byte = 0; byte < 256; ++byte) tokens_.emplace_back(1, static_cast<char>(byte));
  }
  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view) const override { return {}; }
  [[nodiscard]] std::vector<std::int32_t> encode_with_special(std::string_view) const override {
    return {};
  }
  [[nodiscard]] std::string_view token_bytes(std::int32_t id) const override {
    return id >= 0 && id < kStop ? std::string_view(tokens_[static_cast<std::size_t>(id)])
                                 : std::string_view();
  }
  [[nodiscard]] std::optional<std::int32_t> special_id(std::string_view) const override {
    return kStop;
  }
  [[nodiscard]] bool is_special(std::int32_t id) const override { return id == kStop; }
  [[nodiscard]] std::int32_t vocab_size() const override { return kStop + 1; }
  static constexpr std::int32_t kStop = 256;

 private:
  std::vector<std::string> tokens_;
};

/// Whether ECMAScript and PCRE2 mean the same by all of it: letters, digits, groups, repeats, plain
/// sets and \d \w \s \D \W \S.
bool is_common(std::string_view pattern) {
  constexpr std::string_view kSigns = "()|*+?{},.[]^$- _:";
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const auto c = static_cast<unsigned char>(pattern[i]);
    const bool is_letter = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
    if (c == '\\') {
      if (++i == pattern.size()) return false;
      if (std::string_view("dwDW").find(pattern[i]) == std::string_view::npos) return false;
      continue;
    }
    if (!is_letter && kSigns.find(static_cast<char>(c)) == std::string_view::npos) return false;
  }
  // PCRE2 has named sets, and takes []* for [].
  return pattern.find("[:") == std::string_view::npos &&
         pattern.find("[]") == std::string_view::npos;
}

/// Whether `text` matches as a whole; nothing if PCRE2 does not take the pattern or gives up.
std::optional<bool> judge(const std::string& pattern, const std::string& text) {
  int error = 0;
  std::size_t offset = 0;
  const auto* begin = reinterpret_cast<PCRE2_SPTR>(pattern.data());
  const std::unique_ptr<pcre2_code, void (*)(pcre2_code*)> code(
      pcre2_compile(begin, pattern.size(),
                    PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOLLAR_ENDONLY |
                        PCRE2_ALLOW_EMPTY_CLASS | PCRE2_NO_AUTO_CAPTURE,
                    &error, &offset, nullptr),
      &pcre2_code_free);
  if (code == nullptr) return std::nullopt;
  const std::unique_ptr<pcre2_match_context, void (*)(pcre2_match_context*)> limits(
      pcre2_match_context_create(nullptr), &pcre2_match_context_free);
  pcre2_set_match_limit(limits.get(), 100'000);
  const std::unique_ptr<pcre2_match_data, void (*)(pcre2_match_data*)> match(
      pcre2_match_data_create(1, nullptr), &pcre2_match_data_free);
  const int count = pcre2_match(code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                                0, 0, match.get(), limits.get());
  if (count < 0 && count != PCRE2_ERROR_NOMATCH) return std::nullopt;
  return count >= 0;
}

bool accepts(cardloom::GrammarCompiler& compiler,
             const std::shared_ptr<const cardloom::Grammar>& grammar, std::string_view text) {
  const auto constraint = compiler.begin(grammar);
  for (const char c : text) {
    const std::int32_t id = static_cast<unsigned char>(c);
    if (!constraint->allowed().contains(id)) return false;
    constraint->accept(id);
  }
  return constraint->allowed().contains(ByteTokenizer::kStop);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const ByteTokenizer tokenizer;
  cardloom::GrammarLimits limits;
  limits.max_states = 1024;
  limits.max_steps = 1 << 18;
  cardloom::GrammarCompiler compiler(tokenizer, tokenizer.vocab_size(), {ByteTokenizer::kStop},
                                     limits);
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t line = std::min(input.find('\n'), size);
  const std::string pattern(input.substr(0, line));
  std::string text(input.substr(std::min(line + 1, size)).substr(0, 64));
  const auto grammar = compiler.regex(pattern);
  if (!grammar) {
    require(!grammar.error().message.empty());
    require(grammar.error().code != cardloom::ErrorCode::kInternal);
    return 0;
  }
  // What `.` and [^a] mean beyond ASCII, and at a line's end, is where the two differ.
  for (char& c : text) c = static_cast<char>(c & 0x7F) < ' ' ? 'a' : static_cast<char>(c & 0x7F);
  const bool is_match = accepts(compiler, *grammar, text);
  if (!is_common(pattern)) return 0;
  const std::optional<bool> expected = judge(pattern, text);
  require(!expected || *expected == is_match);
  return 0;
}
