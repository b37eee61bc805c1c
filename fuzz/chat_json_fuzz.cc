// Input: a conversation in JSON. What is accepted must tokenize in both styles, or say why not.
#include <cstdint>
#include <string>
#include <string_view>

#include "cardloom/models/chat_json.h"
#include "cardloom/models/chat_template.h"
#include "fuzz/require.h"

namespace {

/// Single bytes only, and GLM-4's special tokens.
class ByteTokenizer final : public cardloom::Tokenizer {
 public:
  std::vector<std::int32_t> encode(std::string_view text) const override {
    return {reinterpret_cast<const unsigned char*>(text.data()),
            reinterpret_cast<const unsigned char*>(text.data()) + text.size()};
  }
  std::vector<std::int32_t> encode_with_special(std::string_view text) const override {
    return encode(text);
  }
  std::string_view token_bytes(std::int32_t) const override { return {}; }
  std::optional<std::int32_t> special_id(std::string_view spelling) const override {
    return spelling == "<|begin_of_image|>" ? 300 : 301;
  }
  bool is_special(std::int32_t id) const override { return id >= 300; }
  std::int32_t vocab_size() const override { return 302; }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto messages = cardloom::parse_chat(text, "chat");
  if (!messages) {
    require(!messages.error().message.empty());
    return 0;
  }
  std::size_t num_images = 0;
  for (const auto& message : *messages) num_images += message.images.size();
  const ByteTokenizer tokenizer;
  const auto chat = tokenize_chat(tokenizer, cardloom::ChatStyle::kGlm4v, *messages);
  require(chat.has_value());
  require(chat->images.size() == num_images);
  for (const auto& image : chat->images) {
    require(chat->ids.at(static_cast<std::size_t>(image.begin_of_image_index)) == 300);
  }
  const auto glm4 = tokenize_chat(tokenizer, cardloom::ChatStyle::kGlm4, *messages);
  require(glm4.has_value() == (num_images == 0));
  return 0;
}
