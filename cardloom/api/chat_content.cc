#include "cardloom/api/chat_content.h"

#include <fmt/format.h>

#include <utility>

namespace cardloom::api {
namespace {

constexpr std::string_view kDataScheme = "data:";
/// No server serves longer ones; data: URLs have a limit of their own.
constexpr std::size_t kMaxUrlBytes = 8192;

void check_detail(std::string_view detail, const std::string& param) {
  if (detail == "auto" || detail == "high") return;
  if (detail == "low") {
    refuse(param,
           fmt::format("{} must be auto or high, is \"low\": a picture always takes the same rows "
                       "in this model, so low would save nothing",
                       param),
           "unsupported_value");
  }
  refuse(param, fmt::format("{} must be auto or high, is {}", param, quoted(detail)));
}

/// Of the picture that a data: URL holds, at least: base64 makes four bytes of three.
std::int64_t payload_bytes(std::string_view url) {
  const std::size_t comma = url.find(',');
  if (comma == std::string_view::npos) return 0;  // refused where it is decoded
  const std::size_t num_chars = url.size() - comma - 1;
  return static_cast<std::int64_t>(num_chars / 4 * 3);
}

bool is_data_url(std::string_view url) {
  if (url.size() < kDataScheme.size()) return false;
  for (std::size_t i = 0; i < kDataScheme.size(); ++i) {
    if ((url[i] | 0x20) != (kDataScheme[i] | 0x20)) return false;
  }
  return true;
}

/// One message of OpenAI's list; its members name the JSON path of what they look at.
class MessageReader {
 public:
  MessageReader(const json::object& object, std::string path, ReadNotes& notes, ChatBuilder& chat)
      : reader_(object, path, notes), path_(std::move(path)), chat_(chat) {}

  void read() {
    const std::string_view role = reader_.require_string("role");
    // A name tells speakers of one role apart; GLM-4's chat has no place for it.
    reader_.accept({"name"});
    if (role == "assistant") return read_assistant();
    if (role == "tool") {
      static_cast<void>(reader_.string("tool_call_id"));
      return read_plain("observation", true);
    }
    if (role == "system" || role == "developer") return read_plain("system", false);
    if (role == "user") return read_plain("user", true);
    const std::string param = reader_.path_of("role");
    refuse(param, fmt::format("{} must be developer, system, user, assistant or tool, is {}{}",
                              param, quoted(role),
                              role == "function" ? "; give a function's result as role tool" : ""));
  }

 private:
  void read_plain(std::string role, bool may_have_pictures) {
    MessageContent content = read_content(reader_.require("content"), may_have_pictures);
    reader_.finish();
    chat_.add_message(std::move(role), std::move(content), path_);
  }

  void read_assistant() {
    // What the API's own answers hold, when they come back as history.
    reader_.accept({"annotations", "reasoning_content", "reasoning"});
    reader_.refuse_fields({"audio"}, "this model has no voice: leave it out");
    reader_.refuse_fields({"function_call"}, "it is the old form of tool_calls: use that");
    const json::array* calls = reader_.list("tool_calls");
    const bool has_calls = calls != nullptr && !calls->empty();
    const json::value* value = reader_.find("content");
    const std::optional<std::string_view> refusal = reader_.string("refusal");
    MessageContent content;
    if (value != nullptr) {
      content = read_content(*value, false);
    } else if (refusal) {
      ChatBuilder::add_text(content, *refusal);
    } else if (!has_calls) {
      const std::string param = reader_.path_of("content");
      refuse(param, fmt::format("{} is required of an assistant without tool_calls", param));
    }
    reader_.finish();
    if (!has_calls || !content.text.empty()) {
      chat_.add_message("assistant", std::move(content), path_);
    }
    if (has_calls) read_calls(*calls, reader_.path_of("tool_calls"));
  }

  void read_calls(const json::array& calls, const std::string& path) {
    for (std::size_t i = 0; i < calls.size(); ++i) {
      const std::string call_path = fmt::format("{}[{}]", path, i);
      ObjectReader call(object_of(calls[i], call_path), call_path, reader_.notes());
      call.accept({"id", "index"});
      const std::string_view type = call.string("type").value_or("function");
      if (type != "function") {
        const std::string param = call.path_of("type");
        refuse(param, fmt::format("{} must be function, is {}", param, quoted(type)));
      }
      const std::string function_path = call.path_of("function");
      ObjectReader function(object_of(call.require("function"), function_path), function_path,
                            reader_.notes());
      std::string name(function.require_string("name"));
      std::string arguments(function.require_string("arguments"));
      function.finish();
      call.finish();
      chat_.add_tool_call(std::move(name), std::move(arguments), call_path);
    }
  }

  MessageContent read_content(const json::value& value, bool may_have_pictures) {
    return api::read_content(value, reader_.path_of("content"), reader_.notes(),
                             [&](ObjectReader& part, MessageContent& content) {
                               read_part(part, content, may_have_pictures);
                             });
  }

  void read_part(ObjectReader& part, MessageContent& content, bool may_have_pictures) {
    // Hints for other servers' caches.
    part.accept({"cache_control", "prompt_cache_breakpoint"});
    const std::string_view type = part.require_string("type");
    if (type == "text") return ChatBuilder::add_text(content, part.require_string("text"));
    if (type == "refusal") return ChatBuilder::add_text(content, part.require_string("refusal"));
    const std::string param = part.path_of("type");
    if (type != "image_url") {
      refuse(param,
             fmt::format("{} must be text or image_url, is {}: this model reads text and pictures",
                         param, quoted(type)),
             "unsupported_content_part");
    }
    if (!may_have_pictures) {
      refuse(param,
             fmt::format("{} is image_url, but pictures belong to user and tool messages", param));
    }
    read_picture(part, content);
  }

