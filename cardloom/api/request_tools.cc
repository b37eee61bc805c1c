#include "cardloom/api/request_tools.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <utility>

namespace cardloom::api {
namespace {

constexpr std::size_t kMaxNameBytes = 64;

bool is_name_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.';
}

std::string_view name_of(const json::value& tool) {
  return tool.get_object().at("function").get_object().at("name").get_string();
}

/// {"type": "function", "function": {"name": ...}}, as it stands in tool_choice.
std::string_view read_named(ObjectReader& reader) {
  const std::string path = reader.path_of("function");
  ObjectReader function(object_of(reader.require("function"), path), path, reader.notes());
  const std::string_view name = function.require_string("name");
  function.finish();
  return name;
}

void require_offered(const ToolList& tools, std::string_view name, const std::string& param) {
  if (tools.contains(name)) return;
  refuse(param, fmt::format("{} must name one of tools, is {}", param, quoted(name)));
}

void read_tool(const json::value& value, const std::string& path, ReadNotes& notes,
               ToolList& tools) {
  ObjectReader reader(object_of(value, path), path, notes);
  const std::string_view type = reader.require_string("type");
  if (type != "function") {
    const std::string param = reader.path_of("type");
    refuse(param, fmt::format("{} must be function, is {}", param, quoted(type)),
           "unsupported_tool");
  }
  reader.accept({"cache_control"});
  const std::string function_path = reader.path_of("function");
  ObjectReader function(object_of(reader.require("function"), function_path), function_path, notes);
  FunctionTool tool;
  tool.name = function.require_string("name");
  tool.description = function.string("description");
  tool.parameters = function.find("parameters");
  tool.strict = function.boolean("strict");
  tool.name_param = function.path_of("name");
  tool.parameters_param = function.path_of("parameters");
  function.finish();
  reader.finish();
  tools.add(tool);
}

ToolChoice::Kind read_mode(std::string_view mode, const std::string& param,
                           std::string_view wanted) {
  if (mode == "auto") return ToolChoice::Kind::kAuto;
  if (mode == "required") return ToolChoice::Kind::kRequired;
  refuse(param, fmt::format("{} must be {}, is {}", param, wanted, quoted(mode)));
}

/// {"mode": "auto" | "required", "tools": [{"type": "function", "function": {"name"}}]}
ToolChoice read_allowed(ObjectReader& choice, ToolList& tools) {
  const std::string path = choice.path_of("allowed_tools");
  ObjectReader reader(object_of(choice.require("allowed_tools"), path), path, choice.notes());
  ToolChoice answer;
  answer.kind =
      read_mode(reader.require_string("mode"), reader.path_of("mode"), "auto or required");
  const std::string list_path = reader.path_of("tools");
  const json::array& list = list_of(reader.require("tools"), list_path);
  std::set<std::string, std::less<>> names;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string entry_path = fmt::format("{}[{}]", list_path, i);
    ObjectReader entry(object_of(list[i], entry_path), entry_path, choice.notes());
    static_cast<void>(entry.string("type"));
    const std::string_view name = read_named(entry);
    entry.finish();
    require_offered(tools, name, entry_path + ".function.name");
    names.emplace(name);
  }
  if (names.empty()) refuse(list_path, fmt::format("{} must name a tool", list_path));
  reader.finish();
  tools.keep(names);
  return answer;
}

ToolChoice read_choice(const json::value& value, const std::string& path, ReadNotes& notes,
                       ToolList& tools) {
  ToolChoice choice;
  if (value.is_string()) {
    const std::string_view mode = value.get_string();
    if (mode == "none") {
      choice.kind = ToolChoice::Kind::kNone;
      return choice;
    }
    choice.kind = read_mode(mode, path, "none, auto, required or an object");
    if (choice.kind == ToolChoice::Kind::kRequired && tools.empty()) {
      refuse(path, fmt::format("{} is required, but there are no tools", path));
    }
    return choice;
  }
  if (!value.is_object()) {
    refuse(path, fmt::format("{} must be a string or an object, is {}", path, kind_of(value)));
  }
  ObjectReader reader(value.get_object(), path, notes);
  const std::string_view type = reader.require_string("type");
  if (type == "function") {
    choice.kind = ToolChoice::Kind::kNamed;
    choice.name = read_named(reader);
    require_offered(tools, choice.name, path + ".function.name");
  } else if (type == "allowed_tools") {
    choice = read_allowed(reader, tools);
  } else {
    const std::string param = reader.path_of("type");
    refuse(param, fmt::format("{} must be function or allowed_tools, is {}", param, quoted(type)));
  }
  reader.finish();
  return choice;
}

}  // namespace

void ToolList::add(const FunctionTool& tool) {
  if (tool.name.empty() || tool.name.size() > kMaxNameBytes ||
      !std::all_of(tool.name.begin(), tool.name.end(), is_name_byte)) {
    refuse(tool.name_param, fmt::format("{} must be 1 to {} of the characters a-z, A-Z, 0-9, _, - "
                                        "and ., is {}",
                                        tool.name_param, kMaxNameBytes, quoted(tool.name)));
  }
  if (static_cast<std::int64_t>(tools_.size()) >= limits_.max_tools) {
    refuse(tool.name_param, fmt::format("{} is tool {} of this request, the limit is {}",
                                        tool.name_param, tools_.size() + 1, limits_.max_tools));
  }
  if (!names_.emplace(tool.name).second) {
    refuse(tool.name_param, fmt::format("{} must be another than all names before it, is {}",
                                        tool.name_param, quoted(tool.name)));
  }
  json::object function;
  function["name"] = tool.name;
  if (tool.description) function["description"] = *tool.description;
  if (tool.parameters != nullptr) {
    check_schema(*tool.parameters, tool.parameters_param, limits_);
    function["parameters"] = object_of(*tool.parameters, tool.parameters_param);
  }
  if (tool.strict) function["strict"] = *tool.strict;
  tools_.push_back(json::object{{"type", "function"}, {"function", std::move(function)}});
}

void ToolList::keep(const std::set<std::string, std::less<>>& names) {
  const auto is_other = [&](const json::value& tool) { return names.count(name_of(tool)) == 0; };
  tools_.erase(std::remove_if(tools_.begin(), tools_.end(), is_other), tools_.end());
  names_ = names;
}

void check_schema(const json::value& schema, const std::string& param,
                  const RequestLimits& limits) {
  const std::size_t num_bytes = json::serialize(schema).size();
  if (num_bytes > static_cast<std::size_t>(limits.max_schema_bytes)) {
    refuse(param, fmt::format("{} has {} bytes, the limit is {}", param, num_bytes,
                              limits.max_schema_bytes));
  }
}

void read_tools(ObjectReader& reader, const RequestLimits& limits, GenerationRequest& request) {
  reader.refuse_fields({"functions", "function_call"},
                       "it is the old form of tools and tool_choice: use these");
  ToolList tools(limits);
  if (const json::array* list = reader.list("tools")) {
    for (std::size_t i = 0; i < list->size(); ++i) {
      read_tool((*list)[i], fmt::format("{}[{}]", reader.path_of("tools"), i), reader.notes(),
                tools);
    }
  }
  if (const json::value* choice = reader.find("tool_choice")) {
    request.tool_choice =
        read_choice(*choice, reader.path_of("tool_choice"), reader.notes(), tools);
  }
  request.parallel_tool_calls = reader.boolean("parallel_tool_calls").value_or(true);
  request.tools = tools.take();
}

}  // namespace cardloom::api
