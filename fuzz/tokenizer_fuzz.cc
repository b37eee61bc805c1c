// Input: a rank file, a NUL, a text. The text goes through the tokenizer that the rank file makes
// and, as most mutations break that, through a small one of our own, too.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "cardloom/base/base64.h"
#include "cardloom/base/utf8.h"
#include "cardloom/tokenizer/incremental_decoder.h"
#include "cardloom/tokenizer/tokenizer.h"
#include "fuzz/require.h"

namespace {

using cardloom::make_tokenizer;
using cardloom::Tokenizer;

constexpr std::string_view kConfig =
    R"({"added_tokens_decoder": {"9000000": {"content": "<|user|>"}, "9000001": {"content": "[M]"}}})";

std::unique_ptr<Tokenizer> make_own() {
  std::string ranks;
  int rank = 0;
  const auto add = [&](std::string_view bytes) {
    ranks += cardloom::encode_base64(bytes) + " " + std::to_string(rank++) + "\n";
  };
  for (int byte = 0; byte < 256; ++byte) add(std::string(1, static_cast<char>(byte)));
  for (const char* token :
       {"  ", "\n\n", "aa", "ab", "ba", "aaaa", "ll", "'l", "\xE4\xBD", "123"}) {
    add(token);
  }
  auto made = make_tokenizer(ranks, kConfig, "ranks", "config");
  if (!made) std::abort();
  return *std::move(made);
}

void check(const Tokenizer& tokenizer, std::string_view text) {
  const auto ids = tokenizer.encode(text);
  std::string bytes;
  std::string by_and_by;
  cardloom::IncrementalDecoder decoder(tokenizer);
  for (const auto id : ids) {
    bytes += tokenizer.token_bytes(id);
    by_and_by += decoder.append(id);
    require(!tokenizer.is_special(id));
  }
  by_and_by += decoder.finish();
  require(bytes == text);
  require(tokenizer.decode(ids) == cardloom::replace_invalid_utf8(text));
  require(by_and_by == tokenizer.decode(ids));
  require(cardloom::is_valid_utf8(by_and_by));
  std::string special;
  for (const auto id : tokenizer.encode_with_special(text)) {
    special += id == 9000000   ? "<|user|>"
               : id == 9000001 ? "[M]"
                               : std::string(tokenizer.token_bytes(id));
  }
  require(special == text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::string_view ranks = input.substr(0, input.find('\0'));
  const std::string_view text = input.substr(ranks.size() < size ? ranks.size() + 1 : size);
  static const std::unique_ptr<Tokenizer> kOwn = make_own();
  check(*kOwn, text);
  const auto made = make_tokenizer(ranks, kConfig, "ranks", "config");
  if (made) check(**made, text);
  // The text as a tokenizer_config.json beside ranks that are good.
  (void)make_tokenizer(ranks, text, "ranks", "config");
  return 0;
}