  void read_picture(ObjectReader& part, MessageContent& content) {
    const json::value& value = part.require("image_url");
    const std::string path = part.path_of("image_url");
    if (value.is_string()) return chat_.add_picture(content, value.get_string(), path);
    ObjectReader picture(object_of(value, path), path, reader_.notes());
    const std::string_view url = picture.require_string("url");
    const std::string_view detail = picture.string("detail").value_or("auto");
    if (const auto max_pixels = picture.integer("max_pixels")) {
      chat_.check_max_pixels(*max_pixels, picture.path_of("max_pixels"));
    }
    picture.finish();
    chat_.add_picture(content, url, picture.path_of("url"), detail, picture.path_of("detail"));
  }

  ObjectReader reader_;
  std::string path_;
  ChatBuilder& chat_;
};

}  // namespace

MessageContent read_content(const json::value& value, const std::string& path, ReadNotes& notes,
                            const PartReader& read_part) {
  MessageContent content;
  if (value.is_string()) {
    ChatBuilder::add_text(content, value.get_string());
    return content;
  }
  if (!value.is_array()) {
    refuse(path,
           fmt::format("{} must be a string or a list of parts, is {}", path, kind_of(value)));
  }
  const json::array& parts = value.get_array();
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::string part_path = fmt::format("{}[{}]", path, i);
    ObjectReader part(object_of(parts[i], part_path), part_path, notes);
    read_part(part, content);
    part.finish();
  }
  return content;
}

void ChatBuilder::add_text(MessageContent& content, std::string_view text) {
  if (std::exchange(content.has_text, true)) content.text += ' ';
  content.text += text;
}

void ChatBuilder::add_picture(MessageContent& content, std::string_view url,
                              const std::string& param, std::string_view detail,
                              const std::string& detail_param) {
  check_detail(detail, detail_param);
  if (url.empty()) refuse(param, fmt::format("{} must not be empty", param));
  // A path with a NUL would open another file than the one it shows.
  if (url.find('\0') != std::string_view::npos) {
    refuse(param, fmt::format("{} must not hold a NUL", param));
  }
  if (static_cast<std::int64_t>(pictures_.size()) >= limits_.max_images) {
    refuse(param,
           fmt::format("{} is picture {} of this request, the limit is {}", param,
                       pictures_.size() + 1, limits_.max_images),
           "too_many_images");
  }
  if (is_data_url(url)) {
    // The last four characters may stand for one byte only: hence the two.
    if (payload_bytes(url) - 2 > limits_.max_image_bytes) {
      ApiError error = invalid(param,
                               fmt::format("{} holds a picture of {} bytes, the limit is {}; send "
                                           "a smaller one",
                                           param, payload_bytes(url), limits_.max_image_bytes),
                               "request_too_large");
      error.status = 413;
      throw Refusal(std::move(error));
    }
  } else if (url.size() > kMaxUrlBytes) {
    refuse(param, fmt::format("{} has {} bytes, the limit of a URL is {}; a picture itself goes as "
                              "data:image/png;base64,...",
                              param, url.size(), kMaxUrlBytes));
  }
  PictureNote note;
  note.param = param;
  note.detail = detail;
  pictures_.push_back(std::move(note));
  content.images.emplace_back(url);
}

void ChatBuilder::check_max_pixels(std::int64_t max_pixels, const std::string& param) const {
  if (max_pixels >= limits_.picture_pixels) return;
  refuse(param,
         fmt::format("{} is {}, but every picture becomes one of {} pixels, which is what this "
                     "model was trained on: fewer would save nothing; leave it out",
                     param, max_pixels, limits_.picture_pixels),
         "unsupported_value");
}

void ChatBuilder::add_message(std::string role, MessageContent content, const std::string& param) {
  ChatMessage message;
  message.role = std::move(role);
  message.content = std::move(content.text);
  message.images = std::move(content.images);
  add(std::move(message), param);
}

void ChatBuilder::add_tool_call(std::string name, std::string arguments, const std::string& param) {
  // It is written as NAME "\n" ARGUMENTS: a line end in a name would let it speak as something
  // else.
  if (name.empty() || name.find('\n') != std::string::npos) {
    refuse(param, fmt::format("{} must call a tool by its name, is {}", param, quoted(name)));
  }
  ChatMessage message;
  message.role = "assistant";
  message.metadata = std::move(name);
  message.content = std::move(arguments);
  add(std::move(message), param);
}

void ChatBuilder::add(ChatMessage message, const std::string& param) {
  if (static_cast<std::int64_t>(messages_.size()) >= limits_.max_messages) {
    refuse(param, fmt::format("{} is one message (tool calls count) more than {}, the limit", param,
                              limits_.max_messages));
  }
  messages_.push_back(std::move(message));
}

void ChatBuilder::finish(GenerationRequest& request, const std::string& param) {
  if (messages_.empty()) refuse(param, fmt::format("{} must hold a message", param));
  request.messages = std::move(messages_);
  request.pictures = std::move(pictures_);
}

void read_chat_messages(const json::array& messages, const std::string& path, ReadNotes& notes,
                        ChatBuilder& chat) {
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const std::string message_path = fmt::format("{}[{}]", path, i);
    MessageReader(object_of(messages[i], message_path), message_path, notes, chat).read();
  }
}

}  // namespace cardloom::api
