#include <fmt/format.h>

#include <cstdio>
#include <cstring>
#include <utility>

#include "apps/commands.h"
#include "apps/generation.h"
#include "apps/op_compare.h"
#include "apps/text.h"
#include "cardloom/models/glm4v/processor.h"

namespace cardloom::app {
namespace {

/// All prompt rows' logits are compared directly up to this size; beyond it the fingerprints of
/// lm_head's output, which are among the operators, must do.
constexpr std::int64_t kMaxLogitsBytes = std::int64_t{256} << 20;

/// What one of the two runs left behind.
struct RunRecord {
  std::vector<std::vector<OpCall>> calls;  ///< [rank]
  std::uint64_t num_lost = 0;
  std::vector<std::int32_t> ids;
  Tensor logits;  ///< f32 [prompt rows, V]; empty if too large
  LayoutCopies copies;
  std::string description;
};

/// A picture that nobody has to supply: ramps, edges and a disc, not square, so that every part of
/// preprocessing and of the tower has something to do.
Image test_picture() {
  Image image{320, 240, {}};
  image.rgb.resize(static_cast<std::size_t>(image.width * image.height * 3));
  for (std::int64_t y = 0; y < image.height; ++y) {
    for (std::int64_t x = 0; x < image.width; ++x) {
      const std::int64_t dx = x - 200;
      const std::int64_t dy = y - 100;
      std::uint8_t* pixel = image.row(y) + x * 3;
      const bool disc = dx * dx + dy * dy < 3600;
      pixel[0] = static_cast<std::uint8_t>(disc ? 220 : x * 255 / image.width);
      pixel[1] = static_cast<std::uint8_t>(disc ? 30 : y * 255 / image.height);
      pixel[2] = static_cast<std::uint8_t>((x / 16 + y / 16) % 2 == 0 ? 40 : 200);
    }
  }
  return image;
}

/// The prompt of both runs, made anew for each: a request takes its pictures along.
PreparedPrompt make_check_prompt(const CheckOptions& options, const Checkpoint& checkpoint) {
  const bool vision = checkpoint.config().vision.has_value();
  const char* question = vision ? "What is in this picture?" : "Hello! Who are you?";
  ChatMessage message = make_message("user", options.prompt.value_or(question), options.images);
  if (!vision || !options.images.empty()) {
    return prepare_chat(checkpoint, {message}, options.common);
  }
  message.images = {"test picture"};
  const TokenizedChat chat = unwrap(
      tokenize_chat(*checkpoint.tokenizer, checkpoint.style(), std::vector{message}), kExitUsage);
  const std::int64_t size = checkpoint.config().vision->image_size;
  std::vector<Tensor> pixel_values;
  pixel_values.push_back(glm4v::make_pixel_values(test_picture(), size));
  PreparedPrompt prepared;
  prepared.num_images = 1;
  prepared.image_rows = checkpoint.config().vision->rows_per_image();
  prepared.prompt =
      unwrap(glm4v::make_prompt(chat, std::move(pixel_values), checkpoint.config()), kExitUsage);
  return prepared;
}

RunRecord run_recorded(const CheckOptions& options, const Checkpoint& checkpoint, std::int64_t tp) {
  PreparedPrompt prepared = make_check_prompt(options, checkpoint);
  const auto rows = static_cast<std::int64_t>(prepared.prompt.token_ids.size());
  const std::int64_t logits_bytes = rows * checkpoint.config().vocab_size * 4;
  const bool keep_logits = logits_bytes <= kMaxLogitsBytes;
  CommonOptions common = options.common;
  common.tp = tp;
  LoadedEngine loaded = load_engine(
      checkpoint, common,
      {.max_logits_rows = keep_logits ? common.chunk : 1,
       .context_tokens = std::min(rows + options.max_tokens, checkpoint.config().max_positions),
       .fingerprints = true});

  std::vector<OpCollector> collectors(static_cast<std::size_t>(tp));
  Request request;
  request.prompt = std::move(prepared.prompt);
  request.max_tokens = options.max_tokens;
  request.prompt_logits = keep_logits;  // no stop ids: both runs are as long as asked for
  const std::uint64_t id = unwrap(loaded.engine->submit(std::move(request)), kExitUsage);
  RunRecord run;
  while (!loaded.engine->idle()) {
    for (const SequenceEvent& event : loaded.engine->step()) {
      if (event.finish == FinishReason::kError) {
        throw Failure(exit_code_of(event.error), event.error);
      }
      if (event.token_id >= 0) run.ids.push_back(event.token_id);
    }
    for (int rank = 0; rank < tp; ++rank) {
      collectors[static_cast<std::size_t>(rank)].read(loaded.engine->op_log(rank));
    }
  }
  for (const OpCollector& collector : collectors) {
    run.calls.push_back(collector.calls());
    run.num_lost += collector.num_lost();
  }
  if (keep_logits) run.logits = loaded.engine->take_prompt_logits(id);
  run.copies = loaded.engine->layout_copies();
  run.description = loaded.describe();
  return run;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  if (a.size_bytes() != b.size_bytes()) return false;
  if (a.size_bytes() == 0) return true;
  return std::memcmp(a.view().data, b.view().data, static_cast<std::size_t>(a.size_bytes())) == 0;
}

struct Verdict {
  OpComparison operators;
  bool logits_compared = false;
  bool logits_same = true;
  bool ids_same = true;
  std::uint64_t num_lost = 0;

