#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <utility>

#include "cardloom/api/api.h"
#include "cardloom/api/chat_content.h"
#include "cardloom/api/field_reader.h"
#include "cardloom/api/output_format.h"
#include "cardloom/api/request_parser.h"
#include "cardloom/api/request_tools.h"
#include "cardloom/api/sampling_fields.h"

namespace cardloom::api {
namespace {

/// Hints for a cache that we need not be told of.
constexpr const char* kCacheControl = "cache_control";

/// Calls `read(block, type)` with each block of a list.
template <class Read>
void for_each_block(const json::array& blocks, const std::string& path, ReadNotes& notes,
                    Read read) {
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const std::string block_path = fmt::format("{}[{}]", path, i);
    ObjectReader block(object_of(blocks[i], block_path), block_path, notes);
    block.accept({kCacheControl});
    read(block, block.require_string("type"));
    block.finish();
  }
}

[[noreturn]] void refuse_block(const ObjectReader& block, std::string_view type,
                               std::string_view wanted) {
  const std::string param = block.path_of("type");
  refuse(param, fmt::format("{} must be {} here, is {}", param, wanted, quoted(type)),
         "unsupported_content_block");
}

std::string_view read_text(ObjectReader& block) {
  block.accept({"citations"});
  return block.require_string("text");
}

/// {"type": "base64", "media_type", "data"} or {"type": "url", "url"}.
void read_image(ObjectReader& block, MessageContent& content, ChatBuilder& chat) {
  const std::string path = block.path_of("source");
  ObjectReader source(object_of(block.require("source"), path), path, block.notes());
  const std::string_view type = source.require_string("type");
  if (type == "url") {
    chat.add_picture(content, source.require_string("url"), source.path_of("url"));
  } else if (type == "base64") {
    const std::string_view media_type = source.require_string("media_type");
    // It becomes a part of a URL.
    const bool is_image = media_type.substr(0, 6) == "image/" &&
                          media_type.find_first_of(",;") == std::string_view::npos;
    if (!is_image) {
      const std::string param = source.path_of("media_type");
      refuse(param, fmt::format("{} must be image/png, image/jpeg and the like, is {}", param,
                                quoted(media_type)));
    }
    const std::string_view data = source.require_string("data");
    if (data.empty()) {
      const std::string param = source.path_of("data");
      refuse(param, fmt::format("{} must not be empty", param));
    }
    chat.add_picture(content, fmt::format("data:{};base64,{}", media_type, data),
                     source.path_of("data"));
  } else {
    const std::string param = source.path_of("type");
    refuse(param, fmt::format("{} must be base64 or url, is {}: this server keeps no files", param,
                              quoted(type)));
  }
  source.finish();
}

/// The messages of one request, in GLM-4's order: a message for each tool call and tool result.
class TurnReader {
 public:
  TurnReader(ChatBuilder& chat, ReadNotes& notes) : chat_(chat), notes_(notes) {}

  void read_system(const json::value& value, const std::string& path) {
    MessageContent content;
    if (value.is_string()) {
      ChatBuilder::add_text(content, value.get_string());
    } else if (value.is_array()) {
      for_each_block(value.get_array(), path, notes_,
                     [&](ObjectReader& block, std::string_view type) {
                       if (type != "text") refuse_block(block, type, "text");
                       ChatBuilder::add_text(content, read_text(block));
                     });
    } else {
      refuse(path, fmt::format("{} must be a string or a list of text blocks, is {}", path,
                               kind_of(value)));
    }
    if (!content.text.empty()) chat_.add_message("system", std::move(content), path);
  }

  /// Returns whether the assistant has the last word.
  bool read(const json::array& messages) {
    bool ends_open = false;
    for (std::size_t i = 0; i < messages.size(); ++i) {
      const std::string path = fmt::format("messages[{}]", i);
      ObjectReader message(object_of(messages[i], path), path, notes_);
      const std::string_view role = message.require_string("role");
      const json::value& content = message.require("content");
      message.finish();
      ends_open = role == "assistant";
      if (role == "user") {
        read_turn(content, path, "user");
      } else if (role == "assistant") {
        read_turn(content, path, "assistant");
      } else if (role == "system") {
        read_system(content, message.path_of("content"));
      } else {
        const std::string param = message.path_of("role");
        refuse(param,
               fmt::format("{} must be user, assistant or system, is {}", param, quoted(role)));
      }
    }
    if (ends_open && calls_last_) {
      const std::string param = fmt::format("messages[{}].content", messages.size() - 1);
      refuse(param, fmt::format("{} ends with a tool_use block: a user message with its "
                                "tool_result must follow",
                                param));
    }
    return ends_open && says_;
  }

