#include "apps/memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "apps/text.h"
#include "cardloom/backend/backends.h"
#include "cardloom/base/integer_math.h"
#include "cardloom/models/glm4v/model_sizes.h"

namespace cardloom::app {
namespace {

/// The most that is planned in whole numbers; above it only the KV cache grows, by a rate.
constexpr std::int64_t kMaxPlannedTokens = std::int64_t{1} << 28;

std::optional<std::int64_t> meminfo_available() {
  std::ifstream file("/proc/meminfo");
  std::string key;
  for (std::int64_t kib = 0; file >> key >> kib; file.ignore(64, '\n')) {
    if (key == "MemAvailable:") return kib * 1024;
  }
  return std::nullopt;
}

std::optional<std::int64_t> number_in(const char* path) {
  std::ifstream file(path);
  std::int64_t number = 0;
  if (file >> number) return number;
  return std::nullopt;  // absent, or "max"
}

/// What the cgroup leaves, page cache counted as free: the kernel gives it back when asked.
std::optional<std::int64_t> cgroup_available() {
  const auto limit = number_in("/sys/fs/cgroup/memory.max");
  if (!limit) return std::nullopt;
  std::int64_t used = number_in("/sys/fs/cgroup/memory.current").value_or(0);
  std::ifstream file("/sys/fs/cgroup/memory.stat");
  std::string key;
  for (std::int64_t bytes = 0; file >> key >> bytes;) {
    if (key == "file") used -= bytes;
  }
  return std::max<std::int64_t>(0, *limit - std::max<std::int64_t>(0, used));
}

CardPlan cards_of(const CommonOptions& options) {
  return unwrap(plan_cards({.num_cards = static_cast<int>(options.tp),
                            .threads_per_card = static_cast<int>(options.threads),
                            .isa = chosen_isa(options)}),
                kExitDevice);
}

/// Tokens of the KV cache, of which there may be absurdly many.
double tokens_of(const glm4v::Glm4vConfig& config, const CommonOptions& options,
                 const EngineNeeds& needs) {
  if (needs.kv_tokens > 0) return static_cast<double>(needs.kv_tokens);
  return static_cast<double>(context_of(options, needs, config)) *
         static_cast<double>(needs.max_sequences);
}

/// As engine_options, with a context that the model may not have: an engine refuses it, a plan
/// tells what it would take.
EngineOptions planned_options(const glm4v::Glm4vConfig& config, const CommonOptions& options,
                              const EngineNeeds& needs, double tokens) {
  EngineOptions engine = engine_options(options, needs, config);
  const double planned = std::min(tokens, static_cast<double>(kMaxPlannedTokens));
  if (needs.kv_tokens > 0 || engine.context_tokens > config.max_positions ||
      tokens != tokens_of(config, options, needs)) {
    engine.kv_tokens = std::max<std::int64_t>(static_cast<std::int64_t>(planned), 1);
    engine.context_tokens =
        std::min({engine.context_tokens, config.max_positions, engine.kv_tokens});
    const std::int64_t whole = engine.kv_tokens / engine.block_size * engine.block_size;
    if (whole < engine.context_tokens) {
      engine.kv_tokens = round_up(engine.kv_tokens, engine.block_size);
    }
  }
  return engine;
}

void add_card_items(RunPlan& plan, const std::vector<CardBytes>& cards) {
  const auto add = [&](const char* kind, std::string text, auto bytes_of) {
    server::MemoryItem item{.kind = kind, .text = std::move(text)};
    for (std::size_t rank = 0; rank < cards.size(); ++rank) item.cards.push_back(bytes_of(rank));
    plan.table.reserved.push_back(std::move(item));
  };
  const RankLimits& limits = plan.limits;
  add("weights", "weights", [&](std::size_t rank) {
    const glm4v::CardMemory& card = plan.model.cards[rank];
    return card.weights_bytes.total() + card.rotary_bytes;
  });
  add("kv", fmt::format("KV cache, {} tokens", limits.num_blocks * limits.block_size),
      [&](std::size_t rank) { return plan.ranks[rank].kv_cache; });
  add("activations", fmt::format("workspace, {} rows", limits.max_step_rows),
      [&](std::size_t rank) { return plan.ranks[rank].workspace; });
  add("vision", fmt::format("pictures, {} encoded", limits.num_picture_slots),
      [&](std::size_t rank) { return plan.ranks[rank].pictures; });
  add("logits", fmt::format("logits, {}", counted(limits.max_logits_rows, "row")),
      [&](std::size_t rank) { return plan.ranks[rank].logits; });
  add("kernels", "kernels' scratch", [&](std::size_t rank) { return cards[rank].scratch; });
  add("exchange", "exchange of cards", [&](std::size_t rank) { return cards[rank].exchange; });
  add("logs", "operator logs", [&](std::size_t rank) { return plan.ranks[rank].logs; });
}

RunPlan plan_tokens(const glm4v::Glm4vConfig& config, const CommonOptions& options,
                    const EngineNeeds& needs, const CardPlan& cards, double tokens) {
  const int tp = static_cast<int>(options.tp);
  RunPlan plan;
  plan.threads_per_card = cards.threads_per_card;
  plan.model = glm4v::plan_memory(config, {.tp = tp,
                                           .dtype = dtype_of(options),
                                           .kv_cache = kv_cache_of(options),
                                           .weights = formats_of(options).text,
                                           .vision_weights = formats_of(options).vision});
  const EngineOptions engine = planned_options(config, options, needs, tokens);
  std::vector<CardBytes> bytes;
  for (int rank = 0; rank < tp; ++rank) {
    const glm4v::Glm4vSizes sizes(config, dtype_of(options), tp, rank);
    plan.limits = rank_limits(engine, sizes.info(), tp);
    plan.ranks.push_back(plan_rank_bytes(sizes, plan.limits));
    const std::int64_t rows = std::min(plan.limits.max_logits_rows, plan.limits.max_step_rows);
    plan.scratch.push_back(
        sizes.scratch_needs(plan.limits.max_step_rows, rows, plan.limits.context_tokens));
    plan.scratch.back().candidates = kMaxCandidates;
    bytes.push_back(card_bytes(cards, tp, plan.scratch.back()));
    plan.rate +=
        static_cast<double>(plan.model.cards[static_cast<std::size_t>(rank)].kv_bytes_per_token);
  }
  add_card_items(plan, bytes);
  return plan;
}

/// The most tokens of KV cache, in thousands, with which a plan takes no more than `bytes`.
std::int64_t most_tokens(const glm4v::Glm4vConfig& config, const CommonOptions& options,
                         const EngineNeeds& needs, const CardPlan& cards, std::int64_t bytes) {
  constexpr std::int64_t kStep = 1024;
  std::int64_t low = 0;
  std::int64_t high =
      (needs.kv_tokens > 0 ? needs.kv_tokens : config.max_positions * needs.max_sequences) / kStep;
  while (low < high) {
    const std::int64_t middle = low + (high - low + 1) / 2;
    const double tokens = static_cast<double>(middle * kStep);
    const bool fits = plan_tokens(config, options, needs, cards, tokens).total_bytes() <= bytes;
    if (fits) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low * kStep;
}

std::string remedy_of(const MemoryVerdict& verdict, const EngineNeeds& needs,
                      std::int64_t context) {
  const std::int64_t fits = verdict.tokens_that_fit;
  if (fits == 0 && needs.picture_bytes > 0) {
    return "a smaller --picture-cache-bytes; if that is not enough, smaller weights (--weights q8 "
           "or q4), or a machine with more memory";
  }
  if (fits == 0) {
    return "smaller weights (--weights q8 or q4), or a machine with more memory: these leave no "
           "room for any --context here";
  }
  if (needs.kv_tokens == 0) return fmt::format("--context {} fits here", fits);
  if (fits >= context) return fmt::format("--kv-tokens {} fits here", fits);
  return fmt::format("--context {} --kv-tokens {} fits here", fits, fits);
}

}  // namespace

std::optional<std::int64_t> available_memory_bytes() {
  const auto system = meminfo_available();
  const auto group = cgroup_available();
  if (system && group) return std::min(*system, *group);
  return system ? system : group;
}

RunPlan plan_run(const glm4v::Glm4vConfig& config, const CommonOptions& options,
                 const EngineNeeds& needs) {
  return with_exit_code(kExitUsage, [&] {
    return plan_tokens(config, options, needs, cards_of(options),
                       tokens_of(config, options, needs));
  });
}

MemoryVerdict judge_memory(const glm4v::Glm4vConfig& config, const CommonOptions& options,
                           const EngineNeeds& needs) {
  const double tokens = tokens_of(config, options, needs);
  const RunPlan plan = plan_run(config, options, needs);
  const double planned = std::min(tokens, static_cast<double>(kMaxPlannedTokens));
  MemoryVerdict verdict;
  verdict.kv_tokens =
      needs.kv_tokens > 0 ? needs.kv_tokens : static_cast<std::int64_t>(std::min(tokens, 9e18));
  verdict.needed_bytes = static_cast<double>(plan.total_bytes()) + plan.rate * (tokens - planned);
  verdict.available_bytes = available_memory_bytes();
  if (verdict.available_bytes) {
    verdict.tokens_that_fit =
        most_tokens(config, options, needs, cards_of(options), *verdict.available_bytes);
  }
  return verdict;
}

RunPlan require_memory(const glm4v::Glm4vConfig& config, const CommonOptions& options,
                       const EngineNeeds& needs) {
  const MemoryVerdict verdict = judge_memory(config, options, needs);
  RunPlan plan = plan_run(config, options, needs);
  if (verdict.fits()) return plan;
  const double tokens = tokens_of(config, options, needs);
  throw Failure(
      kExitNoMemory,
      make_error(
          ErrorCode::kResourceExhausted,
          fmt::format("the model needs {} on {}, but {} are free",
                      binary_bytes(verdict.needed_bytes), counted(options.tp, "card"),
                      binary_bytes(*verdict.available_bytes)),
          fmt::format("weights {} ({}), KV cache {} for {} {} ({} a token), the rest workspace",
                      binary_bytes(plan.table.reserved.front().total()),
                      formats_text(formats_of(options)), binary_bytes(plan.rate * tokens),
                      needs.kv_tokens > 0 ? "--kv-tokens" : "--context", verdict.kv_tokens,
                      binary_bytes(plan.rate)),
          remedy_of(verdict, needs, context_of(options, needs, config))));
}

std::string memory_text(const server::MemoryTable& table) {
  const std::size_t num_cards = table.reserved.front().cards.size();
  std::vector<std::vector<std::string>> rows;
  std::vector<std::string>& heads = rows.emplace_back();
  heads.emplace_back("memory");
  for (std::size_t rank = 0; rank < num_cards; ++rank) {
    heads.push_back(fmt::format("card {}", rank));
  }
  heads.emplace_back("all");
  const auto add = [&](const std::string& text, const std::vector<std::int64_t>& cards,
                       std::int64_t all) {
    std::vector<std::string>& row = rows.emplace_back();
    row.push_back(text);
    for (std::size_t rank = 0; rank < num_cards; ++rank) {
      row.push_back(cards.empty() ? "" : binary_bytes(cards[rank]));
    }
    row.push_back(binary_bytes(all));
  };
  std::vector<std::int64_t> sums(num_cards);
  for (const server::MemoryItem& item : table.reserved) {
    if (item.total() > 0) add(item.text, item.cards, item.total());
    for (std::size_t rank = 0; rank < item.cards.size(); ++rank) sums[rank] += item.cards[rank];
  }
  add("total", sums, table.reserved_bytes());
  for (const server::MemoryItem& item : table.requests) add(item.text, {}, item.total());
  if (!table.requests.empty()) add("requests, at most", {}, table.request_bytes());
  if (table.picture_processes > 0) add("picture processes, at most", {}, table.picture_processes);
  return cardloom::app::table(rows);
}

}  // namespace cardloom::app
