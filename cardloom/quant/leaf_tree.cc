#include "cardloom/quant/leaf_tree.h"

#include <fmt/format.h>

#include <bit>

#include "cardloom/base/check.h"
#include "cardloom/base/error.h"

namespace cardloom {

int split_node(LeafRange node) {
  const auto count = static_cast<unsigned>(node.end - node.begin);
  CARDLOOM_ASSERT(count > 1);
  return node.begin + static_cast<int>(std::bit_floor(count - 1));
}

namespace {

int collect_roots(LeafRange node, LeafRange owned, LeafRange* roots, int count) {
  if (node.end <= owned.begin || owned.end <= node.begin) return count;
  if (owned.begin <= node.begin && node.end <= owned.end) {
    CARDLOOM_ASSERT(count < kMaxRoots);
    roots[count] = node;
    return count + 1;
  }
  const int middle = split_node(node);
  count = collect_roots({node.begin, middle}, owned, roots, count);
  return collect_roots({middle, node.end}, owned, roots, count);
}

int build_program(LeafRange node, const LeafRange* sources, int num_sources, int& next,
                  TreeProgram& program) {
  if (next < num_sources && sources[next].begin == node.begin && sources[next].end == node.end) {
    return next++;
  }
  if (node.end - node.begin <= 1) {
    throw_error(ErrorCode::kInvalidArgument, "the ranks' leaves do not cover the K axis",
                fmt::format("leaf {} is missing", node.begin));
  }
  const int middle = split_node(node);
  const int left = build_program({node.begin, middle}, sources, num_sources, next, program);
  const int right = build_program({middle, node.end}, sources, num_sources, next, program);
  program.adds[program.num_adds++] = {left, right};
  return left;
}

}  // namespace

TreeProgram make_tree_program(int num_leaves, const LeafRange* sources, int num_sources) {
  TreeProgram program;
  if (num_leaves == 0) return program;
  int next = 0;
  build_program({0, num_leaves}, sources, num_sources, next, program);
  if (next != num_sources) {
    throw_error(ErrorCode::kInvalidArgument, "the ranks' leaves overlap",
                fmt::format("{} of {} sources used", next, num_sources));
  }
  return program;
}

int subtree_roots(int num_leaves, LeafRange owned, LeafRange (&roots)[kMaxRoots]) {
  if (num_leaves == 0 || owned.begin >= owned.end) return 0;
  return collect_roots({0, num_leaves}, owned, roots, 0);
}

}  // namespace cardloom
