#include <fmt/format.h>

#include <set>
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

constexpr const char* kKeepsNothing =
    "this server keeps nothing between requests: send the whole conversation as input";

// OpenAI's own bounds.
constexpr std::size_t kMaxMetadata = 16;
constexpr std::size_t kMaxMetadataKeyBytes = 64;
constexpr std::size_t kMaxMetadataValueBytes = 512;

void accept_cache_hints(ObjectReader& reader) { reader.accept({"prompt_cache_breakpoint"}); }

/// `input`: a string, or a list of items.
class InputReader {
 public:
  InputReader(ChatBuilder& chat, ReadNotes& notes) : chat_(chat), notes_(notes) {}

  void read(const json::value& value) {
    if (value.is_string()) {
      MessageContent content;
      ChatBuilder::add_text(content, value.get_string());
      return chat_.add_message("user", std::move(content), "input");
    }
    if (!value.is_array()) {
      refuse("input",
             fmt::format("input must be a string or a list of items, is {}", kind_of(value)));
    }
    const json::array& items = value.get_array();
    if (items.empty()) refuse("input", "input must hold an item");
    for (std::size_t i = 0; i < items.size(); ++i) {
      const std::string path = fmt::format("input[{}]", i);
      ObjectReader item(object_of(items[i], path), path, notes_);
      read_item(item, path);
    }
  }

 private:
  void read_item(ObjectReader& item, const std::string& path) {
    item.accept({"id", "status"});
    const std::string_view type = item.string("type").value_or("message");
    if (type == "message") {
      read_message(item, path);
    } else if (type == "function_call") {
      static_cast<void>(item.string("call_id"));
      item.accept({"caller", "namespace", "created_by"});
      std::string name(item.require_string("name"));
      chat_.add_tool_call(std::move(name), std::string(item.require_string("arguments")), path);
    } else if (type == "function_call_output") {
      // GLM-4's results have no number: they stand in the order of the calls.
      static_cast<void>(item.require_string("call_id"));
      item.accept({"caller", "created_by"});
      chat_.add_message("observation", read_content(item, "output", true), path);
    } else if (type == "reasoning") {
      // What another model thought; this one was not taught to read it.
      item.accept({"summary", "content", "encrypted_content"});
    } else if (type == "item_reference") {
      refuse(path,
             fmt::format("{} is an item_reference, but this server keeps nothing between requests: "
                         "send the item itself. Clients do that if told not to rely on the "
                         "server's store: \"store\": false, in Vercel's AI SDK "
                         "providerOptions: {{ openai: {{ store: false }} }}",
                         path),
             "unsupported_item");
    } else {
      const std::string param = item.path_of("type");
      refuse(param,
             fmt::format("{} must be message, function_call or function_call_output, is {}", param,
                         quoted(type)),
             "unsupported_item");
    }
    item.finish();
  }

  void read_message(ObjectReader& item, const std::string& path) {
    item.accept({"phase"});
    const std::string_view role = item.require_string("role");
    if (role == "user") {
      chat_.add_message("user", read_content(item, "content", true), path);
    } else if (role == "assistant") {
      chat_.add_message("assistant", read_content(item, "content", false), path);
    } else if (role == "system" || role == "developer") {
      chat_.add_message("system", read_content(item, "content", false), path);
    } else {
      const std::string param = item.path_of("role");
      refuse(param, fmt::format("{} must be user, assistant, system or developer, is {}", param,
                                quoted(role)));
    }
  }

  MessageContent read_content(ObjectReader& item, const char* name, bool may_have_pictures) {
    return api::read_content(item.require(name), item.path_of(name), notes_,
                             [&](ObjectReader& part, MessageContent& content) {
                               accept_cache_hints(part);
                               read_part(part, content, may_have_pictures);
                             });
  }

  void read_part(ObjectReader& part, MessageContent& content, bool may_have_pictures) {
    const std::string_view type = part.require_string("type");
    if (type == "input_text" || type == "output_text") {
      part.accept({"annotations", "logprobs"});
      return ChatBuilder::add_text(content, part.require_string("text"));
    }
    if (type == "refusal") return ChatBuilder::add_text(content, part.require_string("refusal"));
    const std::string param = part.path_of("type");
    if (type != "input_image") {
      refuse(param,
             fmt::format("{} must be input_text, input_image or output_text, is {}: this model "
                         "reads text and pictures",
                         param, quoted(type)),
             "unsupported_content_part");
    }
    if (!may_have_pictures) {
      refuse(param, fmt::format("{} is input_image, but pictures belong to users and to outputs "
                                "of functions",
                                param));
    }
    part.refuse_fields({"file_id"}, "this server keeps no files: send the picture as image_url");
    const std::string_view url = part.require_string("image_url");
    std::string_view detail = part.string("detail").value_or("auto");
    if (detail == "original") detail = "high";
    chat_.add_picture(content, url, part.path_of("image_url"), detail, part.path_of("detail"));
  }

  ChatBuilder& chat_;
  ReadNotes& notes_;
};

