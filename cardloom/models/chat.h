#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cardloom/base/json.h"

namespace cardloom {

/// One message of a conversation, as GLM-4's chat rules see it.
struct ChatMessage {
  std::string role;                  ///< see is_chat_role()
  std::string metadata;              ///< an assistant's tool call: the tool's name; else empty
  std::string content;               ///< text, a tool call's arguments, or a tool's result
  std::vector<std::string> images;   ///< paths or other references, in order
  std::optional<json::array> tools;  ///< OpenAI's tool list, offered with this message
};

/// Which checkpoint's rules a conversation is written by.
enum class ChatStyle {
  kGlm4v,  ///< glm-4v-9b: code that tokenizes each message apart; pictures
  kGlm4,   ///< glm-4-9b-chat: a Jinja template whose output is tokenized whole
};

/// Whether `role` is system, user, assistant or observation (a tool's result).
[[nodiscard]] bool is_chat_role(std::string_view role);

}  // namespace cardloom
