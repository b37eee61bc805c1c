#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "cardloom/models/chat.h"

namespace cardloom {

/// What parse_chat() refuses to go beyond.
struct ChatLimits {
  std::int64_t max_bytes = std::int64_t{32} << 20;  ///< of the whole JSON text
  std::int64_t max_messages = 4096;
  std::int64_t max_images = 256;  ///< of all messages together
};

/// The conversation that a JSON text in OpenAI's form holds: a list of messages, or an object
/// {"messages": [...], "tools": [...]} (other keys of it are another reader's).
///
/// A message: `role` (system, user, assistant, observation, or tool, which is observation);
/// `content`, a string, null, or a list of parts {"type": "text", "text": ...} and
/// {"type": "image_url", "image_url": {"url": ...}}, also {"image": ...}; an assistant's
/// `tool_calls`. GLM-4's own keys: `metadata`, `image` (a reference), `tools`. Other keys, such as
/// `name` and `tool_call_id`, say nothing to GLM-4 and are passed over.
///
/// Text parts are joined by one space, as the official server does it; pictures go before the text,
/// as the model's chat rules have it. A tool call is an assistant message with metadata = NAME and
/// content = ARGUMENTS; several calls are several messages. The object's `tools` go to the first
/// message if that is a system message, else to one of their own in front.
///
/// `what` names the text in errors, `messages[2].content[0].type` the place in it. Returns
/// kInvalidArgument if the text is not JSON, a type is wrong, a field is missing, there is no
/// message; kResourceExhausted beyond `limits`.
Result<std::vector<ChatMessage>> parse_chat(std::string_view json_text, std::string_view what,
                                            const ChatLimits& limits = {});

}  // namespace cardloom
