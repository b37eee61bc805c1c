#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <map>

#include "apps/commands.h"
#include "apps/memory.h"
#include "apps/session.h"
#include "apps/text.h"
#include "cardloom/models/glm4v/weight_names.h"

namespace cardloom::app {
namespace {

using glm4v::CardMemory;
using glm4v::Glm4vConfig;
using glm4v::WeightParts;

/// What is known of the weights without reading them.
struct WeightReport {
  bool has_index = false;
  std::string source;  ///< what was looked at
  std::int64_t num_tensors = 0;
  std::int64_t num_expected = 0;
  std::int64_t num_parameters = 0;
  std::vector<std::string> missing_shards;
  std::vector<std::string> surplus;
  std::map<std::string, std::int64_t> dtypes;  ///< tensors by dtype, where headers are at hand
  Status status;                               ///< the first name, shape or dtype that is wrong
};

WeightReport look_at_weights(const std::string& path, const Glm4vConfig& config) {
  WeightReport report;
  report.num_expected = static_cast<std::int64_t>(glm4v::expected_tensors(config).size());
  report.num_parameters = glm4v::num_parameters(config);
  const Result<TensorIndex> index = read_tensor_index(path);
  if (!index) {
    if (index.error().code != ErrorCode::kNotFound) report.status = index.error();
    return report;
  }
  report.has_index = true;
  report.source = index->source;
  report.num_tensors = static_cast<std::int64_t>(index->entries.size());
  report.missing_shards = index->missing_shards;
  report.surplus = glm4v::surplus_tensors(config, *index);
  for (const TensorIndexEntry& entry : index->entries) {
    if (!entry.dtype_name.empty()) ++report.dtypes[entry.dtype_name];
  }
  report.status = glm4v::check_weights(config, *index);
  return report;
}

constexpr struct {
  const char* name;
  std::int64_t WeightParts::*part;
} kParts[] = {
    {"embedding", &WeightParts::embedding}, {"text attention", &WeightParts::text_attention},
    {"text mlp", &WeightParts::text_mlp},   {"lm_head", &WeightParts::lm_head},
    {"vision", &WeightParts::vision},       {"projector", &WeightParts::projector}};

std::string architecture_text(const LoadedModelDirectory& directory, const WeightReport& weights) {
  const Glm4vConfig& config = directory.config;
  std::string text = fmt::format(
      "{} ({}, {} parameters)\n"
      "  text    {} layers, hidden {}, {} heads of {} ({} KV), mlp {}, vocabulary {}\n"
      "  context {} tokens, rotary {} of {}, theta {:g}\n",
      directory.path, directory.architecture, grouped(weights.num_parameters), config.num_layers,
      config.hidden_size, config.num_heads, config.head_dim, config.num_kv_heads,
      config.intermediate_size, config.vocab_size, config.max_positions, config.rotary_dim,
      config.head_dim, config.rope_theta);
  if (const auto& vision = config.vision) {
    text += fmt::format(
        "  vision  {} layers, hidden {}, {} heads of {}, mlp {}, pictures {} x {} -> {} rows\n",
        vision->num_layers, vision->hidden_size, vision->num_heads, vision->head_dim,
        vision->intermediate_size, vision->image_size, vision->image_size,
        vision->rows_per_image());
  }
  return text;
}

std::string weights_text(const WeightReport& weights) {
  if (!weights.has_index) return "  weights not here: planned from config.json alone\n";
  std::string dtypes;
  for (const auto& [name, count] : weights.dtypes) {
    dtypes += fmt::format(", {} {}", count, one_line(name));
  }
  std::string text =
      fmt::format("  weights {} tensors in {} ({} expected{})\n", weights.num_tensors,
                  one_line(weights.source), weights.num_expected, dtypes);
  if (!weights.missing_shards.empty()) {
    text += fmt::format("  {} not here yet, first {}: shapes and dtypes are not checked there\n",
                        counted(static_cast<std::int64_t>(weights.missing_shards.size()), "shard"),
                        one_line(weights.missing_shards.front()));
  }
  if (!weights.surplus.empty()) {
    text += fmt::format("  {} that the model does not use, first {}\n",
                        counted(static_cast<std::int64_t>(weights.surplus.size()), "tensor"),
                        one_line(weights.surplus.front()));
  }
  return text;
}

std::string plan_text(const RunPlan& plan) {
  std::vector<std::vector<std::string>> rows;
  std::vector<std::string>& heads = rows.emplace_back();
  heads.emplace_back("weights");
  const std::vector<CardMemory>& cards = plan.model.cards;
  for (const CardMemory& card : cards) heads.push_back(fmt::format("card {}", card.rank));
  heads.emplace_back("all");
  const auto add = [&](std::string name, auto bytes_of) {
    std::vector<std::string>& row = rows.emplace_back();
    row.push_back(std::move(name));
    std::int64_t sum = 0;
    for (const CardMemory& card : cards) {
      row.push_back(binary_bytes(bytes_of(card)));
      sum += bytes_of(card);
    }
    row.push_back(binary_bytes(sum));
  };
  for (const auto& part : kParts) {
    add(part.name, [&](const CardMemory& card) { return card.weights_bytes.*part.part; });
  }
  add("rotary table", [](const CardMemory& card) { return card.rotary_bytes; });
  add("KV of a token", [](const CardMemory& card) { return card.kv_bytes_per_token; });
  return table(rows) + "\n" + memory_text(plan.table);
}

json::object range_json(const IndexRange& range) {
  return {{"begin", range.begin}, {"end", range.end}};
}

json::array cards_json(const RunPlan& plan) {
  json::array cards;
  for (const CardMemory& card : plan.model.cards) {
    json::object weights;
    for (const auto& part : kParts) {
      std::string key = part.name;
      std::replace(key.begin(), key.end(), ' ', '_');
      weights[key] = card.weights_bytes.*part.part;
    }
    weights["total"] = card.weights_bytes.total();
    json::object memory;
    std::int64_t total = 0;
    for (const server::MemoryItem& item : plan.table.reserved) {
      memory[item.kind] = item.cards[static_cast<std::size_t>(card.rank)];
      total += item.cards[static_cast<std::size_t>(card.rank)];
    }
    cards.push_back({{"rank", card.rank},
                     {"heads", range_json(card.share.heads)},
                     {"kv_groups", range_json(card.share.kv_groups)},
                     {"features", range_json(card.share.features)},
                     {"vocabulary", range_json(card.share.vocabulary)},
                     {"weights_bytes", std::move(weights)},
                     {"kv_bytes_per_token", card.kv_bytes_per_token},
                     {"memory_bytes", std::move(memory)},
                     {"total_bytes", total}});
  }
  return cards;
}

std::string verdict_text(const WeightReport& weights, const MemoryVerdict& memory,
                         const CommonOptions& options) {
  const std::string checked = !weights.status                  ? "the checkpoint is wrong"
                              : !weights.has_index             ? "config good, weights not here"
                              : weights.missing_shards.empty() ? "names, shapes and dtypes good"
                                                               : "names good, some shards not here";
  std::string room = "free memory unknown";
  if (memory.available_bytes) {
    room = memory.fits()
               ? fmt::format("fits into the {} free here", binary_bytes(*memory.available_bytes))
               : fmt::format("does not fit into the {} free here",
                             binary_bytes(*memory.available_bytes));
    if (!memory.fits() && memory.tokens_that_fit > 0) {
      room += fmt::format(" (--context {} would)", memory.tokens_that_fit);
    }
  }
  const DType kv_cache = kv_cache_of(options);
  return fmt::format(
      "verdict: {}; {} on {} in {}, {}{}", checked, binary_bytes(memory.needed_bytes),
      counted(options.tp, "card"), formats_text(formats_of(options)),
      kv_cache == dtype_of(options) ? "" : fmt::format("KV cache {}, ", kv_cache_name(kv_cache)),
      room);
}

json::object to_json(const LoadedModelDirectory& directory, const WeightReport& weights,
                     const RunPlan& plan, const MemoryVerdict& memory) {
  const Glm4vConfig& config = directory.config;
  json::object object{
      {"architecture", directory.architecture},
      {"parameters", weights.num_parameters},
      {"layers", config.num_layers},
      {"hidden_size", config.hidden_size},
      {"heads", config.num_heads},
      {"kv_heads", config.num_kv_heads},
      {"vocab_size", config.vocab_size},
      {"max_positions", config.max_positions},
      {"tensors_expected", weights.num_expected},
      {"tensors", weights.has_index ? json::value(weights.num_tensors) : nullptr},
      {"missing_shards", json::array(weights.missing_shards.begin(), weights.missing_shards.end())},
      {"surplus", json::array(weights.surplus.begin(), weights.surplus.end())},
      {"problem",
       weights.status ? json::value(nullptr) : json::value(weights.status.error().message)},
      {"tp", plan.model.options.tp},
      {"dtype", to_string(plan.model.options.dtype)},
      {"weights", to_string(*plan.model.options.weights)},
      {"vision_weights", to_string(*plan.model.options.vision_weights)},
      {"kv_cache", kv_cache_name(*plan.model.options.kv_cache)},
      {"context", memory.kv_tokens},
      {"cards", cards_json(plan)},
      {"needed_bytes", memory.needed_bytes},
      {"fits", memory.fits()}};
  if (config.vision) {
    object["vision"] = {{"layers", config.vision->num_layers},
                        {"hidden_size", config.vision->hidden_size},
                        {"heads", config.vision->num_heads},
                        {"image_size", config.vision->image_size},
                        {"rows_per_image", config.vision->rows_per_image()}};
  }
  if (memory.available_bytes) object["available_bytes"] = *memory.available_bytes;
  return object;
}

}  // namespace

int run_inspect(const InspectOptions& options) {
  check_common(options.common);
  const LoadedModelDirectory directory = open_directory(options.common.model);
  const WeightReport weights = look_at_weights(options.common.model, directory.config);
  const RunPlan plan = plan_run(directory.config, options.common);
  const MemoryVerdict memory = judge_memory(directory.config, options.common);
  if (options.common.json) {
    print_json(to_json(directory, weights, plan, memory));
  } else {
    const std::string text = architecture_text(directory, weights) + weights_text(weights) + "\n" +
                             plan_text(plan) + "\n" +
                             verdict_text(weights, memory, options.common) + "\n";
    std::fputs(text.c_str(), stdout);
  }
  unwrap(weights.status, kExitBadModel);
  return kExitOk;
}

}  // namespace cardloom::app
