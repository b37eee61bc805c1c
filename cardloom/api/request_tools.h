#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "cardloom/api/field_reader.h"
#include "cardloom/api/generation_request.h"

namespace cardloom::api {

/// One function a model is offered, and where its parts stood in the request.
struct FunctionTool {
  std::string_view name;
  std::optional<std::string_view> description{};
  const json::value* parameters = nullptr;  ///< a JSON Schema; null: none
  std::optional<bool> strict{};
  std::string name_param;
  std::string parameters_param;
};

/// Gathers the tools of a request in OpenAI's form, {"type": "function", "function": {...}}.
/// Every member throws Refusal.
class ToolList {
 public:
  explicit ToolList(const RequestLimits& limits) : limits_(limits) {}

  /// A name has 1 to 64 of a-z, A-Z, 0-9, _, -, and . and stands once; parameters are an object of
  /// at most max_schema_bytes.
  void add(const FunctionTool& tool);
  [[nodiscard]] bool contains(std::string_view name) const { return names_.count(name) != 0; }
  [[nodiscard]] bool empty() const { return tools_.empty(); }
  /// Only these from here on.
  void keep(const std::set<std::string, std::less<>>& names);
  [[nodiscard]] json::array take() { return std::move(tools_); }

 private:
  const RequestLimits& limits_;
  json::array tools_;
  std::set<std::string, std::less<>> names_;
};

/// Throws Refusal if the text of `schema` is beyond max_schema_bytes.
void check_schema(const json::value& schema, const std::string& param, const RequestLimits& limits);

/// Reads OpenAI's `tools`, `tool_choice` (none, auto, required, a named function, allowed_tools)
/// and `parallel_tool_calls` of the chat API. The old `functions` and `function_call` are refused.
void read_tools(ObjectReader& reader, const RequestLimits& limits, GenerationRequest& request);

}  // namespace cardloom::api