 private:
  void read_turn(const json::value& value, const std::string& path, const char* role) {
    role_ = role;
    path_ = path;
    calls_last_ = says_ = false;
    content_ = {};
    const std::string content_path = path + ".content";
    if (value.is_string()) {
      ChatBuilder::add_text(content_, value.get_string());
    } else if (value.is_array()) {
      const bool is_user = role_ == "user";
      for_each_block(value.get_array(), content_path, notes_,
                     [&](ObjectReader& block, std::string_view type) {
                       if (is_user) {
                         read_user_block(block, type);
                       } else {
                         read_assistant_block(block, type);
                       }
                     });
    } else {
      refuse(content_path, fmt::format("{} must be a string or a list of blocks, is {}",
                                       content_path, kind_of(value)));
    }
    flush();
  }

  void read_user_block(ObjectReader& block, std::string_view type) {
    if (type == "text") {
      ChatBuilder::add_text(content_, read_text(block));
    } else if (type == "image") {
      read_image(block, content_, chat_);
    } else if (type == "tool_result") {
      read_tool_result(block);
    } else {
      refuse_block(block, type, "text, image or tool_result");
    }
  }

  void read_assistant_block(ObjectReader& block, std::string_view type) {
    calls_last_ = false;
    if (type == "text") {
      ChatBuilder::add_text(content_, read_text(block));
    } else if (type == "tool_use") {
      flush();
      block.accept({"id", "caller", "toolset_name"});
      const std::string path = block.path_of("input");
      const json::object& input = object_of(block.require("input"), path);
      chat_.add_tool_call(std::string(block.require_string("name")), boost::json::serialize(input),
                          block.path_of("name"));
      calls_last_ = true;
    } else if (type == "thinking" || type == "redacted_thinking") {
      // What another model thought; Anthropic's own server leaves out that of turns gone by, too.
      block.accept({"thinking", "signature", "data"});
    } else {
      refuse_block(block, type, "text or tool_use");
    }
  }

  void read_tool_result(ObjectReader& block) {
    flush();
    // GLM-4's results have no number: they stand in the order of the calls.
    static_cast<void>(block.require_string("tool_use_id"));
    block.accept({"is_error", "toolset_name"});
    MessageContent result;
    if (const json::value* value = block.find("content")) {
      const std::string path = block.path_of("content");
      if (value->is_string()) {
        ChatBuilder::add_text(result, value->get_string());
      } else {
        for_each_block(list_of(*value, path), path, notes_,
                       [&](ObjectReader& part, std::string_view type) {
                         if (type == "text") {
                           ChatBuilder::add_text(result, read_text(part));
                         } else if (type == "image") {
                           read_image(part, result, chat_);
                         } else {
                           refuse_block(part, type, "text or image");
                         }
                       });
      }
    }
    chat_.add_message("observation", std::move(result), block.path_of("content"));
  }

  /// What was gathered of the turn becomes a message.
  void flush() {
    MessageContent content = std::exchange(content_, {});
    if (content.text.empty() && content.images.empty()) return;
    says_ = true;
    chat_.add_message(std::string(role_), std::move(content), path_);
  }

