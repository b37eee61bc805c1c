#include "cardloom/tokenizer/tokenizer.h"

#include <algorithm>
#include <utility>

#include "cardloom/base/file.h"
#include "cardloom/base/utf8.h"
#include "cardloom/tokenizer/bpe.h"
#include "cardloom/tokenizer/pretokenizer.h"
#include "cardloom/tokenizer/rank_file.h"
#include "cardloom/tokenizer/special_tokens.h"
#include "cardloom/tokenizer/vocabulary.h"

namespace cardloom {
namespace {

// GLM-4's tokenizer.model has 2.6 MB.
constexpr std::int64_t kMaxFileBytes = std::int64_t{64} << 20;

/// GLM-4's: byte pairs merged by rank within pieces.
class BpeTokenizer final : public Tokenizer {
 public:
  BpeTokenizer(Vocabulary vocabulary, SpecialTokens special)
      : vocabulary_(std::move(vocabulary)), special_(std::move(special)) {}

  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text) const override {
    std::vector<std::int32_t> ids;
    append(text, ids);
    return ids;
  }

  [[nodiscard]] std::vector<std::int32_t> encode_with_special(
      std::string_view text) const override {
    std::vector<std::int32_t> ids;
    std::size_t pos = 0;
    while (const auto match = special_.find(text, pos)) {
      append(text.substr(pos, match->begin - pos), ids);
      ids.push_back(match->id);
      pos = match->end;
    }
    append(text.substr(pos), ids);
    return ids;
  }

  [[nodiscard]] std::string_view token_bytes(std::int32_t id) const override {
    if (id < 0 || id >= vocabulary_.size()) return {};
    return vocabulary_.bytes(id);
  }

  [[nodiscard]] std::optional<std::int32_t> special_id(std::string_view spelling) const override {
    return special_.id(spelling);
  }

  [[nodiscard]] bool is_special(std::int32_t id) const override { return special_.contains(id); }

  [[nodiscard]] std::string_view special_spelling(std::int32_t id) const override {
    return special_.spelling(id);
  }

  [[nodiscard]] std::int32_t vocab_size() const override {
    return std::max(vocabulary_.size(), special_.end_id());
  }

 private:
  void append(std::string_view text, std::vector<std::int32_t>& ids) const {
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = piece_end(text, begin);
      append_bpe(vocabulary_, text.substr(begin, end - begin), ids);
      begin = end;
    }
  }

  Vocabulary vocabulary_;
  SpecialTokens special_;
};

}  // namespace

std::string Tokenizer::decode(std::span<const std::int32_t> ids) const {
  std::string bytes;
  for (const std::int32_t id : ids) bytes += token_bytes(id);
  return replace_invalid_utf8(bytes);
}

Result<std::unique_ptr<Tokenizer>> make_tokenizer(std::string_view rank_text,
                                                  std::string_view config_text,
                                                  std::string_view what_ranks,
                                                  std::string_view what_config) {
  Result<Vocabulary> vocabulary = parse_rank_file(rank_text, what_ranks);
  if (!vocabulary) return vocabulary.error();
  Result<SpecialTokens> special =
      SpecialTokens::parse(config_text, what_config, vocabulary->size());
  if (!special) return special.error();
  return std::unique_ptr<Tokenizer>(
      std::make_unique<BpeTokenizer>(*std::move(vocabulary), *std::move(special)));
}

Result<std::unique_ptr<Tokenizer>> load_tokenizer(const std::string& model_directory) {
  const std::string rank_path = model_directory + "/tokenizer.model";
  const std::string config_path = model_directory + "/tokenizer_config.json";
  const auto not_found = [](Error error) {
    if (error.code == ErrorCode::kNotFound) {
      error.remedy =
          "a GLM-4 checkpoint's directory holds tokenizer.model and tokenizer_config.json beside "
          "config.json; copy them there";
    }
    return error;
  };
  const Result<std::string> ranks = read_file(rank_path, kMaxFileBytes);
  if (!ranks) return not_found(ranks.error());
  const Result<std::string> config = read_file(config_path, kMaxFileBytes);
  if (!config) return not_found(config.error());
  return make_tokenizer(*ranks, *config, rank_path, config_path);
}

}  // namespace cardloom
