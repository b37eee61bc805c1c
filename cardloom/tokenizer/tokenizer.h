#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cardloom/base/result.h"

namespace cardloom {

/// Text to token ids and back.
///
///     const auto tokenizer = load_tokenizer("glm-4v-9b");
///     if (!tokenizer) return tokenizer.error();
///     (*tokenizer)->encode("你好");  // {109377}
///
/// Constant after construction: all threads may use one at once.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  Tokenizer() = default;
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  /// The ids of `text`, in which the spelling of a special token is ordinary text. Any bytes will
  /// do: what is not UTF-8 becomes tokens of those bytes, and token_bytes() gives them back.
  /// Throws kResourceExhausted from 2 GiB of unbroken text.
  [[nodiscard]] virtual std::vector<std::int32_t> encode(std::string_view text) const = 0;

  /// The same, but each special token's spelling becomes its id: the first in the text wins, the
  /// longest of those that begin together; what stands between them is encoded apart.
  [[nodiscard]] virtual std::vector<std::int32_t> encode_with_special(
      std::string_view text) const = 0;

  /// The bytes of an ordinary token, perhaps a part of a character only. Empty for a special token
  /// and for every id that is no token (padding rows of the model, negative).
  [[nodiscard]] virtual std::string_view token_bytes(std::int32_t id) const = 0;

  /// The id of a special token by its spelling, such as `<|user|>`.
  [[nodiscard]] virtual std::optional<std::int32_t> special_id(std::string_view spelling) const = 0;
  [[nodiscard]] virtual bool is_special(std::int32_t id) const = 0;
  /// The spelling of a special token; empty for any other id.
  [[nodiscard]] virtual std::string_view special_spelling(std::int32_t /*id*/) const { return {}; }

  /// One more than the largest id. The model's own count may be larger (padding rows).
  [[nodiscard]] virtual std::int32_t vocab_size() const = 0;

  /// The text of all tokens' bytes together, what is not UTF-8 replaced by U+FFFD as Python's
  /// errors="replace" does. For tokens that come one by one: incremental_decoder.h.
  [[nodiscard]] std::string decode(std::span<const std::int32_t> ids) const;
};

/// The tokenizer of a checkpoint: `tokenizer.model` (a tiktoken rank file) and the
/// `added_tokens_decoder` of `tokenizer_config.json`, both in `model_directory`.
///
/// Returns kNotFound if a file is missing, kResourceExhausted if one is above 64 MiB, else what
/// parse_rank_file() and SpecialTokens::parse() return, with the path.
Result<std::unique_ptr<Tokenizer>> load_tokenizer(const std::string& model_directory);

/// The same from the two files' texts; `what_ranks` and `what_config` name them in errors.
Result<std::unique_ptr<Tokenizer>> make_tokenizer(std::string_view rank_text,
                                                  std::string_view config_text,
                                                  std::string_view what_ranks,
                                                  std::string_view what_config);

}  // namespace cardloom
