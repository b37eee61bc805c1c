#include "cardloom/models/chat_json.h"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "cardloom/models/chat_tools.h"

namespace cardloom {
namespace {

/// The field, or null if it is not there or is JSON's null: OpenAI's clients send either.
const json::value* field(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

/// Turns one text into messages; every function names the JSON path of what it looks at.
class ChatReader {
 public:
  ChatReader(std::string_view what, const ChatLimits& limits) : what_(what), limits_(limits) {}

  Result<std::vector<ChatMessage>> read(const json::value& root) {
    const json::value* list = &root;
    const json::value* tools = nullptr;
    if (root.is_object()) {
      list = field(root.get_object(), "messages");
      tools = field(root.get_object(), "tools");
    }
    if (list == nullptr || !list->is_array()) {
      return error(ErrorCode::kInvalidArgument,
                   fmt::format("{} must be a list of messages, or an object with one as "
                               "\"messages\"",
                               what_));
    }
    if (const Status status = read_messages(list->get_array()); !status) return status.error();
    if (tools != nullptr) {
      if (const Status status = add_tools(*tools); !status) return status.error();
    }
    return std::move(messages_);
  }

 private:
  [[nodiscard]] static Error error(ErrorCode code, std::string message) {
    return make_error(code, std::move(message), {},
                      R"(a message looks like {"role": "user", "content": "hello"}; content may )"
                      R"(also be a list of {"type": "text", "text": "..."} and )"
                      R"({"type": "image_url", "image_url": {"url": "picture.jpg"}})");
  }

  [[nodiscard]] Error wrong(const std::string& path, std::string_view rule) const {
    return error(ErrorCode::kInvalidArgument, fmt::format("{}: {} {}", what_, path, rule));
  }

  /// `value` must be `wanted` ("a string"): the sentence for one that is not or is not there.
  [[nodiscard]] Error wrong_kind(const std::string& path, std::string_view wanted,
                                 const json::value* value) const {
    return wrong(path, fmt::format("must be {}, is {}", wanted,
                                   value == nullptr ? "missing" : kind_of(*value)));
  }

  [[nodiscard]] Error too_many(std::string_view things, std::size_t count,
                               std::int64_t limit) const {
    Error refused =
        error(ErrorCode::kResourceExhausted, fmt::format("{} has too many {}", what_, things));
    refused.detail = fmt::format("{} or more, the limit is {}", count, limit);
    return refused;
  }

  Status read_messages(const json::array& list) {
    if (list.empty()) return wrong("messages", "must hold at least one message");
    if (list.size() > static_cast<std::size_t>(limits_.max_messages)) {
      return too_many("messages", list.size(), limits_.max_messages);
    }
    for (std::size_t i = 0; i < list.size(); ++i) {
      const Status status = read_message(list[i], fmt::format("messages[{}]", i));
      if (!status) return status;
    }
    return {};
  }

  Status read_message(const json::value& value, const std::string& path) {
    if (!value.is_object()) return wrong_kind(path, "an object", &value);
    const json::object& object = value.get_object();
    ChatMessage message;
    if (Status s = read_string(object, "role", path, message.role); !s) return s;
    if (message.role == "tool") message.role = "observation";
    if (!is_chat_role(message.role)) {
      return wrong(path + ".role", fmt::format("must be system, user, assistant, observation or "
                                               "tool, is \"{}\"",
                                               message.role.substr(0, 40)));
    }
    if (field(object, "metadata") != nullptr) {
      if (Status s = read_string(object, "metadata", path, message.metadata); !s) return s;
    }
    if (const json::value* image = field(object, "image")) {
      if (Status s = add_image(image, path + ".image", message); !s) return s;
    }
    if (const json::value* content = field(object, "content")) {
      if (Status s = read_content(*content, path + ".content", message); !s) return s;
    }
    if (const json::value* tools = field(object, "tools")) {
      if (Status s = read_tools(*tools, path + ".tools", message); !s) return s;
    }
    return add_message(object, path, std::move(message));
  }

  /// Takes the message and, behind it, its tool calls.
  Status add_message(const json::object& object, const std::string& path, ChatMessage message) {
    const json::value* calls = field(object, "tool_calls");
    if (calls == nullptr) {
      messages_.push_back(std::move(message));
      return {};
    }
    const std::string calls_path = path + ".tool_calls";
    if (!calls->is_array()) return wrong_kind(calls_path, "a list", calls);
    const json::array& list = calls->get_array();
    if (message.role != "assistant" && !list.empty()) {
      return wrong(calls_path,
                   fmt::format("must belong to an assistant, role is \"{}\"", message.role));
    }
    const bool says_nothing =
        message.content.empty() && message.images.empty() && !message.tools.has_value();
    if (list.empty() || !says_nothing) messages_.push_back(std::move(message));
    for (std::size_t i = 0; i < list.size(); ++i) {
      Status status = add_tool_call(list[i], fmt::format("{}[{}]", calls_path, i));
      if (!status) return status;
    }
    return {};
  }

  Status add_tool_call(const json::value& call, const std::string& path) {
    // Calls are messages, too: a text of many calls must not outgrow the limit.
    if (messages_.size() >= static_cast<std::size_t>(limits_.max_messages)) {
      return too_many("messages and tool calls", messages_.size() + 1, limits_.max_messages);
    }
    if (!call.is_object()) return wrong_kind(path, "an object", &call);
    const json::value* function = field(call.get_object(), "function");
    const std::string function_path = path + ".function";
    if (function == nullptr || !function->is_object()) {
      return wrong_kind(function_path, "an object", function);
    }
    ChatMessage message;
    message.role = "assistant";
    const json::object& object = function->get_object();
    if (Status s = read_string(object, "name", function_path, message.metadata); !s) return s;
    if (Status s = read_string(object, "arguments", function_path, message.content); !s) return s;
    messages_.push_back(std::move(message));
    return {};
  }

  Status read_string(const json::object& object, std::string_view key, const std::string& path,
                     std::string& text) const {
    const json::value* value = field(object, key);
    if (value == nullptr || !value->is_string()) {
      return wrong_kind(fmt::format("{}.{}", path, key), "a string", value);
    }
    text = std::string_view(value->get_string());
    return {};
  }

  Status read_content(const json::value& content, const std::string& path, ChatMessage& message) {
    if (content.is_string()) {
      message.content = std::string_view(content.get_string());
      return {};
    }
    if (!content.is_array()) return wrong_kind(path, "a string, null or a list of parts", &content);
    bool has_text = false;
    const json::array& parts = content.get_array();
    for (std::size_t i = 0; i < parts.size(); ++i) {
      Status status = read_part(parts[i], fmt::format("{}[{}]", path, i), message, has_text);
      if (!status) return status;
    }
    return {};
  }

  Status read_part(const json::value& part, const std::string& path, ChatMessage& message,
                   bool& has_text) {
    if (!part.is_object()) return wrong_kind(path, "an object", &part);
    const json::object& object = part.get_object();
    const bool is_bare_image =
        field(object, "type") == nullptr && field(object, "image") != nullptr;
    std::string type = "image";
    if (!is_bare_image) {
      if (Status s = read_string(object, "type", path, type); !s) return s;
    }
    if (type == "text") {
      std::string text;
      if (Status s = read_string(object, "text", path, text); !s) return s;
      if (std::exchange(has_text, true)) message.content += ' ';
      message.content += text;
      return {};
    }
    if (type == "image") return add_image(field(object, "image"), path + ".image", message);
    if (type != "image_url") {
      return wrong(path + ".type",
                   fmt::format("must be text, image_url or image, is \"{}\"", type.substr(0, 40)));
    }
    const json::value* image = field(object, "image_url");
    if (image == nullptr || !image->is_object()) {
      return wrong_kind(path + ".image_url", "an object", image);
    }
    return add_image(field(image->get_object(), "url"), path + ".image_url.url", message);
  }

  Status add_image(const json::value* reference, const std::string& path, ChatMessage& message) {
    if (reference == nullptr || !reference->is_string()) {
      return wrong_kind(path, "a string", reference);
    }
    const std::string_view text = reference->get_string();
    if (text.empty()) return wrong(path, "must not be empty");
    // A path with a NUL would open another file than the one it shows.
    if (text.find('\0') != std::string_view::npos) return wrong(path, "must not hold a NUL");
    if (++num_images_ > limits_.max_images) {
      return too_many("pictures", static_cast<std::size_t>(num_images_), limits_.max_images);
    }
    message.images.emplace_back(text);
    return {};
  }

  Status read_tools(const json::value& tools, const std::string& path, ChatMessage& message) const {
    if (!tools.is_array()) return wrong_kind(path, "a list", &tools);
    // Only the message counts here: which fields are wrong, if any.
    const Result<std::string> text =
        render_tools(tools.get_array(), ChatStyle::kGlm4v, fmt::format("{}: {}", what_, path));
    if (!text) return text.error();
    message.tools = tools.get_array();
    return {};
  }

  /// The conversation's own tools, which GLM-4 is told of in a system turn.
  Status add_tools(const json::value& tools) {
    ChatMessage offer;
    offer.role = "system";
    if (Status s = read_tools(tools, "tools", offer); !s) return s;
    if (offer.tools->empty()) return {};
    ChatMessage& first = messages_.front();
    if (first.role != "system") {
      messages_.insert(messages_.begin(), std::move(offer));
      return {};
    }
    if (first.tools) return wrong("tools", "must not be given twice: messages[0].tools is there");
    first.tools = std::move(offer.tools);
    return {};
  }

  std::string_view what_;
  const ChatLimits& limits_;
  std::vector<ChatMessage> messages_;
  std::int64_t num_images_ = 0;
};

}  // namespace

Result<std::vector<ChatMessage>> parse_chat(std::string_view json_text, std::string_view what,
                                            const ChatLimits& limits) {
  if (json_text.size() > static_cast<std::size_t>(limits.max_bytes)) {
    return make_error(ErrorCode::kResourceExhausted, fmt::format("{} is too large", what),
                      fmt::format("{} bytes, the limit is {}", json_text.size(), limits.max_bytes));
  }
  const Result<json::value> root = parse_json(json_text, what);
  if (!root) return root.error();
  return ChatReader(what, limits).read(*root);
}

}  // namespace cardloom
