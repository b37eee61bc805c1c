#include "cardloom/tokenizer/bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <limits>

#include "cardloom/base/error.h"

namespace cardloom {
namespace {

/// Above this the heap wins; below, looking through a few neighbours on the stack does.
constexpr std::size_t kShortPiece = 48;
constexpr std::int32_t kNoMerge = std::numeric_limits<std::int32_t>::max();

/// The rank of `bytes` as one token, or kNoMerge.
std::int32_t rank_of(const Vocabulary& vocabulary, std::string_view bytes) {
  const std::int32_t id = vocabulary.find(bytes);
  return id < 0 ? kNoMerge : id;
}

/// Merges by looking through all neighbours each time: O(n^2), for pieces of a few dozen bytes.
void merge_short(const Vocabulary& vocabulary, std::string_view piece,
                 std::vector<std::int32_t>& ids) {
  struct Part {
    std::size_t begin = 0;
    std::int32_t rank = kNoMerge;  ///< of this part and the next as one token
  };
  // One part more than bytes: the last, empty one marks the end.
  std::array<Part, kShortPiece + 1> parts;
  std::size_t num_parts = piece.size();
  const auto pair_rank = [&](std::size_t i) {
    if (i + 2 > num_parts) return kNoMerge;
    return rank_of(vocabulary, piece.substr(parts[i].begin, parts[i + 2].begin - parts[i].begin));
  };
  for (std::size_t i = 0; i <= num_parts; ++i) parts[i].begin = i;
  for (std::size_t i = 0; i < num_parts; ++i) parts[i].rank = pair_rank(i);

  while (true) {
    const auto last = parts.begin() + static_cast<std::ptrdiff_t>(num_parts);
    const auto lowest = std::min_element(
        parts.begin(), last, [](const Part& a, const Part& b) { return a.rank < b.rank; });
    if (lowest->rank == kNoMerge) break;
    std::copy(lowest + 2, last + 1, lowest + 1);
    --num_parts;
    const auto merged = static_cast<std::size_t>(lowest - parts.begin());
    parts[merged].rank = pair_rank(merged);
    if (merged > 0) parts[merged - 1].rank = pair_rank(merged - 1);
  }
  for (std::size_t i = 0; i < num_parts; ++i) {
    ids.push_back(
        vocabulary.find(piece.substr(parts[i].begin, parts[i + 1].begin - parts[i].begin)));
  }
}

/// The same with a heap of candidates over a linked list of parts: O(n log n).
class LongMerge {
 public:
  LongMerge(const Vocabulary& vocabulary, std::string_view piece)
      : vocabulary_(vocabulary), piece_(piece), parts_(piece.size() + 1) {
    const std::size_t n = piece.size();
    for (std::size_t i = 0; i <= n; ++i) {
      parts_[i].next = static_cast<std::uint32_t>(std::min(i + 1, n));
      parts_[i].previous = static_cast<std::uint32_t>(i == 0 ? 0 : i - 1);
    }
    heap_.reserve(n);
    for (std::size_t i = 0; i + 1 < n; ++i) {
      parts_[i].rank = pair_rank(i);
      if (parts_[i].rank != kNoMerge) heap_.push_back(candidate(i));
    }
    std::make_heap(heap_.begin(), heap_.end(), std::greater<>{});
  }

  void run() {
    while (!heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end(), std::greater<>{});
      const std::uint64_t best = heap_.back();
      heap_.pop_back();
      const std::size_t left = best & 0xFFFFFFFFU;
      // A candidate is stale if its part was merged since. Its rank tells: a rank is one string of
      // bytes, so the same rank at the same place is the same pair.
      if (parts_[left].rank == static_cast<std::int32_t>(best >> 32)) merge(left);
    }
  }

  void append_to(std::vector<std::int32_t>& ids) const {
    for (std::size_t i = 0; i < piece_.size(); i = parts_[i].next) {
      ids.push_back(vocabulary_.find(piece_.substr(i, parts_[i].next - i)));
    }
  }

 private:
  /// A part begins at the byte of its index; those inside another part are dead: rank kNoMerge.
  struct Part {
    std::uint32_t next = 0;
    std::uint32_t previous = 0;
    std::int32_t rank = kNoMerge;  ///< of this part and the next as one token
  };

  [[nodiscard]] std::int32_t pair_rank(std::size_t left) const {
    const std::size_t right = parts_[left].next;
    if (right == piece_.size()) return kNoMerge;
    return rank_of(vocabulary_, piece_.substr(left, parts_[right].next - left));
  }

  /// Ordered by rank, then by place: what to merge first is the least.
  [[nodiscard]] std::uint64_t candidate(std::size_t left) const {
    return static_cast<std::uint64_t>(parts_[left].rank) << 32 | left;
  }

  void update(std::size_t left) {
    parts_[left].rank = pair_rank(left);
    if (parts_[left].rank == kNoMerge) return;
    heap_.push_back(candidate(left));
    std::push_heap(heap_.begin(), heap_.end(), std::greater<>{});
  }

  void merge(std::size_t left) {
    Part& dead = parts_[parts_[left].next];
    dead.rank = kNoMerge;
    parts_[left].next = dead.next;
    parts_[dead.next].previous = static_cast<std::uint32_t>(left);
    update(left);
    if (left > 0) update(parts_[left].previous);
  }

  const Vocabulary& vocabulary_;
  std::string_view piece_;
  std::vector<Part> parts_;  ///< one a byte, and the end
  std::vector<std::uint64_t> heap_;
};

}  // namespace

void append_bpe(const Vocabulary& vocabulary, std::string_view piece,
                std::vector<std::int32_t>& ids) {
  if (piece.empty()) return;
  if (const std::int32_t id = vocabulary.find(piece); id >= 0) {
    ids.push_back(id);
  } else if (piece.size() <= kShortPiece) {
    merge_short(vocabulary, piece, ids);
  } else {
    constexpr std::size_t kMaxBytes = std::numeric_limits<std::int32_t>::max();
    if (piece.size() > kMaxBytes) {
      throw_error(ErrorCode::kResourceExhausted, "a piece of text is too long to tokenize",
                  fmt::format("{} bytes, the limit is {}", piece.size(), kMaxBytes));
    }
    LongMerge merge(vocabulary, piece);
    merge.run();
    merge.append_to(ids);
  }
}

}  // namespace cardloom
