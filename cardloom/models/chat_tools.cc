// The texts below are the checkpoints' own, to the letter: the models were trained on them.
// Source: glm-4v-9b, tokenization_chatglm.py; glm-4-9b-chat, tokenizer_config.json.
#include "cardloom/models/chat_tools.h"

#include <fmt/format.h>

#include "cardloom/models/python_json.h"

namespace cardloom {
namespace {

// clang-format off
constexpr std::string_view kGlm4vHeader =
    "你是一个名为 GLM-4 的人工智能助手。你是基于智谱AI训练的语言模型 GLM-4 模型开发的，你的任务是针对用户的问题和要求提供适当的答复和支持。";

constexpr std::string_view kGlm4Header =
    "你是一个名为 ChatGLM 的人工智能助手。你是基于智谱AI训练的语言模型 GLM-4 模型开发的，你的任务是针对用户的问题和要求提供适当的答复和支持。\n\n# 可用工具";

constexpr std::string_view kAfterFunction = "\n在调用上述函数时，请使用 Json 格式表示调用的参数。";

constexpr std::string_view kPython = R"(## python

当你向 `python` 发送包含 Python 代码的消息时，该代码将会在一个有状态的 Jupyter notebook 环境中执行。
`python` 返回代码执行的输出，或在执行 60 秒后返回超时。
`/mnt/data` 将会持久化存储你的文件。在此会话中，`python` 无法访问互联网。不要使用 `python` 进行任何网络请求或者在线 API 调用，这些在线内容的访问将不会成功。)";

constexpr std::string_view kSimpleBrowser = R"(## simple_browser

你可以使用 `simple_browser` 工具。该工具支持以下函数：
`search(query: str, recency_days: int)`：使用搜索引擎进行查询并显示结果，可以使用 `recency_days` 参数控制搜索内容的时效性。
`mclick(ids: list[int])`：获取一系列指定 id 的页面内容。每次调用时，须选择3-10个页面。选择多个角度的页面，同时尽可能选择可信任的信息来源。考虑到部分页面是无法加载的，你也可以多打开一些可能有用的页面而不用担心内容过多。
`open_url(url: str)`：打开指定的 URL。

使用 `【{引用 id}†{引用文本}】` 来引用内容。

操作步骤：1. 使用 `search` 来获得信息列表; 2. 使用 `mclick` 来获取指定 ID 页面的内容; 3. 根据获得的内容进行回复。在回复中应当引用信息来源。
 如果用户提供了 URL，也可以用 `open_url` 直接打开页面。
如果初次搜索结果没有找到合适的信息，也可以再次使用 `search` 进行搜索。)";

constexpr std::string_view kCogview = R"(## cogview

如果用户的请求中包含了对图像的描述，你可以使用 `cogview` 来生成图像并展示给用户。你需要向 `cogview` 发送图像描述，规则：
- 发送给 `cogview` 的消息必须使用英语。用户的中文描述必须完全翻译为英语。
- 应当尽可能详细地描述图像生成的需求，需求描述约 100 英文单词。
- 保持用户原始描述的意图。不要虚构内容或者没见过的人物。
- 如无特殊说明，所在地为中国，持有中国立场并遵循中国社会主义价值观。)";
// clang-format on

// Far beyond any context; a bound on what a hostile list can make us write.
constexpr std::size_t kMaxTextBytes = std::size_t{4} << 20;

Error too_long(std::string_view path) {
  return make_error(ErrorCode::kResourceExhausted, fmt::format("{} is too long", path),
                    fmt::format("its text has more than {} bytes", kMaxTextBytes),
                    "offer fewer tools, or shorter schemas");
}

Error wrong(const std::string& path, std::string_view rule) {
  return make_error(ErrorCode::kInvalidArgument, fmt::format("{} {}", path, rule), {},
                    "give tools as the OpenAI API takes them: "
                    R"([{"type": "function", "function": {"name": "f", "parameters": {}}}])");
}

/// `## NAME` and what the model is told of the tool.
Result<std::string> describe_tool(const json::value& tool, const std::string& path) {
  if (!tool.is_object()) return wrong(path, "must be an object");
  const json::value* type = tool.get_object().if_contains("type");
  if (type == nullptr || !type->is_string()) return wrong(path + ".type", "must be a string");
  const std::string_view name_of_type = type->get_string();
  if (name_of_type == "python") return std::string(kPython);
  if (name_of_type == "simple_browser") return std::string(kSimpleBrowser);
  if (name_of_type == "cogview") return std::string(kCogview);
  if (name_of_type != "function") {
    return wrong(path + ".type", fmt::format("must be function, python, simple_browser or cogview, "
                                             "is \"{}\"",
                                             name_of_type.substr(0, 40)));
  }
  const json::value* function = tool.get_object().if_contains("function");
  if (function == nullptr || !function->is_object()) {
    return wrong(path + ".function", "must be an object");
  }
  const json::value* name = function->get_object().if_contains("name");
  if (name == nullptr || !name->is_string()) {
    return wrong(path + ".function.name", "must be a string");
  }
  const std::optional<std::string> schema = dump_python_json(*function, kMaxTextBytes);
  if (!schema) return too_long(path);
  return fmt::format("## {}\n\n{}{}", std::string_view(name->get_string()), *schema,
                     kAfterFunction);
}

}  // namespace

Result<std::string> render_tools(const json::array& tools, ChatStyle style, std::string_view path) {
  const bool is_glm4 = style == ChatStyle::kGlm4;
  std::string text(is_glm4 ? kGlm4Header : kGlm4vHeader);
  for (std::size_t i = 0; i < tools.size(); ++i) {
    Result<std::string> tool = describe_tool(tools[i], fmt::format("{}[{}]", path, i));
    if (!tool) return tool.error();
    // The template, too, says "\n\n##", but it is rendered with Jinja's trim_blocks, which takes
    // away the first newline after a block: one is left.
    text += is_glm4 ? "\n" : "\n\n";
    text += *tool;
    if (text.size() > kMaxTextBytes) return too_long(path);
  }
  return text;
}

}  // namespace cardloom
