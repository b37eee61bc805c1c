#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "cardloom/base/result.h"

namespace cardloom {

/// Tokens that stand for no bytes, such as `<|user|>` 151336: each a spelling and an id.
class SpecialTokens {
 public:
  /// From the `added_tokens_decoder` of a tokenizer_config.json: {"151329": {"content": ...}, ...}.
  ///
  /// `what` names the text in errors; `num_ordinary` is how many ids are taken. Returns
  /// kInvalidArgument, naming the entry, if the text is not JSON, an entry has another form, an id
  /// is below `num_ordinary` or above 2^24, a spelling is empty, too long or there twice;
  /// kResourceExhausted beyond 4096 entries; kUnimplemented if an entry asks for stripping.
  static Result<SpecialTokens> parse(std::string_view config_text, std::string_view what,
                                     std::int32_t num_ordinary);

  /// The first special spelling in `text` at or after `pos`, the longest of those that begin there.
  struct Match {
    std::size_t begin = 0;
    std::size_t end = 0;
    std::int32_t id = -1;
  };
  [[nodiscard]] std::optional<Match> find(std::string_view text, std::size_t pos) const;

  [[nodiscard]] std::optional<std::int32_t> id(std::string_view spelling) const;
  [[nodiscard]] bool contains(std::int32_t id) const { return spellings_.count(id) != 0; }
  /// Empty if `id` is none.
  [[nodiscard]] std::string_view spelling(std::int32_t id) const {
    const auto entry = spellings_.find(id);
    return entry == spellings_.end() ? std::string_view() : entry->second;
  }

  /// One more than the largest id; 0 if there is none.
  [[nodiscard]] std::int32_t end_id() const {
    return spellings_.empty() ? 0 : spellings_.rbegin()->first + 1;
  }

 private:
  std::map<std::string, std::int32_t, std::less<>> ids_;
  std::map<std::int32_t, std::string> spellings_;
  std::string first_bytes_;    ///< with which spellings begin: where a search need look
  std::size_t max_bytes_ = 0;  ///< of the longest spelling
};

}  // namespace cardloom
