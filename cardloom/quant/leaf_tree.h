#pragma once

namespace cardloom {

/// How many leaves a K axis is cut into at the most; also the largest tp (design: cards 1 to 8).
inline constexpr int kMaxLeaves = 8;

/// The fixed summation tree over `num_leaves` leaves: left-balanced binary, so a node over n > 1
/// leaves has the largest power of two below n on its left. Ranks send the sums of the maximal
/// complete subtrees they own; adding those up by the same tree gives every tp the same bits.
struct LeafRange {
  int begin = 0;
  int end = 0;
};
/// Splits the node [begin, end): returns the border between its left and right child. Needs end -
/// begin > 1.
[[nodiscard]] int split_node(LeafRange node);

/// The maximal subtrees of the tree over `num_leaves` leaves that lie inside `owned`, left to
/// right. At most 2 * log2(8) = 6; in fact at most 4. Returns how many were written to `roots`.
inline constexpr int kMaxRoots = 4;
int subtree_roots(int num_leaves, LeafRange owned, LeafRange (&roots)[kMaxRoots]);

/// How to add up some nodes of the tree: `sources` are nodes that together cover it, left to right;
/// then for every step in order, source[into] += source[from]; source 0 ends as the sum. The
/// same additions whatever the sources are, so every cut gives the same bits.
struct TreeProgram {
  struct Add {
    int into = 0;
    int from = 0;
  };
  int num_adds = 0;
  Add adds[kMaxLeaves - 1];
};
/// Throws kInvalidArgument unless the sources are nodes of the tree over `num_leaves` leaves that
/// cover all of it.
[[nodiscard]] TreeProgram make_tree_program(int num_leaves, const LeafRange* sources,
                                            int num_sources);

}  // namespace cardloom
