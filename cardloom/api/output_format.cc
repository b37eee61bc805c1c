#include "cardloom/api/output_format.h"

#include <fmt/format.h>

#include "cardloom/api/request_json.h"
#include "cardloom/api/request_tools.h"

namespace cardloom::api {
namespace {

using Kind = OutputFormat::Kind;

void read_schema(const json::value& schema, const std::string& path, const RequestLimits& limits,
                 OutputFormat& format) {
  // true and false are schemas, too.
  if (!schema.is_object() && !schema.is_bool()) {
    refuse(path, fmt::format("{} must be a JSON Schema, an object, is {}", path, kind_of(schema)));
  }
  check_schema(schema, path, limits);
  format.kind = Kind::kJsonSchema;
  format.schema = schema;
  format.param = path;
}

OutputFormat read_response_format(const json::object& object, const std::string& path,
                                  ReadNotes& notes, const RequestLimits& limits) {
  OutputFormat format;
  format.param = path;
  ObjectReader reader(object, path, notes);
  const std::string_view type = reader.require_string("type");
  if (type == "json_object") {
    format.kind = Kind::kJsonObject;
    // llama.cpp's form.
    if (const json::value* schema = reader.find("schema")) {
      read_schema(*schema, reader.path_of("schema"), limits, format);
    }
  } else if (type == "json_schema") {
    const std::string schema_path = reader.path_of("json_schema");
    ObjectReader schema(object_of(reader.require("json_schema"), schema_path), schema_path, notes);
    read_json_schema_format(schema, limits, format);
    schema.finish();
  } else if (type != "text") {
    const std::string param = reader.path_of("type");
    refuse(param,
           fmt::format("{} must be text, json_object or json_schema, is {}", param, quoted(type)));
  }
  reader.finish();
  return format;
}

void require_bytes(std::size_t num_bytes, const std::string& path, const RequestLimits& limits) {
  if (num_bytes <= static_cast<std::size_t>(limits.max_schema_bytes)) return;
  refuse(path,
         fmt::format("{} has {} bytes, the limit is {}", path, num_bytes, limits.max_schema_bytes));
}

void read_choices(const json::array& list, const std::string& path, const RequestLimits& limits,
                  OutputFormat& format) {
  format.kind = Kind::kChoice;
  format.param = path;
  if (list.empty()) refuse(path, fmt::format("{} must hold a text", path));
  std::size_t num_bytes = 0;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string entry_path = fmt::format("{}[{}]", path, i);
    const std::string_view text = string_of(list[i], entry_path);
    if (text.empty()) refuse(entry_path, fmt::format("{} must not be empty", entry_path));
    num_bytes += text.size();
    require_bytes(num_bytes, path, limits);
    format.choices.emplace_back(text);
  }
}

OutputFormat read_structured_outputs(const json::object& object, const std::string& path,
                                     ReadNotes& notes, const RequestLimits& limits) {
  OutputFormat format;
  ObjectReader reader(object, path, notes);
  reader.refuse_fields({"grammar", "structural_tag"}, "use json, choice or regex");
  int num_kinds = 0;
  if (const json::value* schema = reader.find("json")) {
    ++num_kinds;
    const std::string schema_path = reader.path_of("json");
    const bool is_text = schema->is_string();
    if (is_text) require_bytes(schema->get_string().size(), schema_path, limits);
    read_schema(is_text ? parse_request_json(schema->get_string(), schema_path) : *schema,
                schema_path, limits, format);
  }
  if (reader.boolean("json_object").value_or(false)) {
    ++num_kinds;
    format.kind = Kind::kJsonObject;
    format.param = reader.path_of("json_object");
  }
  if (const json::array* choices = reader.list("choice")) {
    ++num_kinds;
    read_choices(*choices, reader.path_of("choice"), limits, format);
  }
  if (const std::optional<std::string_view> regex = reader.string("regex")) {
    ++num_kinds;
    format.kind = Kind::kRegex;
    format.param = reader.path_of("regex");
    require_bytes(regex->size(), format.param, limits);
    format.regex = *regex;
  }
  reader.finish();
  if (num_kinds != 1) {
    refuse(path, fmt::format("{} must hold one of json, choice, regex and json_object, holds {}",
                             path, num_kinds));
  }
  return format;
}

}  // namespace

void read_json_schema_format(ObjectReader& reader, const RequestLimits& limits,
                             OutputFormat& format) {
  static_cast<void>(reader.require_string("name"));
  static_cast<void>(reader.string("description"));
  // Always strict: what cannot be honoured is refused.
  static_cast<void>(reader.boolean("strict"));
  format.kind = Kind::kJsonObject;
  format.param = reader.path_of("schema");
  if (const json::value* schema = reader.find("schema")) {
    read_schema(*schema, format.param, limits, format);
  }
}

void read_output_format(ObjectReader& reader, const RequestLimits& limits,
                        GenerationRequest& request) {
  reader.refuse_fields({"guided_json", "guided_regex", "guided_choice", "guided_grammar", "regex",
                        "grammar", "ebnf", "json_schema"},
                       R"(use "structured_outputs": {"json": ..., "choice": ... or "regex": ...})");
  if (const json::object* object = reader.object("response_format")) {
    request.format = read_response_format(*object, "response_format", reader.notes(), limits);
  }
  if (const json::object* object = reader.object("structured_outputs")) {
    const std::string path = reader.path_of("structured_outputs");
    if (request.format.kind != Kind::kText) {
      refuse(path, fmt::format("{} and response_format exclude each other: give one", path));
    }
    request.format = read_structured_outputs(*object, path, reader.notes(), limits);
  }
  require_no_forced_call(request);
}

void require_no_forced_call(const GenerationRequest& request) {
  const bool must_call = request.tool_choice.kind == ToolChoice::Kind::kRequired ||
                         request.tool_choice.kind == ToolChoice::Kind::kNamed;
  if (must_call && request.format.kind != Kind::kText) {
    refuse(request.format.param, fmt::format("{} cannot be honoured by an answer that must call a "
                                             "tool: use tool_choice auto or none",
                                             request.format.param));
  }
}

}  // namespace cardloom::api
