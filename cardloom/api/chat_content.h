#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cardloom/api/field_reader.h"
#include "cardloom/api/generation_request.h"

namespace cardloom::api {

/// What one message says: text parts joined by one space; pictures go before the text.
struct MessageContent {
  std::string text;
  std::vector<std::string> images;  ///< URLs
  bool has_text = false;            ///< perhaps an empty one
};

/// Reads one part of a content into it.
using PartReader = std::function<void(ObjectReader& part, MessageContent& content)>;
/// A content as OpenAI's APIs have it, at `path`: a string, or a list of parts, each an object that
/// `read_part` reads. Throws Refusal for anything else, and for fields that it leaves unread.
[[nodiscard]] MessageContent read_content(const json::value& value, const std::string& path,
                                          ReadNotes& notes, const PartReader& read_part);

/// Gathers the messages of a chat, whatever API they come in, by the rules of parse_chat()
/// (models/chat_json.h): a tool call is an assistant message with metadata = NAME and content =
/// ARGUMENTS, a tool's result an observation, and there is a message for each.
///
/// Every member throws Refusal: with status 400, or 413 request_too_large for a picture whose bytes
/// alone are beyond the limit.
class ChatBuilder {
 public:
  explicit ChatBuilder(const RequestLimits& limits) : limits_(limits) {}

  static void add_text(MessageContent& content, std::string_view text);
  /// Pictures must be added in the order of their messages. `detail`: auto or high; low is refused,
  /// since a picture always takes the same rows in this model. `param` names the URL,
  /// `detail_param` the detail.
  void add_picture(MessageContent& content, std::string_view url, const std::string& param,
                   std::string_view detail = "auto", const std::string& detail_param = {});
  /// `max_pixels`, which some clients send with a picture: a promise that is kept, or refused.
  void check_max_pixels(std::int64_t max_pixels, const std::string& param) const;

  /// `role`: one of is_chat_role(). `param` names the message.
  void add_message(std::string role, MessageContent content, const std::string& param);
  /// An assistant's call; `arguments` is JSON text.
  void add_tool_call(std::string name, std::string arguments, const std::string& param);

  [[nodiscard]] bool empty() const { return messages_.empty(); }
  /// Moves messages and pictures into the request. There must be one message at least.
  void finish(GenerationRequest& request, const std::string& param);

 private:
  void add(ChatMessage message, const std::string& param);

  const RequestLimits& limits_;
  std::vector<ChatMessage> messages_;
  std::vector<PictureNote> pictures_;
};

/// Reads OpenAI's `messages` (also of /tokenize): roles developer (= system), system, user,
/// assistant with tool_calls, and tool; content as a string or as parts text and image_url.
void read_chat_messages(const json::array& messages, const std::string& path, ReadNotes& notes,
                        ChatBuilder& chat);

}  // namespace cardloom::api
