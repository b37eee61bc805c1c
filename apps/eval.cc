#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "apps/commands.h"
#include "apps/generation.h"
#include "apps/interrupt.h"
#include "apps/text.h"
#include "cardloom/base/ascii.h"
#include "cardloom/base/file.h"

namespace cardloom::app {
namespace {

constexpr std::int64_t kMaxQuestionsBytes = std::int64_t{256} << 20;
/// An answer longer than this is wrong anyway, and must not take for ever.
constexpr std::int64_t kMaxAnswerTokens = 512;

struct Question {
  std::string image;  ///< path; empty: none
  std::string question;
  std::string answer;
};

std::string field_of(const json::object& object, const char* name, const std::string& where,
                     bool required) {
  const json::value* value = object.if_contains(name);
  if (value == nullptr && !required) return {};
  if (value == nullptr || !value->is_string()) {
    fail_usage(fmt::format("{}: \"{}\" must be a string", where, name),
               value == nullptr ? "it is missing" : "it is something else",
               "a line is {\"image\": \"000.jpg\", \"question\": ..., \"answer\": ...}");
  }
  return std::string(value->as_string());
}

std::vector<Question> read_questions(const std::string& folder, std::int64_t limit) {
  const std::string path = (std::filesystem::path(folder) / "questions.jsonl").string();
  const std::string text = unwrap(read_file(path, kMaxQuestionsBytes), kExitUsage);
  std::vector<Question> questions;
  std::int64_t line_number = 0;
  for (std::size_t at = 0; at < text.size();) {
    if (limit > 0 && static_cast<std::int64_t>(questions.size()) == limit) break;
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = stripped(std::string_view(text).substr(at, end - at));
    at = end + 1;
    ++line_number;
    if (line.empty()) continue;
    const std::string where = fmt::format("{} line {}", path, line_number);
    const json::value value = unwrap(parse_json(line, where), kExitUsage);
    if (!value.is_object()) {
      fail_usage(fmt::format("{} is no JSON object", where), {},
                 "a line is {\"image\": \"000.jpg\", \"question\": ..., \"answer\": ...}");
    }
    const json::object& object = value.as_object();
    Question question{field_of(object, "image", where, false),
                      field_of(object, "question", where, true),
                      field_of(object, "answer", where, true)};
    if (!question.image.empty()) {
      question.image = (std::filesystem::path(folder) / question.image).string();
    }
    questions.push_back(std::move(question));
  }
  if (questions.empty()) {
    fail_usage(fmt::format("{} holds no question", path), counted(line_number, "line"),
               "write one JSON object a line");
  }
  return questions;
}

std::string ask(const Question& question, const Checkpoint& checkpoint, LoadedEngine& loaded,
                const CommonOptions& options) {
  ChatMessage message = make_message("user", question.question);
  if (!question.image.empty()) message.images.push_back(question.image);
  PreparedPrompt prepared = prepare_chat(checkpoint, {message}, options);
  Request request;
  request.max_tokens = kMaxAnswerTokens;
  request.stop_ids = checkpoint.stop_ids();
  const Answer answer = generate(*loaded.engine, prepared, std::move(request), {});
  return std::string(stripped(checkpoint.tokenizer->decode(answer.ids)));
}

void show_progress(const CommonOptions& options, std::int64_t done, std::int64_t right,
                   std::int64_t of) {
  static const bool shown = isatty(STDERR_FILENO) == 1;
  if (!shown || options.quiet) return;
  const std::string line =
      done == of ? std::string("\r\033[K") : fmt::format("\r{} of {}, {} right", done, of, right);
  std::fputs(line.c_str(), stderr);
}

}  // namespace

int run_eval(const EvalOptions& options) {
  check_common(options.common);
  check_range("--limit", options.limit, 0, INT64_MAX);
  const std::vector<Question> questions = read_questions(options.folder, options.limit);
  const Checkpoint checkpoint = open_checkpoint(options.common.model);
  LoadedEngine loaded = load_engine(checkpoint, options.common);
  interrupt::install();

  const auto of = static_cast<std::int64_t>(questions.size());
  std::int64_t done = 0;
  std::int64_t right = 0;
  json::array wrong;
  for (const Question& question : questions) {
    const std::string got = ask(question, checkpoint, loaded, options.common);
    if (interrupt::requested()) return kExitInterrupted;
    if (got == stripped(question.answer)) {
      ++right;
    } else {
      wrong.push_back({{"image", question.image},
                       {"question", question.question},
                       {"answer", question.answer},
                       {"got", got}});
    }
    show_progress(options.common, ++done, right, of);
  }
  const double accuracy = static_cast<double>(right) / static_cast<double>(of);
  if (options.common.json) {
    print_json(json::object{{"accuracy", accuracy},
                            {"right", right},
                            {"of", of},
                            {"wrong", std::move(wrong)},
                            {"cards", loaded.tp},
                            {"isa", loaded.instruction_path},
                            {"dtype", to_string(loaded.dtype)},
                            {"weights", to_string(loaded.weights.text)},
                            {"vision_weights", to_string(loaded.weights.vision)},
                            {"kv_cache", kv_cache_name(loaded.kv_cache)}});
    return kExitOk;
  }
  for (const json::value& entry : wrong) {
    const auto text = [&](const char* key) { return one_line(entry.at(key).as_string()); };
    std::fputs(fmt::format("wrong: {} {}\n  wanted: {}\n  got:    {}\n", text("image"),
                           text("question"), text("answer"), text("got"))
                   .c_str(),
               stdout);
  }
  std::fputs(
      fmt::format("{} of {} right ({:.1f} %), {}\n", right, of, accuracy * 100, loaded.describe())
          .c_str(),
      stdout);
  return kExitOk;
}

}  // namespace cardloom::app
