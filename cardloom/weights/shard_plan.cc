#include "cardloom/weights/shard_plan.h"

#include <fmt/format.h>

#include <algorithm>

namespace cardloom {
namespace {

void require(bool holds, const std::string& rule, Location caller) {
  if (!holds) throw_error(ErrorCode::kInvalidArgument, rule, {}, {}, caller);
}

void require_rank(int tp, int rank, Location caller) {
  check_tp(tp, caller).or_throw();
  require(rank >= 0 && rank < tp,
          fmt::format("rank is {}, with tp {} it is 0 to {}", rank, tp, tp - 1), caller);
}

/// Part `part` of `count` things dealt to `parts`, as even as possible, the first parts one more.
IndexRange even_part(std::int64_t count, std::int64_t parts, std::int64_t part) {
  const std::int64_t each = count / parts;
  const std::int64_t longer = count % parts;
  const std::int64_t begin = part * each + std::min(part, longer);
  return {begin, begin + each + (part < longer ? 1 : 0)};
}

LeafPlan plan_units(std::int64_t num_units, std::int64_t unit) {
  LeafPlan plan;
  plan.num_leaves = static_cast<int>(std::min<std::int64_t>(kMaxLeaves, num_units));
  for (int leaf = 0; leaf < plan.num_leaves; ++leaf) {
    plan.border[leaf + 1] = even_part(num_units, plan.num_leaves, leaf).end * unit;
  }
  return plan;
}

}  // namespace

Status check_tp(int tp, Location caller) {
  if (tp >= 1 && tp <= kMaxLeaves) return {};
  return make_error(
      ErrorCode::kInvalidArgument, fmt::format("tp is {}, it must be 1 to {}", tp, kMaxLeaves),
      fmt::format("a weight is cut into at most {} leaves, and a card needs one", kMaxLeaves),
      "use --tp 1, 2, 3, 4, 5, 6, 7 or 8", caller);
}

LeafPlan plan_head_leaves(std::int64_t num_heads, std::int64_t head_dim, Location caller) {
  require(num_heads >= 0 && head_dim >= 0,
          fmt::format("{} heads of {} elements: neither may be negative", num_heads, head_dim),
          caller);
  return plan_units(num_heads, head_dim);
}

LeafPlan plan_feature_leaves(std::int64_t K, Location caller) {
  require(K >= 0, fmt::format("{} features: less than 0", K), caller);
  std::int64_t unit = 32;
  while (unit > 1 && (K % unit != 0 || K / unit < kMaxLeaves)) unit /= 2;
  return plan_units(K / unit, unit);
}

IndexRange leaves_of_rank(int num_leaves, int tp, int rank, Location caller) {
  require_rank(tp, rank, caller);
  require(num_leaves >= 0 && num_leaves <= kMaxLeaves,
          fmt::format("{} leaves, there are 0 to {}", num_leaves, kMaxLeaves), caller);
  return even_part(num_leaves, tp, rank);
}

IndexRange elements_of_rank(const LeafPlan& plan, int tp, int rank, Location caller) {
  const IndexRange leaves = leaves_of_rank(plan.num_leaves, tp, rank, caller);
  return {plan.border[leaves.begin], plan.border[leaves.end]};
}

IndexRange heads_of_rank(std::int64_t num_heads, int tp, int rank, Location caller) {
  return elements_of_rank(plan_head_leaves(num_heads, 1, caller), tp, rank, caller);
}

IndexRange vocabulary_of_rank(std::int64_t vocab_size, int tp, int rank, Location caller) {
  require_rank(tp, rank, caller);
  require(vocab_size >= 0, fmt::format("{} vocabulary rows: less than 0", vocab_size), caller);
  return even_part(vocab_size, tp, rank);
}

IndexRange kv_groups_of_heads(IndexRange heads, std::int64_t num_heads, std::int64_t num_groups,
                              Location caller) {
  require(num_groups > 0 && num_heads > 0 && num_heads % num_groups == 0,
          fmt::format("{} heads cannot share {} KV groups evenly", num_heads, num_groups), caller);
  require(0 <= heads.begin && heads.begin <= heads.end && heads.end <= num_heads,
          fmt::format("heads [{}, {}) leave the {} there are", heads.begin, heads.end, num_heads),
          caller);
  if (heads.size() == 0) return {};
  const std::int64_t heads_per_group = num_heads / num_groups;
  return {heads.begin / heads_per_group, (heads.end - 1) / heads_per_group + 1};
}

}  // namespace cardloom
