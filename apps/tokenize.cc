#include <cstdio>

#include "apps/commands.h"
#include "apps/session.h"
#include "apps/text.h"
#include "cardloom/models/chat_template.h"

namespace cardloom::app {
namespace {

constexpr std::int64_t kMaxTextBytes = std::int64_t{64} << 20;

json::object tokenize_text(const TokenizeOptions& options, const Tokenizer& tokenizer) {
  const std::string text = options.text ? *options.text : read_stdin(kMaxTextBytes);
  json::object object;
  object["ids"] =
      ids_json(options.special ? tokenizer.encode_with_special(text) : tokenizer.encode(text));
  return object;
}

/// Rows are what the model sees: a picture's three ids become its encoded rows.
json::object tokenize_messages(const TokenizeOptions& options, const Checkpoint& checkpoint) {
  const std::vector<ChatMessage> messages = read_chat(options.chat, {});
  const TokenizedChat chat =
      unwrap(tokenize_chat(*checkpoint.tokenizer, checkpoint.style(), messages), kExitUsage);
  const auto num_ids = static_cast<std::int64_t>(chat.ids.size());
  const auto num_images = static_cast<std::int64_t>(chat.images.size());
  const std::int64_t rows_per_image =
      checkpoint.config().vision ? checkpoint.config().vision->rows_per_image() : 3;
  json::object object;
  object["ids"] = ids_json(chat.ids);
  object["images"] = num_images;
  object["rows"] = num_ids + num_images * (rows_per_image - 3);
  return object;
}

}  // namespace

int run_tokenize(const TokenizeOptions& options) {
  check_common(options.common);
  if (options.text && !options.chat.empty()) {
    fail_usage("TEXT and --chat were both given", "one of them is to be tokenized",
               "leave one out");
  }
  const Checkpoint checkpoint = open_checkpoint(options.common.model);
  const json::object object = options.chat.empty() ? tokenize_text(options, *checkpoint.tokenizer)
                                                   : tokenize_messages(options, checkpoint);
  if (options.common.json) {
    print_json(object);
    return kExitOk;
  }
  std::string line;
  for (const json::value& id : object.at("ids").as_array()) {
    line += (line.empty() ? "" : " ") + std::to_string(id.as_int64());
  }
  std::fputs((line + "\n").c_str(), stdout);
  return kExitOk;
}

}  // namespace cardloom::app
