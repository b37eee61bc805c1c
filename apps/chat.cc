#include "apps/chat.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <map>
#include <optional>

#include "apps/interrupt.h"
#include "apps/text.h"
#include "cardloom/base/ascii.h"
#include "cardloom/models/chat_template.h"
#include "cardloom/models/glm4v/processor.h"

namespace cardloom::app {
namespace {

constexpr const char* kHelp =
    "  /image PATH  show a picture with the next message (several are fine)\n"
    "  /clear       forget the conversation\n"
    "  /stats       figures of the last answer, and how full the context is\n"
    "  /help        this list\n"
    "  /exit        leave (also Ctrl-D)\n"
    "  Ctrl-C stops an answer; twice leaves.\n";

/// Whole, also if the model writes a NUL.
void show(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

enum class Input { kLine, kEnd, kInterrupted };

/// Lines from the terminal, by read(2): Ctrl-C must come through, which getline hides.
class LineReader {
 public:
  Input next(std::string& line) {
    for (;;) {
      if (const std::size_t end = buffer_.find('\n'); end != std::string::npos) {
        line = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        return Input::kLine;
      }
      if (!interrupt::wait_for_input(STDIN_FILENO)) {
        buffer_.clear();
        return Input::kInterrupted;
      }
      char bytes[4096];
      const ssize_t count = read(STDIN_FILENO, bytes, sizeof bytes);
      if (count > 0) {
        buffer_.append(bytes, static_cast<std::size_t>(count));
      } else {
        line = std::exchange(buffer_, {});
        return line.empty() ? Input::kEnd : Input::kLine;
      }
    }
  }

 private:
  std::string buffer_;
};

class Chat {
 public:
  Chat(const RunOptions& options, const Checkpoint& checkpoint, LoadedEngine& loaded)
      : options_(options), checkpoint_(checkpoint), loaded_(loaded) {
    for (const std::string& path : options.images) pending_.push_back(path);
    clear();
  }

  void clear() {
    messages_.clear();
    if (!options_.system.empty()) {
      messages_.push_back(make_message("system", options_.system));
    }
  }

  /// Whether to go on.
  bool handle(const std::string& line);

 private:
  bool command(std::string_view line);
  void add_image(std::string_view path);
  void answer(std::string text);
  PreparedPrompt prepare();
  const LoadedPicture& picture(const std::string& path);

  const RunOptions& options_;
  const Checkpoint& checkpoint_;
  LoadedEngine& loaded_;
  std::vector<ChatMessage> messages_;
  std::vector<std::string> pending_;  ///< pictures for the next message
  std::map<std::string, LoadedPicture> pictures_;
  std::string stats_ = "no answer yet";
};

bool Chat::handle(const std::string& line) {
  const std::string_view text = stripped(line);
  if (text.empty()) return true;
  try {
    if (text.front() == '/') return command(text);
    answer(std::string(text));
  } catch (const Exception& failure) {  // the conversation goes on without this message
    std::fputs(three_lines(failure.error()).c_str(), stderr);
    if (failure.error().code == ErrorCode::kUnavailable) throw;
  }
  return true;
}

bool Chat::command(std::string_view line) {
  const std::size_t space = line.find(' ');
  const std::string_view name = line.substr(0, space);
  const std::string_view rest =
      space == std::string_view::npos ? std::string_view() : stripped(line.substr(space));
  if (name == "/exit" || name == "/quit" || name == "/bye") return false;
  if (name == "/image") {
    add_image(rest);
  } else if (name == "/clear") {
    clear();
    pending_.clear();
    pictures_.clear();
    std::fputs("the conversation is empty\n", stderr);
  } else if (name == "/stats") {
    std::fputs((stats_ + "\n").c_str(), stderr);
  } else if (name == "/help" || name == "/?") {
    std::fputs(kHelp, stderr);
  } else {
    fail_usage(fmt::format("there is no command {}", name),
               "a line that begins with / is a command", "/help lists them");
  }
  return true;
}

/// Loaded at once, so that a wrong path is told before the question is typed.
void Chat::add_image(std::string_view path) {
  if (path.empty()) fail_usage("/image needs a path", "none was given", "/image cat.jpg");
  const LoadedPicture& loaded = picture(std::string(path));
  pending_.emplace_back(path);
  std::fputs(fmt::format("picture {} goes with the next message ({})\n", pending_.size(),
                         duration_text(loaded.decode + loaded.preprocess))
                 .c_str(),
             stderr);
}

const LoadedPicture& Chat::picture(const std::string& path) {
  const auto known = pictures_.find(path);
  if (known != pictures_.end()) return known->second;
  return pictures_.emplace(path, load_picture(path, checkpoint_, options_.common)).first->second;
}

/// As prepare_chat, but a picture is read and prepared once in a conversation.
PreparedPrompt Chat::prepare() {
  const TokenizedChat chat =
      unwrap(tokenize_chat(*checkpoint_.tokenizer, checkpoint_.style(), messages_), kExitUsage);
  PreparedPrompt prepared;
  std::vector<Tensor> pixel_values;
  for (const ImagePlace& place : chat.images) {
    const bool is_new = !pictures_.contains(place.reference);
    const LoadedPicture& loaded = picture(place.reference);
    if (is_new) {
      prepared.decode += loaded.decode;
      prepared.preprocess += loaded.preprocess;
    }
    const TensorView& from = loaded.pixel_values;
    Tensor copy(DType::kF32, {from.shape[0], from.shape[1], from.shape[2]});
    std::memcpy(copy.view().data, from.data, static_cast<std::size_t>(copy.size_bytes()));
    pixel_values.push_back(std::move(copy));
  }
  prepared.num_images = static_cast<std::int64_t>(pixel_values.size());
  prepared.prompt =
      unwrap(glm4v::make_prompt(chat, std::move(pixel_values), checkpoint_.config()), kExitUsage);
  for (const ImageSpan& span : prepared.prompt.image_spans) {
    prepared.image_rows += span.end - span.begin;
  }
  return prepared;
}

void Chat::answer(std::string question) {
  messages_.push_back(make_message("user", std::move(question), pending_));
  AnswerText text(*checkpoint_.tokenizer);
  try {
    PreparedPrompt prepared = prepare();
    Request request;
    request.sampling = sampling_of(options_.sampling);
    request.max_tokens = options_.max_tokens;
    request.stop_ids = checkpoint_.stop_ids();
    const Answer answer = generate(*loaded_.engine, prepared, std::move(request),
                                   [&](std::int32_t id) { show(text.append(id)); });
    show(text.finish() + "\n");
    if (answer.finish == FinishReason::kCancelled) {
      interrupt::clear();
      std::fputs("(stopped)\n", stderr);
    } else if (answer.finish == FinishReason::kLength) {
      std::fputs("(cut: --max-tokens or the context is full)\n", stderr);
    }
    const std::int64_t used = answer.times.prompt_rows + answer.times.generated_tokens;
    stats_ = fmt::format("{}\ncontext: {} of {} rows used, {} of them by pictures",
                         figures_line(answer, prepared, loaded_), used,
                         loaded_.engine->context_tokens(), prepared.image_rows);
  } catch (...) {
    messages_.pop_back();  // pictures stay pending
    throw;
  }
  pending_.clear();
  messages_.push_back(make_message("assistant", text.text()));
}

}  // namespace

int run_chat(const RunOptions& options, const Checkpoint& checkpoint, LoadedEngine& loaded) {
  if (!options.common.quiet) {
    std::fputs(fmt::format("{} on {}; /help lists the commands\n",
                           checkpoint.directory.architecture, loaded.describe())
                   .c_str(),
               stderr);
  }
  interrupt::install();
  Chat chat(options, checkpoint, loaded);
  LineReader reader;
  bool interrupted = false;
  for (std::string line;;) {
    std::fputs("> ", stderr);
    switch (reader.next(line)) {
      case Input::kEnd:
        std::fputs("\n", stderr);
        return kExitOk;
      case Input::kInterrupted:
        interrupt::clear();
        std::fputs("\n", stderr);
        if (std::exchange(interrupted, true)) return kExitInterrupted;
        std::fputs("(Ctrl-C again leaves, as /exit does)\n", stderr);
        break;
      case Input::kLine:
        interrupted = false;
        if (!chat.handle(line)) return kExitOk;
    }
  }
}

}  // namespace cardloom::app
