#include "cardloom/engine/admission.h"

#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

namespace cardloom {
namespace {

Error refusal(std::string message, Location caller, std::string remedy = {},
              std::string detail = {}) {
  return make_error(ErrorCode::kInvalidArgument, std::move(message), std::move(detail),
                    std::move(remedy), caller);
}

std::string counted(std::int64_t count, const char* noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::int64_t rows_of(const Prompt& prompt) {
  return static_cast<std::int64_t>(prompt.token_ids.size());
}

Status check_length(const Prompt& prompt, const ModelInfo& model, std::int64_t context_tokens,
                    Location caller) {
  const std::int64_t rows = rows_of(prompt);
  if (rows == 0) return refusal("the prompt has no tokens", caller, "write a prompt");
  if (prompt.positions.size() != prompt.token_ids.size()) {
    return refusal(
        fmt::format("the prompt has {}, but {}", counted(rows, "row"),
                    counted(static_cast<std::int64_t>(prompt.positions.size()), "position")),
        caller);
  }
  if (rows <= context_tokens) return {};
  const std::int64_t picture_rows =
      static_cast<std::int64_t>(prompt.image_spans.size()) * model.image_rows;
  std::string remedy = "shorten the text or send fewer pictures";
  if (context_tokens < model.max_positions) {
    remedy +=
        fmt::format(", or load the model with a longer context (up to {})", model.max_positions);
  }
  return refusal(
      fmt::format("the prompt has {} rows, but the context holds {}", rows, context_tokens), caller,
      remedy,
      fmt::format("{} of text, {} of {}", counted(rows - picture_rows, "row"), picture_rows,
                  counted(static_cast<std::int64_t>(prompt.images.size()), "picture")));
}

Status check_rows(const Prompt& prompt, const ModelInfo& model, Location caller) {
  for (std::size_t row = 0; row < prompt.token_ids.size(); ++row) {
    if (prompt.token_ids[row] < 0 || prompt.token_ids[row] >= model.vocab_size) {
      return refusal(fmt::format("token id {} (row {}) is outside the vocabulary of {} ids",
                                 prompt.token_ids[row], row, model.vocab_size),
                     caller, "use this model's own tokenizer");
    }
    if (prompt.positions[row] < 0 || prompt.positions[row] >= model.max_positions) {
      return refusal(fmt::format("position {} (row {}) is outside the table of {} positions",
                                 prompt.positions[row], row, model.max_positions),
                     caller);
    }
  }
  if (prompt.next_position < 0 || prompt.next_position > model.max_positions) {
    return refusal(fmt::format("the first generated position is {}, but the table has {} positions",
                               prompt.next_position, model.max_positions),
                   caller);
  }
  return {};
}

Status check_spans(const Prompt& prompt, const ModelInfo& model, Location caller) {
  const auto num_images = static_cast<std::int64_t>(prompt.images.size());
  std::vector<bool> is_used(prompt.images.size());
  std::int64_t free_from = 0;
  for (const ImageSpan& span : prompt.image_spans) {
    const std::string name = fmt::format("the span of rows {} to {}", span.begin, span.end);
    if (span.begin < free_from || span.end > rows_of(prompt)) {
      return refusal(
          fmt::format("{} must lie between rows {} and {}", name, free_from, rows_of(prompt)),
          caller);
    }
    if (span.end - span.begin != model.image_rows) {
      return refusal(fmt::format("{} has {}, but a picture has {}", name,
                                 counted(span.end - span.begin, "row"), model.image_rows),
                     caller);
    }
    if (span.image < 0 || span.image >= num_images) {
      return refusal(
          fmt::format("{} names picture {}, but there are {}", name, span.image, num_images),
          caller);
    }
    is_used[static_cast<std::size_t>(span.image)] = true;
    free_from = span.end;
  }
  for (std::size_t image = 0; image < is_used.size(); ++image) {
    if (!is_used[image]) {
      return refusal(fmt::format("picture {} has no place in the prompt", image), caller,
                     "mark each picture's place, or leave it out");
    }
  }
  return {};
}

Status check_pictures(const Prompt& prompt, const ModelInfo& model, Location caller) {
  if (prompt.images.empty() && prompt.image_spans.empty()) return {};
  if (model.image_rows == 0) {
    return refusal(
        fmt::format("this model takes no pictures, but the prompt has {}", prompt.images.size()),
        caller, "leave the pictures out");
  }
  if (Status status = check_spans(prompt, model, caller); !status) return status;
  const std::int64_t size = model.image_size;
  for (std::size_t image = 0; image < prompt.images.size(); ++image) {
    const TensorView& view = prompt.images[image].view();
    if (view.dtype != DType::kF32 || view.rank != 3 || view.shape[0] != 3 ||
        view.shape[1] != size || view.shape[2] != size) {
      return refusal(fmt::format("picture {} must be f32[3, {}, {}], but is {}", image, size, size,
                                 to_string(view)),
                     caller);
    }
  }
  return {};
}

}  // namespace

Status check_request(const Request& request, const ModelInfo& model, std::int64_t context_tokens,
                     Location caller) {
  const Prompt& prompt = request.prompt;
  if (Status status = check_length(prompt, model, context_tokens, caller); !status) return status;
  if (Status status = check_rows(prompt, model, caller); !status) return status;
  if (Status status = check_pictures(prompt, model, caller); !status) return status;
  if (Status status = validate(request.sampling, caller); !status) return status;
  if (request.max_tokens < 0) {
    return refusal(fmt::format("max_tokens is {}, but must be >= 0", request.max_tokens), caller,
                   "0 generates until the context is full");
  }
  if (request.min_tokens < 0) {
    return refusal(fmt::format("min_tokens is {}, but must be >= 0", request.min_tokens), caller);
  }
  if (request.max_tokens > 0 && request.min_tokens > request.max_tokens) {
    return refusal(fmt::format("min_tokens is {}, but max_tokens is {}", request.min_tokens,
                               request.max_tokens),
                   caller, "ask for at most as many tokens as may come");
  }
  return {};
}

}  // namespace cardloom