/// Tools and the choice among them; both are echoed.
class ToolReader {
 public:
  ToolReader(GenerationRequest& request, ReadNotes& notes, const RequestLimits& limits)
      : request_(request), notes_(notes), tools_(limits) {}

  void read(ObjectReader& reader) {
    if (const json::array* list = reader.list("tools")) {
      json::array echoed;
      for (std::size_t i = 0; i < list->size(); ++i) {
        echoed.push_back(read_tool((*list)[i], fmt::format("tools[{}]", i)));
      }
      request_.echoed_fields["tools"] = std::move(echoed);
    }
    if (const json::value* choice = reader.find("tool_choice")) {
      read_choice(*choice);
      request_.echoed_fields["tool_choice"] = *choice;
    }
    request_.parallel_tool_calls = reader.boolean("parallel_tool_calls").value_or(true);
    request_.echoed_fields["parallel_tool_calls"] = request_.parallel_tool_calls;
    request_.tools = tools_.take();
  }

 private:
  json::object read_tool(const json::value& value, const std::string& path) {
    ObjectReader reader(object_of(value, path), path, notes_);
    const std::string_view type = reader.require_string("type");
    if (type != "function") {
      const std::string param = reader.path_of("type");
      refuse(param,
             fmt::format("{} must be function, is {}: this server runs no tools of its own", param,
                         quoted(type)),
             "unsupported_tool");
    }
    reader.accept({"allowed_callers", "defer_loading", "output_schema"});
    FunctionTool tool;
    tool.name = reader.require_string("name");
    tool.description = reader.string("description");
    tool.parameters = reader.find("parameters");
    tool.strict = reader.boolean("strict");
    tool.name_param = reader.path_of("name");
    tool.parameters_param = reader.path_of("parameters");
    reader.finish();
    tools_.add(tool);

    json::object echoed = {{"type", "function"}, {"name", tool.name}};
    echoed["description"] = tool.description ? json::value(*tool.description) : json::value();
    echoed["parameters"] = tool.parameters != nullptr ? *tool.parameters : json::value();
    echoed["strict"] = tool.strict.value_or(false);
    return echoed;
  }

  void read_choice(const json::value& value) {
    ToolChoice& choice = request_.tool_choice;
    if (value.is_string()) return read_mode(value.get_string(), "tool_choice", true);
    if (!value.is_object()) {
      refuse("tool_choice",
             fmt::format("tool_choice must be a string or an object, is {}", kind_of(value)));
    }
    ObjectReader reader(value.get_object(), "tool_choice", notes_);
    const std::string_view type = reader.require_string("type");
    if (type == "function") {
      choice.kind = ToolChoice::Kind::kNamed;
      choice.name = read_offered(reader);
    } else if (type == "allowed_tools") {
      read_mode(reader.require_string("mode"), "tool_choice.mode", false);
      read_allowed(list_of(reader.require("tools"), "tool_choice.tools"));
    } else {
      refuse("tool_choice.type",
             fmt::format("tool_choice.type must be function or allowed_tools, is {}", quoted(type)),
             "unsupported_value");
    }
    reader.finish();
  }

  void read_mode(std::string_view mode, const std::string& param, bool or_none) {
    ToolChoice& choice = request_.tool_choice;
    if (mode == "required") {
      choice.kind = ToolChoice::Kind::kRequired;
      if (tools_.empty()) {
        refuse(param, fmt::format("{} is required, but there are no tools", param));
      }
    } else if (mode == "none" && or_none) {
      choice.kind = ToolChoice::Kind::kNone;
    } else if (mode != "auto") {
      refuse(param, fmt::format("{} must be {}auto or required, is {}", param,
                                or_none ? "none, " : "", quoted(mode)));
    }
  }

  std::string read_offered(ObjectReader& reader) {
    std::string name(reader.require_string("name"));
    if (!tools_.contains(name)) {
      const std::string param = reader.path_of("name");
      refuse(param, fmt::format("{} must name one of tools, is {}", param, quoted(name)));
    }
    return name;
  }

  void read_allowed(const json::array& list) {
    std::set<std::string, std::less<>> names;
    for (std::size_t i = 0; i < list.size(); ++i) {
      const std::string path = fmt::format("tool_choice.tools[{}]", i);
      ObjectReader entry(object_of(list[i], path), path, notes_);
      entry.accept({"type"});
      names.insert(read_offered(entry));
      entry.finish();
    }
    if (names.empty()) refuse("tool_choice.tools", "tool_choice.tools must name a tool");
    tools_.keep(names);
  }

  GenerationRequest& request_;
  ReadNotes& notes_;
  ToolList tools_;
};

/// `text`: {"format": {"type": "text" | "json_object" | "json_schema", ...}, "verbosity"}.
void read_text(ObjectReader& reader, const RequestLimits& limits, GenerationRequest& request) {
  const json::object* object = reader.object("text");
  if (object == nullptr) return;
  ObjectReader text(*object, "text", reader.notes());
  text.ignore({"verbosity"});
  const json::object* format_object = text.object("format");
  text.finish();
  if (format_object == nullptr) return;
  ObjectReader format(*format_object, "text.format", reader.notes());
  const std::string_view type = format.require_string("type");
  OutputFormat& output = request.format;
  if (type == "json_object") {
    output.kind = OutputFormat::Kind::kJsonObject;
    output.param = "text.format";
  } else if (type == "json_schema") {
    read_json_schema_format(format, limits, output);
  } else if (type != "text") {
    refuse("text.format.type",
           fmt::format("text.format.type must be text, json_object or json_schema, is {}",
                       quoted(type)));
  }
  format.finish();
  require_no_forced_call(request);
  request.echoed_fields["text"] = {{"format", *format_object}};
}

