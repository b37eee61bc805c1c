#include <algorithm>
#include <functional>
#include <queue>

#include "cardloom/grammar/determinize.h"

namespace cardloom::grammar {
namespace {

/// Dijkstra's search backwards from the ends of all rules at once. A call costs as much as the
/// deeper of what it calls, plus one, and what follows.
class HeightSearch {
 public:
  explicit HeightSearch(const ByteNfa& nfa)
      : nfa_(&nfa),
        height_(nfa.states().size(), kNoHeight),
        before_(nfa.states().size()),
        calls_before_(nfa.states().size()),
        calls_of_(nfa.rules().size()) {}

  std::vector<std::int32_t> run() {
    for (std::size_t i = 0; i < height_.size(); ++i) link(static_cast<std::int32_t>(i));
    while (!queue_.empty()) {
      const auto [height, state] = queue_.top();
      queue_.pop();
      if (height == of(state)) settle(state);
    }
    return std::move(height_);
  }

 private:
  struct Call {
    std::int32_t from = 0;
    CallEdge edge;
  };

  std::int32_t& of(std::int32_t state) { return height_[static_cast<std::size_t>(state)]; }

  void link(std::int32_t id) {
    const ByteNfa::State& state = nfa_->state(id);
    for (const ByteEdge& edge : state.edges) {
      bool possible = false;
      for (int byte = edge.first; byte <= edge.last && !possible; ++byte) {
        possible = nfa_->alphabet()[static_cast<std::size_t>(byte)];
      }
      if (possible) before_[static_cast<std::size_t>(edge.target)].push_back(id);
    }
    for (const std::int32_t target : state.empty) {
      before_[static_cast<std::size_t>(target)].push_back(id);
    }
    for (const CallEdge& edge : state.calls) {
      calls_before_[static_cast<std::size_t>(edge.target)].push_back({id, edge});
      calls_of_[static_cast<std::size_t>(edge.rule)].push_back({id, edge});
    }
    if (state.accepting) lower(id, 0);
  }

  void lower(std::int32_t state, std::int32_t height) {
    if (height >= of(state)) return;
    of(state) = height;
    queue_.push({height, state});
  }

  void settle(std::int32_t state) {
    nfa_->budget().spend(1);
    const std::int32_t height = of(state);
    for (const std::int32_t from : before_[static_cast<std::size_t>(state)]) lower(from, height);
    for (const Call& call : calls_before_[static_cast<std::size_t>(state)]) try_call(call);
    const std::int32_t rule = nfa_->state(state).rule;
    if (nfa_->start(rule) != state) return;
    for (const Call& call : calls_of_[static_cast<std::size_t>(rule)]) try_call(call);
  }

  void try_call(const Call& call) {
    nfa_->budget().spend(1);
    const std::int32_t inner = of(nfa_->start(call.edge.rule));
    const std::int32_t after = of(call.edge.target);
    if (inner == kNoHeight || after == kNoHeight) return;
    lower(call.from, std::max(inner + 1, after));
  }

  using Entry = std::pair<std::int32_t, std::int32_t>;
  const ByteNfa* nfa_;
  std::vector<std::int32_t> height_;
  std::vector<std::vector<std::int32_t>> before_;
  std::vector<std::vector<Call>> calls_before_;
  std::vector<std::vector<Call>> calls_of_;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> queue_;
};

}  // namespace

std::vector<std::int32_t> heights(const ByteNfa& nfa) { return HeightSearch(nfa).run(); }

}  // namespace cardloom::grammar
