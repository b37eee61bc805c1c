#pragma once

#include <cstdint>

#include "cardloom/base/location.h"
#include "cardloom/base/result.h"
#include "cardloom/quant/packed_matrix.h"

namespace cardloom {

// How the model is cut into cards: the single place where that is decided. Pure functions.
//
// The K axis of every row-parallel product (o, down, ...) is cut into at most 8 *leaves*, fixed by
// the weight alone. A rank owns a contiguous run of leaves, and partial sums are added leaf by
// leaf in one fixed tree: hence the same bits for every tp. Whatever produces that K axis (heads;
// gate and up rows) is cut at the same borders. All functions throw kInvalidArgument, naming the
// caller, on a negative size, or on a tp or rank out of range.

/// Leaf l is elements [border[l], border[l + 1]) of the cut axis.
struct LeafPlan {
  int num_leaves = 0;
  std::int64_t border[kMaxLeaves + 1] = {};
};

/// Positions [begin, end).
struct IndexRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;

  [[nodiscard]] std::int64_t size() const { return end - begin; }
  friend bool operator==(const IndexRange&, const IndexRange&) = default;
};

/// OK if `tp` cards can share a model, else kInvalidArgument that says which numbers work.
Status check_tp(int tp, Location caller = Location::current());

/// min(8, num_heads) leaves of whole heads, as even as possible, the first ones one head longer.
/// Borders in elements: multiples of head_dim.
LeafPlan plan_head_leaves(std::int64_t num_heads, std::int64_t head_dim,
                          Location caller = Location::current());

/// 8 leaves of K features in whole units, as even as possible, the first ones one unit longer.
/// The unit is the largest of 32, 16, 8, 4, 2, 1 that divides K and leaves at least 8 units; with
/// K < 8 there are K leaves of one feature. 32 because that is the group which shares a scale in
/// the quantised formats: a border inside a group would tie the scale to two leaves. 13696 = 428
/// units of 32 = 4 x 1728 + 4 x 1696.
LeafPlan plan_feature_leaves(std::int64_t K, Location caller = Location::current());

/// The leaves of `rank`: as even as possible, the first ranks one more (8 leaves, tp 3: 3 + 3 + 2).
/// With fewer leaves than ranks the ranks beyond own none: an empty range.
IndexRange leaves_of_rank(int num_leaves, int tp, int rank, Location caller = Location::current());

/// The elements of the cut axis that `rank` owns: its leaves, joined.
IndexRange elements_of_rank(const LeafPlan& plan, int tp, int rank,
                            Location caller = Location::current());

/// The heads of `rank`: elements_of_rank of plan_head_leaves, in heads.
IndexRange heads_of_rank(std::int64_t num_heads, int tp, int rank,
                         Location caller = Location::current());

/// The rows of embedding and lm_head that `rank` owns, as even as possible, the first ranks one
/// more.
IndexRange vocabulary_of_rank(std::int64_t vocab_size, int tp, int rank,
                              Location caller = Location::current());

/// The KV groups that query heads `heads` read: head h reads group h / (num_heads / num_groups).
/// No heads, no groups. Ranks may share a group; each then keeps its own copy.
/// Throws kInvalidArgument also if num_groups does not divide num_heads.
IndexRange kv_groups_of_heads(IndexRange heads, std::int64_t num_heads, std::int64_t num_groups,
                              Location caller = Location::current());

}  // namespace cardloom
