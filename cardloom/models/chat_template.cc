#include "cardloom/models/chat_template.h"

#include <fmt/format.h>

#include <utility>

#include "cardloom/models/chat_tools.h"

namespace cardloom {
namespace {

Status check_role(const ChatMessage& message, std::size_t index) {
  if (is_chat_role(message.role)) return {};
  return make_error(ErrorCode::kInvalidArgument,
                    fmt::format("messages[{}].role must be system, user, assistant or "
                                "observation, is \"{}\"",
                                index, message.role.substr(0, 40)));
}

std::string tools_path(std::size_t index) { return fmt::format("messages[{}].tools", index); }

/// The ids of one conversation under glm-4v-9b's rules, message by message.
class Glm4vChat {
 public:
  explicit Glm4vChat(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  Status append(const ChatMessage& message, std::size_t index) {
    if (const Status status = check_role(message, index); !status) return status;
    if (message.tools && !message.tools->empty()) {
      Result<std::string> text = render_tools(*message.tools, ChatStyle::kGlm4v, tools_path(index));
      if (!text) return text.error();
      ChatMessage offer;
      offer.role = "system";
      offer.content = *std::move(text);
      if (const Status status = append_turn(offer); !status) return status;
    }
    if (message.content.empty() && message.images.empty()) return {};
    return append_turn(message);
  }

  Status append_special(const std::string& spelling) {
    const std::optional<std::int32_t> id = tokenizer_.special_id(spelling);
    if (!id) {
      return make_error(ErrorCode::kInvalidArgument,
                        fmt::format("the tokenizer must know {}, but does not", spelling), {},
                        "its tokenizer_config.json must list GLM-4's special tokens under "
                        "added_tokens_decoder");
    }
    chat_.ids.push_back(*id);
    return {};
  }

  TokenizedChat take() { return std::move(chat_); }

 private:
  Status append_turn(const ChatMessage& message) {
    if (const Status status = append_special(fmt::format("<|{}|>", message.role)); !status) {
      return status;
    }
    append_text(message.metadata + "\n");
    for (const std::string& image : message.images) {
      const auto begin = static_cast<std::int64_t>(chat_.ids.size());
      for (const char* spelling : {"<|begin_of_image|>", "<|endoftext|>", "<|end_of_image|>"}) {
        if (const Status status = append_special(spelling); !status) return status;
      }
      chat_.images.push_back({begin, image});
    }
    append_text(message.content);
    return {};
  }

  void append_text(std::string_view text) {
    const std::vector<std::int32_t> ids = tokenizer_.encode(text);
    chat_.ids.insert(chat_.ids.end(), ids.begin(), ids.end());
  }

  const Tokenizer& tokenizer_;
  TokenizedChat chat_;
};

Result<TokenizedChat> tokenize_glm4v(const Tokenizer& tokenizer,
                                     std::span<const ChatMessage> messages) {
  Glm4vChat chat(tokenizer);
  for (const char* spelling : {"[gMASK]", "<sop>"}) {
    if (const Status status = chat.append_special(spelling); !status) return status.error();
  }
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (const Status status = chat.append(messages[i], i); !status) return status.error();
  }
  if (const Status status = chat.append_special("<|assistant|>"); !status) return status.error();
  return chat.take();
}

}  // namespace

Result<std::string> render_glm4_chat(std::span<const ChatMessage> messages) {
  std::string text = "[gMASK]<sop>";
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const ChatMessage& message = messages[i];
    if (const Status status = check_role(message, i); !status) return status.error();
    if (!message.images.empty()) {
      return make_error(ErrorCode::kInvalidArgument,
                        fmt::format("this model takes no pictures, messages[{}] has {}", i,
                                    message.images.size()),
                        "it is a text model (glm-4-9b-chat's template)",
                        "leave the picture out, or run a glm-4v checkpoint");
    }
    if (message.tools) {  // `is defined`: an empty list gives the header, too
      const Result<std::string> tools =
          render_tools(*message.tools, ChatStyle::kGlm4, tools_path(i));
      if (!tools) return tools.error();
      text += "<|system|>\n" + *tools;
    }
    if (!message.content.empty()) {
      text += fmt::format("<|{}|>{}\n{}", message.role, message.metadata, message.content);
    }
  }
  return text + "<|assistant|>";
}

Result<TokenizedChat> tokenize_chat(const Tokenizer& tokenizer, ChatStyle style,
                                    std::span<const ChatMessage> messages) {
  if (style == ChatStyle::kGlm4v) return tokenize_glm4v(tokenizer, messages);
  const Result<std::string> text = render_glm4_chat(messages);
  if (!text) return text.error();
  TokenizedChat chat;
  chat.ids = tokenizer.encode_with_special(*text);
  return chat;
}

}  // namespace cardloom
