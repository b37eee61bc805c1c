#include "apps/memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "apps/session.h"
#include "apps/text.h"

namespace cardloom::app {
namespace {

/// The most that plan_memory takes; above it only the KV cache grows, by a rate it tells.
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

double kv_bytes_per_token(const glm4v::MemoryPlan& plan) {
  double sum = 0;
  for (const auto& card : plan.cards) sum += static_cast<double>(card.kv_bytes_per_token);
  return sum;
}

}  // namespace

std::optional<std::int64_t> available_memory_bytes() {
  const auto system = meminfo_available();
  const auto group = cgroup_available();
  if (system && group) return std::min(*system, *group);
  return system ? system : group;
}

glm4v::MemoryPlan plan_for(const glm4v::Glm4vConfig& config, const CommonOptions& options) {
  glm4v::MemoryPlanOptions plan;
  plan.tp = static_cast<int>(options.tp);
  plan.dtype = dtype_of(options);
  plan.weights = formats_of(options).text;
  plan.vision_weights = formats_of(options).vision;
  plan.kv_cache = kv_cache_of(options);
  plan.context_tokens = std::min(options.context, kMaxPlannedTokens);
  plan.block_size = EngineOptions{}.block_size;
  plan.step_tokens = options.chunk;
  plan.pictures_at_once = EngineOptions{}.max_pictures_per_step;
  return with_exit_code(kExitUsage, [&] { return glm4v::plan_memory(config, plan); });
}

MemoryVerdict judge_memory(const glm4v::Glm4vConfig& config, const CommonOptions& options) {
  const glm4v::MemoryPlan plan = plan_for(config, options);
  const double rate = kv_bytes_per_token(plan);
  const auto planned = static_cast<double>(plan.options.context_tokens);
  MemoryVerdict verdict;
  verdict.context_tokens = options.context > 0 ? options.context : plan.options.context_tokens;
  verdict.needed_bytes = static_cast<double>(plan.total_bytes) +
                         rate * (static_cast<double>(verdict.context_tokens) - planned);
  verdict.available_bytes = available_memory_bytes();
  if (verdict.available_bytes && rate > 0) {
    const double rest = static_cast<double>(*verdict.available_bytes) -
                        (static_cast<double>(plan.total_bytes) - rate * planned);
    const double tokens = std::floor(rest / rate / 1024) * 1024;
    verdict.context_that_fits = static_cast<std::int64_t>(
        std::clamp(tokens, 0.0, static_cast<double>(config.max_positions)));
  }
  return verdict;
}

void require_memory(const glm4v::Glm4vConfig& config, const CommonOptions& options) {
  const MemoryVerdict verdict = judge_memory(config, options);
  if (verdict.fits()) return;
  const glm4v::MemoryPlan plan = plan_for(config, options);
  double weights = 0;
  for (const auto& card : plan.cards) weights += static_cast<double>(card.weights_bytes.total());
  const double rate = kv_bytes_per_token(plan);
  throw Failure(
      kExitNoMemory,
      make_error(ErrorCode::kResourceExhausted,
                 fmt::format("the model needs {} on {}, but {} are free",
                             binary_bytes(verdict.needed_bytes), counted(options.tp, "card"),
                             binary_bytes(*verdict.available_bytes)),
                 fmt::format("weights {} ({}), KV cache {} for --context {} ({} a token), the rest "
                             "workspace",
                             binary_bytes(weights), formats_text(formats_of(options)),
                             binary_bytes(rate * static_cast<double>(verdict.context_tokens)),
                             verdict.context_tokens, binary_bytes(rate)),
                 verdict.context_that_fits > 0
                     ? fmt::format("--context {} fits here", verdict.context_that_fits)
                     : "a machine with more memory; the weights alone do not leave room for any "
                       "--context here"));
}

}  // namespace cardloom::app
