#pragma once

#include <string>
#include <string_view>

#include "cardloom/models/chat.h"

namespace cardloom {

/// The text of a system turn that offers `tools` (OpenAI's list; of type "function", or one of
/// GLM-4's own: "python", "simple_browser", "cogview") to a model of `style`.
///
/// `path` names the list in errors ("messages[0].tools"). Returns kInvalidArgument, naming the
/// field, if a tool is no object, lacks a type, function or name, or its type is another: glm-4v's
/// code refuses that too; glm-4's template would say nothing of it, and the caller would wonder why
/// the model never uses the tool. kResourceExhausted beyond 4 MiB of text.
Result<std::string> render_tools(const json::array& tools, ChatStyle style, std::string_view path);

}  // namespace cardloom