  [[nodiscard]] bool same() const {
    return operators.num_different == 0 && operators.num_unmatched == 0 && logits_same &&
           ids_same && num_lost == 0;
  }
};

Verdict judge(const RunRecord& one, const RunRecord& many) {
  Verdict verdict;
  verdict.operators = compare_calls(one.calls.front(), many.calls);
  verdict.logits_compared = one.logits.view().rank == 2;
  verdict.logits_same = !verdict.logits_compared || same_bits(one.logits, many.logits);
  verdict.ids_same = one.ids == many.ids;
  verdict.num_lost = one.num_lost + many.num_lost;
  return verdict;
}

std::string layouts_text(const std::vector<LayoutRow>& layouts) {
  std::vector<std::vector<std::string>> rows = {{"operator", "layout", "calls", "copies", "bytes"}};
  for (const LayoutRow& row : layouts) {
    rows.push_back({std::string(to_string(row.op)), row.layout, std::to_string(row.calls),
                    std::to_string(row.copies), std::to_string(row.bytes)});
  }
  return table(rows, 2);
}

std::string difference_text(const OpDifference& first) {
  const std::string who =
      first.rank < 0 ? std::string("all cards together") : fmt::format("card {}", first.rank);
  return fmt::format(
      "first difference: {} in {} ({})\n  one card {:016x}, {} {:016x}\n  operands {}\n", first.op,
      first.scope, first.site, first.one, who, first.many, first.operands);
}

void print_verdict(const RunRecord& one, const RunRecord& many, const Verdict& verdict,
                   const std::vector<LayoutRow>& layouts) {
  const OpComparison& operators = verdict.operators;
  std::string text = fmt::format(
      "1 card against {}\n"
      "  operators  {} compared: {} alike on every card, {} add up over cards; {} overlap and are "
      "covered by the next{}\n",
      many.description, operators.num_compared(), operators.num_replicated, operators.num_added_up,
      operators.num_covered,
      operators.num_unmatched > 0 ? fmt::format("; {} without a partner", operators.num_unmatched)
                                  : "");
  if (verdict.num_lost > 0) {
    text += fmt::format("  {} calls were overwritten in the log before they could be compared\n",
                        verdict.num_lost);
  }
  const TensorView& logits = one.logits;
  text += verdict.logits_compared
              ? fmt::format("  logits     {} rows x {}: {}\n", logits.shape[0], logits.shape[1],
                            verdict.logits_same ? "the same bits" : "DIFFERENT")
              : std::string("  logits     by fingerprint, with lm_head among the operators\n");
  text += fmt::format("  tokens     {}: {}\n", one.ids.size(),
                      verdict.ids_same ? "the same" : "DIFFERENT");
  text += "\n" + layouts_text(layouts) + "\n";
  if (operators.first) text += difference_text(*operators.first);
  text += fmt::format("verdict: {} on 1 card and on {}; {} layout copies ({})\n",
                      verdict.same() ? "the same bits" : "NOT the same",
                      static_cast<int>(many.calls.size()), many.copies.copies,
                      binary_bytes(static_cast<double>(many.copies.bytes)));
  std::fputs(text.c_str(), stdout);
}

json::object to_json(const RunRecord& one, const RunRecord& many, const Verdict& verdict,
                     const std::vector<LayoutRow>& layouts) {
  const OpComparison& operators = verdict.operators;
  json::value first = nullptr;
  if (operators.first) {
    first = {{"op", operators.first->op},
             {"scope", operators.first->scope},
             {"site", operators.first->site},
             {"rank", operators.first->rank},
             {"one", fmt::format("{:016x}", operators.first->one)},
             {"many", fmt::format("{:016x}", operators.first->many)},
             {"operands", operators.first->operands}};
  }
  json::array rows;
  for (const LayoutRow& row : layouts) {
    rows.push_back({{"op", to_string(row.op)},
                    {"layout", row.layout},
                    {"calls", row.calls},
                    {"copies", row.copies},
                    {"bytes", row.bytes}});
  }
  return {{"verdict", verdict.same() ? "same" : "different"},
          {"tp", many.calls.size()},
          {"on", many.description},
          {"operators",
           {{"compared", operators.num_compared()},
            {"replicated", operators.num_replicated},
            {"added_up", operators.num_added_up},
            {"covered", operators.num_covered},
            {"unmatched", operators.num_unmatched},
            {"lost", verdict.num_lost},
            {"different", operators.num_different}}},
          {"first_difference", first},
          {"logits", {{"compared", verdict.logits_compared}, {"same", verdict.logits_same}}},
          {"tokens",
           {{"one", ids_json(one.ids)}, {"many", ids_json(many.ids)}, {"same", verdict.ids_same}}},
          {"layouts", std::move(rows)},
          {"layout_copies", {{"copies", many.copies.copies}, {"bytes", many.copies.bytes}}}};
}

}  // namespace

int run_check(const CheckOptions& given) {
  CheckOptions options = given;
  check_common(options.common);
  check_range("--max-tokens", options.max_tokens, 1, 4096);
  // Cards with a picture each make different calls; by heads they can be compared one by one.
  if (options.common.vision_cut == "auto") options.common.vision_cut = "heads";
  const Checkpoint checkpoint = open_checkpoint(options.common.model);
  const RunRecord one = run_recorded(options, checkpoint, 1);
  const RunRecord many = run_recorded(options, checkpoint, options.common.tp);
  const Verdict verdict = judge(one, many);
  const std::vector<LayoutRow> layouts = audit_layouts(many.calls);
  if (options.common.json) {
    print_json(to_json(one, many, verdict, layouts));
  } else {
    print_verdict(one, many, verdict, layouts);
  }
  return verdict.same() ? kExitOk : kExitCheckFailed;
}

}  // namespace cardloom::app