  ChatBuilder& chat_;
  ReadNotes& notes_;
  std::string_view role_;
  std::string path_;
  MessageContent content_;
  bool calls_last_ = false;  ///< the turn's last block is a tool_use
  bool says_ = false;        ///< there was text or a picture in the turn
};

void read_tool(const json::value& value, const std::string& path, ReadNotes& notes,
               ToolList& tools) {
  ObjectReader reader(object_of(value, path), path, notes);
  const std::string_view type = reader.string("type").value_or("custom");
  if (type != "custom") {
    const std::string param = reader.path_of("type");
    refuse(param,
           fmt::format("{} must be custom, is {}: this server runs no tools of its own", param,
                       quoted(type)),
           "unsupported_tool");
  }
  reader.accept({kCacheControl, "allowed_callers", "defer_loading", "eager_input_streaming",
                 "input_examples"});
  FunctionTool tool;
  tool.name = reader.require_string("name");
  tool.description = reader.string("description");
  tool.parameters = &reader.require("input_schema");
  tool.strict = reader.boolean("strict");
  tool.name_param = reader.path_of("name");
  tool.parameters_param = reader.path_of("input_schema");
  reader.finish();
  tools.add(tool);
}

void read_choice(const json::value& value, const std::string& path, ReadNotes& notes,
                 const ToolList& tools, GenerationRequest& request) {
  ObjectReader reader(object_of(value, path), path, notes);
  const std::string_view type = reader.require_string("type");
  ToolChoice& choice = request.tool_choice;
  if (type == "none") {
    choice.kind = ToolChoice::Kind::kNone;
  } else if (type == "any") {
    choice.kind = ToolChoice::Kind::kRequired;
    if (tools.empty()) refuse(path, fmt::format("{} is any, but there are no tools", path));
  } else if (type == "tool") {
    choice.kind = ToolChoice::Kind::kNamed;
    choice.name = reader.require_string("name");
    if (!tools.contains(choice.name)) {
      const std::string param = reader.path_of("name");
      refuse(param, fmt::format("{} must name one of tools, is {}", param, quoted(choice.name)));
    }
  } else if (type != "auto") {
    const std::string param = reader.path_of("type");
    refuse(param, fmt::format("{} must be auto, any, tool or none, is {}", param, quoted(type)));
  }
  request.parallel_tool_calls = !reader.boolean("disable_parallel_tool_use").value_or(false);
  reader.finish();
}

void read_tool_fields(ObjectReader& reader, const RequestLimits& limits,
                      GenerationRequest& request) {
  ToolList tools(limits);
  if (const json::array* list = reader.list("tools")) {
    for (std::size_t i = 0; i < list->size(); ++i) {
      read_tool((*list)[i], fmt::format("tools[{}]", i), reader.notes(), tools);
    }
  }
  if (const json::value* choice = reader.find("tool_choice")) {
    read_choice(*choice, "tool_choice", reader.notes(), tools, request);
  }
  request.tools = tools.take();
}

/// `output_config`: {"effort", "format": {"type": "json_schema", "schema"}}.
void read_output_config(ObjectReader& reader, const RequestLimits& limits,
                        GenerationRequest& request) {
  const json::object* object = reader.object("output_config");
  if (object == nullptr) return;
  ObjectReader config(*object, "output_config", reader.notes());
  config.ignore({"effort"});
  if (const json::object* format_object = config.object("format")) {
    ObjectReader format(*format_object, config.path_of("format"), reader.notes());
    const std::string_view type = format.require_string("type");
    if (type != "json_schema") {
      const std::string param = format.path_of("type");
      refuse(param, fmt::format("{} must be json_schema, is {}", param, quoted(type)));
    }
    request.format.kind = OutputFormat::Kind::kJsonSchema;
    request.format.param = format.path_of("schema");
    request.format.schema = object_of(format.require("schema"), request.format.param);
    check_schema(request.format.schema, request.format.param, limits);
    format.finish();
    require_no_forced_call(request);
  }
  config.finish();
}

void read_thinking(ObjectReader& reader) {
  const json::object* object = reader.object("thinking");
  if (object == nullptr) return;
  ObjectReader thinking(*object, "thinking", reader.notes());
  const std::string_view type = thinking.require_string("type");
  if (type != "disabled") {
    refuse("thinking.type",
           fmt::format("thinking.type must be disabled, is {}: this model does not think in "
                       "words of its own; leave thinking out",
                       quoted(type)),
           "unsupported_value");
  }
  thinking.finish();
}

void read_turns(ObjectReader& reader, const RequestLimits& limits, GenerationRequest& request) {
  ChatBuilder chat(limits);
  TurnReader turns(chat, reader.notes());
  if (const json::value* system = reader.find("system")) turns.read_system(*system, "system");
  const json::array& messages = list_of(reader.require("messages"), "messages");
  const bool ends_open = turns.read(messages);
  request.add_generation_prompt = !ends_open;
  request.continue_final_message = ends_open;
  chat.finish(request, "messages");
}

void read_numbers(ObjectReader& reader, const RequestLimits& limits, bool counting,
                  GenerationRequest& request) {
  if (!counting) static_cast<void>(reader.require("max_tokens"));
  read_max_tokens(reader, {"max_tokens"}, 0, limits, request);
  request.sampling.temperature = reader.real("temperature", "messages:temperature").value_or(1);
  request.sampling.top_p = reader.real("top_p").value_or(1);
  request.sampling.top_k = std::max<std::int64_t>(0, reader.integer("top_k").value_or(0));
}

}  // namespace

ParsedRequest parse_messages(std::string_view body, const RequestLimits& limits, bool counting) {
  return parse_body(body, limits, [&](ObjectReader& reader, GenerationRequest& request) {
    request.model = reader.string("model").value_or("");
    read_turns(reader, limits, request);
    read_tool_fields(reader, limits, request);
    read_output_config(reader, limits, request);
    read_thinking(reader);
    read_numbers(reader, limits, counting, request);
    read_stop_strings(reader, "stop_sequences", limits, request);
    request.stream = reader.boolean("stream").value_or(false);
    read_extensions(reader, request);
    reader.accept({"metadata", kCacheControl, "service_tier", "diagnostics", "user_profile_id",
                   "workspace_id"});
    reader.ignore({"inference_geo", "speed"});
    reader.refuse_fields({"container", "mcp_servers", "context_management"},
                         "this server keeps nothing between requests and runs no tools: leave it "
                         "out");
  });
}

}  // namespace cardloom::api