void read_metadata(ObjectReader& reader, GenerationRequest& request) {
  const json::object* metadata = reader.object("metadata");
  if (metadata == nullptr) return;
  if (metadata->size() > kMaxMetadata) {
    refuse("metadata",
           fmt::format("metadata has {} pairs, the limit is {}", metadata->size(), kMaxMetadata));
  }
  for (const auto& pair : *metadata) {
    if (pair.key().size() > kMaxMetadataKeyBytes) {
      refuse("metadata", fmt::format("metadata has a key of {} bytes, the limit is {}",
                                     pair.key().size(), kMaxMetadataKeyBytes));
    }
    const std::string param = fmt::format("metadata.{}", std::string_view(pair.key()));
    const std::size_t num_bytes = string_of(pair.value(), param).size();
    if (num_bytes > kMaxMetadataValueBytes) {
      refuse(param, fmt::format("{} has {} bytes, the limit is {}", param, num_bytes,
                                kMaxMetadataValueBytes));
    }
  }
  request.echoed_fields["metadata"] = *metadata;
}

/// `include` and `top_logprobs`: either asks for log probabilities.
void read_logprobs(ObjectReader& reader, GenerationRequest& request) {
  bool is_wanted = false;
  if (const json::array* include = reader.list("include")) {
    for (std::size_t i = 0; i < include->size(); ++i) {
      const std::string param = fmt::format("include[{}]", i);
      const std::string_view what = string_of((*include)[i], param);
      if (what == "message.output_text.logprobs") {
        is_wanted = true;
      } else {
        note_ignored(reader.notes(), param);  // of tools and reasoning that are not there
      }
    }
  }
  const std::int64_t num_top = reader.integer("top_logprobs").value_or(0);
  if (is_wanted || num_top > 0) request.sampling.num_logprobs = num_top;
  request.echoed_fields["top_logprobs"] = num_top;
}

/// What would need a memory from one request to the next.
void refuse_state(ObjectReader& reader) {
  reader.refuse_fields({"previous_response_id", "conversation", "prompt"}, kKeepsNothing);
  for (const char* name : {"store", "background"}) {
    if (reader.boolean(name).value_or(false)) {
      refuse(name,
             fmt::format("{} must be false or left out, is true: this server keeps nothing "
                         "between requests",
                         name),
             "unsupported_value");
    }
  }
  const std::string_view truncation = reader.string("truncation").value_or("disabled");
  if (truncation != "disabled") {
    refuse("truncation",
           fmt::format("truncation must be disabled, is {}: leave out old items yourself, this "
                       "server never drops any",
                       quoted(truncation)),
           "unsupported_value");
  }
}

void read_numbers(ObjectReader& reader, const RequestLimits& limits, GenerationRequest& request) {
  read_max_tokens(reader, {"max_output_tokens"}, 0, limits, request);
  if (request.max_tokens > 0) request.echoed_fields["max_output_tokens"] = request.max_tokens;
  read_sampling(reader, limits, request);
  request.echoed_fields["temperature"] = request.sampling.temperature;
  request.echoed_fields["top_p"] = request.sampling.top_p;
  read_logprobs(reader, request);
}

void read_conversation(ObjectReader& reader, const RequestLimits& limits,
                       GenerationRequest& request) {
  ChatBuilder chat(limits);
  const std::string_view instructions = reader.string("instructions").value_or("");
  if (!instructions.empty()) {
    MessageContent content;
    ChatBuilder::add_text(content, instructions);
    chat.add_message("system", std::move(content), "instructions");
    request.echoed_fields["instructions"] = instructions;
  }
  InputReader(chat, reader.notes()).read(reader.require("input"));
  chat.finish(request, "input");
}

}  // namespace

ParsedRequest parse_responses(std::string_view body, const RequestLimits& limits) {
  return parse_body(body, limits, [&](ObjectReader& reader, GenerationRequest& request) {
    request.model = reader.string("model").value_or("");
    refuse_state(reader);
    read_conversation(reader, limits, request);
    ToolReader(request, reader.notes(), limits).read(reader);
    read_text(reader, limits, request);
    read_numbers(reader, limits, request);
    read_metadata(reader, request);
    read_stream(reader, request);
    read_service_tier(reader, request);
    read_extensions(reader, request);
    if (const auto user = reader.string("user")) request.echoed_fields["user"] = *user;
    reader.accept({"safety_identifier", "prompt_cache_key", "prompt_cache_options",
                   "prompt_cache_retention", "max_tool_calls"});
    reader.ignore({"reasoning", "moderation", "context_management"});
  });
}

}  // namespace cardloom::api
