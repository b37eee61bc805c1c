// Nasty chats, each with its exact answer: messages, pictures, tools and formats.
#include "cardloom/api/test_requests.h"

namespace cardloom::api {
namespace {

TEST(ChatRefusals, Messages) {
  const std::string user = R"({"role":"user","content":"hi"})";
  expect_refusals({
      {kChat, "{}", 400, "messages", "", "messages is required, but is not there"},
      {kChat, R"({"messages":null})", 400, "messages", "", "messages is required, but is null"},
      {kChat, R"({"messages":"hi"})", 400, "messages", "", "must be a list, is a string"},
      {kChat, R"({"messages":[]})", 400, "messages", "", "messages must hold a message"},
      {kChat, messages("3"), 400, "messages[0]", "", "must be an object, is a number"},
      {kChat, messages("{}"), 400, "messages[0].role", "", "is required"},
      {kChat, messages(R"({"role":1})"), 400, "messages[0].role", "", "a string, is a number"},
      {kChat, messages(R"({"role":"robot","content":""})"), 400, "messages[0].role", "",
       "developer, system, user, assistant or tool, is \"robot\""},
      {kChat, messages(R"({"role":"function","name":"f","content":""})"), 400, "messages[0].role",
       "", "give a function's result as role tool"},
      {kChat, messages(R"({"role":"user"})"), 400, "messages[0].content", "", "is not there"},
      {kChat, messages(R"({"role":"user","content":null})"), 400, "messages[0].content", "",
       "is null"},
      {kChat, messages(R"({"role":"user","content":{}})"), 400, "messages[0].content", "",
       "must be a string or a list of parts, is an object"},
      {kChat, messages(R"({"role":"assistant","content":null})"), 400, "messages[0].content", "",
       "required of an assistant without tool_calls"},
      {kChat, messages(R"({"role":"assistant","tool_calls":[]})"), 400, "messages[0].content", "",
       "required"},
      {kChat, messages(R"({"role":"assistant","tool_calls":{}})"), 400, "messages[0].tool_calls",
       "", "must be a list, is an object"},
      {kChat, messages(R"({"role":"assistant","tool_calls":[{"type":"custom","custom":{}}]})"), 400,
       "messages[0].tool_calls[0].type", "", "must be function, is \"custom\""},
      {kChat, messages(R"({"role":"assistant","tool_calls":[{"function":{"name":"f"}}]})"), 400,
       "messages[0].tool_calls[0].function.arguments", "", "is required"},
      {kChat,
       messages(R"({"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":{}}}]})"),
       400, "messages[0].tool_calls[0].function.arguments", "", "a string, is an object"},
      {kChat,
       messages(
           R"({"role":"assistant","tool_calls":[{"function":{"name":"f\n","arguments":""}}]})"),
       400, "messages[0].tool_calls[0]", "", "must call a tool by its name"},
      {kChat, messages(R"({"role":"assistant","function_call":{"name":"f"}})"), 400,
       "messages[0].function_call", "unsupported_parameter", "old form of tool_calls"},
      {kChat, messages(R"({"role":"assistant","content":"a","audio":{"id":"x"}})"), 400,
       "messages[0].audio", "unsupported_parameter", "no voice"},
      {kChat, messages(user + "," + user + "," + user + "," + user + "," + user), 400,
       "messages[4]", "", "one message (tool calls count) more than 4"},
      {kChat, chat(R"("continue_final_message":true)"), 400, "continue_final_message", "",
       "needs a last message of the assistant"},
      {kChat, chat(R"("continue_final_message":true,"add_generation_prompt":true)"), 400,
       "continue_final_message", "", "exclude each other"},
      {kChat, chat(R"("chat_template_kwargs":{"tokenize":true})"), 400, "chat_template_kwargs",
       "unsupported_parameter", "holds \"tokenize\""},
      {kChat, chat(R"("chat_template":"{{x}}")"), 400, "chat_template", "unsupported_parameter",
       "the model's own is always used"},
  });
}

TEST(ChatRefusals, PartsAndPictures) {
  const std::string url = R"({"type":"image_url","image_url":{"url":"data:,x"}})";
  const std::string big = "data:image/png;base64," + std::string(408, 'A');
  expect_refusals({
      {kChat, part("7"), 400, "messages[0].content[0]", "", "must be an object, is a number"},
      {kChat, part("{}"), 400, "messages[0].content[0].type", "", "is required"},
      {kChat, part(R"({"type":"text"})"), 400, "messages[0].content[0].text", "", "is required"},
      {kChat, part(R"({"type":"text","text":5})"), 400, "messages[0].content[0].text", "",
       "must be a string, is a number"},
      {kChat, part(R"({"type":"input_audio","input_audio":{}})"), 400,
       "messages[0].content[0].type", "unsupported_content_part",
       "must be text or image_url, is \"input_audio\""},
      {kChat, part(R"({"type":"file","file":{}})"), 400, "messages[0].content[0].type",
       "unsupported_content_part", "is \"file\""},
      {kChat, part(R"({"type":"video_url","video_url":{}})"), 400, "messages[0].content[0].type",
       "unsupported_content_part", "is \"video_url\""},
      {kChat, part(R"({"type":"image_url"})"), 400, "messages[0].content[0].image_url", "",
       "is required"},
      {kChat, picture(""), 400, "messages[0].content[0].image_url.url", "", "is required"},
      {kChat, picture(R"("url":7)"), 400, "messages[0].content[0].image_url.url", "",
       "must be a string, is a number"},
      {kChat, picture(R"("url":"")"), 400, "messages[0].content[0].image_url.url", "",
       "must not be empty"},
      {kChat, picture(R"("url":"a\u0000b")"), 400, "messages[0].content[0].image_url.url", "",
       "must not hold a NUL"},
      {kChat, picture(R"("url":"data:,x","detail":"low")"), 400,
       "messages[0].content[0].image_url.detail", "unsupported_value",
       "a picture always takes the same rows in this model"},
      {kChat, picture(R"("url":"data:,x","detail":"ultra")"), 400,
       "messages[0].content[0].image_url.detail", "", "must be auto or high, is \"ultra\""},
      {kChat, picture(fmt::format(R"("url":"{}")", big)), 413,
       "messages[0].content[0].image_url.url", "request_too_large",
       "holds a picture of 306 bytes, the limit is 300"},
      {kChat, picture(fmt::format(R"("url":"DATA{}")", big.substr(4))), 413,
       "messages[0].content[0].image_url.url", "request_too_large", "the limit is 300"},
      {kChat, picture(fmt::format(R"("url":"http://a/{}")", std::string(9000, 'a'))), 400,
       "messages[0].content[0].image_url.url", "", "the limit of a URL is 8192"},
      {kChat, part(url + "," + url + "," + url), 400, "messages[0].content[2].image_url.url",
       "too_many_images", "is picture 3 of this request, the limit is 2"},
      {kChat, messages(R"({"role":"system","content":[)" + url + "]}"), 400,
       "messages[0].content[0].type", "", "pictures belong to user and tool messages"},
  });
}

TEST(ChatRefusals, ToolsAndFormats) {
  const std::string long_schema = R"({"description":")" + std::string(100, 'x') + "\"}";
  const auto tool = [](std::string_view function) {
    return chat(fmt::format(R"("tools":[{{"type":"function","function":{}}}])", function));
  };
  const auto format = [](std::string_view fields) {
    return chat(fmt::format(R"("response_format":{{{}}})", fields));
  };
  const auto outputs = [](std::string_view fields) {
    return chat(fmt::format(R"("structured_outputs":{{{}}})", fields));
  };
  expect_refusals({
      {kChat, chat(R"("tools":{})"), 400, "tools", "", "must be a list, is an object"},
      {kChat, chat(R"("tools":[{"type":"custom"}])"), 400, "tools[0].type", "unsupported_tool",
       "must be function, is \"custom\""},
      {kChat, chat(R"("tools":[{"type":"cogview"}])"), 400, "tools[0].type", "unsupported_tool",
       "is \"cogview\""},
      {kChat, chat(R"("tools":[{"type":"function"}])"), 400, "tools[0].function", "",
       "is required"},
      {kChat, tool("{}"), 400, "tools[0].function.name", "", "is required"},
      {kChat, tool(R"({"name":""})"), 400, "tools[0].function.name", "", "must be 1 to 64"},
      {kChat, tool(R"({"name":"a b"})"), 400, "tools[0].function.name", "", "is \"a b\""},
      {kChat, tool(R"({"name":"<|user|>"})"), 400, "tools[0].function.name", "", "<|user|>"},
      {kChat, tool(R"({"name":"f","parameters":[]})"), 400, "tools[0].function.parameters", "",
       "must be an object, is a list"},
      {kChat, tool(fmt::format(R"({{"name":"f","parameters":{}}})", long_schema)), 400,
       "tools[0].function.parameters", "", "has 118 bytes, the limit is 100"},
      {kChat, chat(R"("functions":[{"name":"f"}])"), 400, "functions", "unsupported_parameter",
       "old form of tools"},
      {kChat,
       chat(
           R"("tools":[{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"f"}}])"),
       400, "tools[1].function.name", "", "must be another than all names before it"},
      {kChat,
       chat(
           R"("tools":[{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"g"}},{"type":"function","function":{"name":"h"}}])"),
       400, "tools[2].function.name", "", "is tool 3 of this request, the limit is 2"},
      {kChat, chat(R"("tool_choice":"required")"), 400, "tool_choice", "", "there are no tools"},
      {kChat, with_tool(R"("tool_choice":"any")"), 400, "tool_choice", "",
       "must be none, auto, required or an object, is \"any\""},
      {kChat, with_tool(R"("tool_choice":7)"), 400, "tool_choice", "", "is a number"},
      {kChat, with_tool(R"("tool_choice":{"type":"function","function":{"name":"g"}})"), 400,
       "tool_choice.function.name", "", "must name one of tools, is \"g\""},
      {kChat, with_tool(R"("tool_choice":{"type":"web"})"), 400, "tool_choice.type", "",
       "must be function or allowed_tools, is \"web\""},
      {kChat,
       with_tool(
           R"("tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[]}})"),
       400, "tool_choice.allowed_tools.tools", "", "must name a tool"},
      {kChat,
       with_tool(
           R"("tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"none","tools":[]}})"),
       400, "tool_choice.allowed_tools.mode", "", "must be auto or required, is \"none\""},
      {kChat, with_tool(R"("parallel_tool_calls":1)"), 400, "parallel_tool_calls", "",
       "true or false"},
      {kChat, with_tool(R"("tool_choice":"required","response_format":{"type":"json_object"})"),
       400, "response_format", "", "cannot be honoured by an answer that must call a tool"},
      {kChat, format(""), 400, "response_format.type", "", "is required"},
      {kChat, format(R"("type":"xml")"), 400, "response_format.type", "",
       "must be text, json_object or json_schema, is \"xml\""},
      {kChat, format(R"("type":"json_schema")"), 400, "response_format.json_schema", "",
       "is required"},
      {kChat, format(R"("type":"json_schema","json_schema":{"schema":{}})"), 400,
       "response_format.json_schema.name", "", "is required"},
      {kChat, format(R"("type":"json_schema","json_schema":{"name":"a","schema":3})"), 400,
       "response_format.json_schema.schema", "", "must be a JSON Schema, an object, is a number"},
      {kChat,
       format(fmt::format(R"("type":"json_schema","json_schema":{{"name":"a","schema":{}}})",
                          long_schema)),
       400, "response_format.json_schema.schema", "", "has 118 bytes, the limit is 100"},
      {kChat, outputs(""), 400, "structured_outputs", "", "must hold one of"},
      {kChat, outputs(R"("regex":"a","choice":["b"])"), 400, "structured_outputs", "", "holds 2"},
      {kChat, outputs(R"("grammar":"root ::= x")"), 400, "structured_outputs.grammar",
       "unsupported_parameter", "use json, choice or regex"},
      {kChat, outputs(R"("choice":[])"), 400, "structured_outputs.choice", "", "must hold a text"},
      {kChat, outputs(R"("choice":["a",""])"), 400, "structured_outputs.choice[1]", "", "empty"},
      {kChat, outputs(R"("choice":["a",1])"), 400, "structured_outputs.choice[1]", "", "a number"},
      {kChat, outputs(R"("regex":7)"), 400, "structured_outputs.regex", "", "is a number"},
      {kChat, outputs(fmt::format(R"("regex":"{}")", std::string(101, 'a'))), 400,
       "structured_outputs.regex", "", "has 101 bytes, the limit is 100"},
      {kChat, outputs(R"("json":"{")"), 400, "structured_outputs.json", "invalid_json",
       "structured_outputs.json must be JSON, but is not: incomplete JSON"},
      {kChat,
       chat(R"("response_format":{"type":"json_object"},"structured_outputs":{"regex":"a"})"), 400,
       "structured_outputs", "", "exclude each other"},
      {kChat, chat(R"("guided_json":{})"), 400, "guided_json", "unsupported_parameter",
       "use \"structured_outputs\""},
      {kChat, chat(R"("grammar":"x")"), 400, "grammar", "unsupported_parameter", "use \"struct"},
  });
}

}  // namespace
}  // namespace cardloom::api
