#include "cardloom/grammar/determinize.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

namespace cardloom::grammar {
namespace {

using Items = std::vector<std::int32_t>;  ///< states of the ByteNfa, ascending

std::size_t at(std::int32_t index) { return static_cast<std::size_t>(index); }

void make_set(Items& items) {
  std::sort(items.begin(), items.end());
  items.erase(std::unique(items.begin(), items.end()), items.end());
}

struct ItemsHash {
  std::size_t operator()(const Items& items) const {
    std::uint64_t hash = 0xCBF29CE484222325u;
    for (const std::int32_t item : items) {
      hash = (hash ^ static_cast<std::uint32_t>(item)) * 0x100000001B3u;
      hash ^= hash >> 29;
    }
    return static_cast<std::size_t>(hash);
  }
};

/// Numbers for lists: the same list, the same number.
class Interner {
 public:
  std::int32_t id(const Items& list) {
    const auto [found, added] = ids_.try_emplace(list, static_cast<std::int32_t>(lists_.size()));
    if (added) lists_.push_back(list);
    return found->second;
  }
  [[nodiscard]] const Items& list(std::int32_t id) const { return lists_[at(id)]; }
  [[nodiscard]] const std::vector<Items>& lists() const { return lists_; }

 private:
  std::unordered_map<Items, std::int32_t, ItemsHash> ids_;
  std::vector<Items> lists_;
};

}  // namespace

/// The subset construction, for all rules together. A state is a set of states of the ByteNfa, that
/// belong to rules which were called together, and a layer: how many levels are left below it, or
/// the last layer for as many as are ever needed.
class Determinizer {
 public:
  Determinizer(const ByteNfa& nfa, std::string_view what)
      : nfa_(&nfa), budget_(&nfa.budget()), what_(what), height_(heights(nfa)) {}

  Grammar run() {
    require_texts();
    choose_layers();
    make_byte_classes();
    Items start;
    add_closure(nfa_->start(0), last_layer_, start);
    make_set(start);
    (void)state_of(std::move(start), last_layer_);
    while (!waiting_.empty()) {
      const std::int32_t id = waiting_.back();
      waiting_.pop_back();
      build_rows(id);
      build_calls(id);
      spread_labels(id);
    }
    finish();
    return std::move(grammar_);
  }

 private:
  /// What is known of a state of the result while it is made.
  struct Draft {
    Items items;
    std::int32_t layer = 0;
    Items before;   ///< states of the same level that lead here
    Items callers;  ///< states whose calls begin here
    Items labels;   ///< labels that can be reached from here on the same level
    std::vector<Grammar::Return> returns;
    Items counted_before;  ///< states that lead here without a reset of the count
  };

  [[nodiscard]] std::int32_t height(std::int32_t item) const { return height_[at(item)]; }

  void require_texts();
  void choose_layers();
  [[nodiscard]] bool is_nested_at_most(std::int32_t max_levels) const;
  void make_byte_classes();
  const Items& closure(std::int32_t item);
  void add_closure(std::int32_t item, std::int32_t layer, Items& out);
  std::int32_t state_of(Items items, std::int32_t layer);
  void build_rows(std::int32_t id);
  void build_row(std::int32_t id, std::int32_t count);
  void build_calls(std::int32_t id);
  std::int32_t entry_of(std::int32_t id, std::int32_t entry_layer, std::int32_t after_layer);
  void spread_labels(std::int32_t id);
  void add_label(std::int32_t id, std::int32_t label);
  void build_return(std::int32_t id, std::int32_t label);
  void finish();
  void spread_thresholds(std::vector<Items>& far);

  const ByteNfa* nfa_;
  CompileBudget* budget_;
  std::string_view what_;
  std::vector<std::int32_t> height_;
  std::int32_t max_depth_ = 0;
  std::int32_t last_layer_ = kNoHeight - 1;  ///< kNoHeight - 1 if depth never runs out
  bool layered_ = false;

  Grammar grammar_;
  std::vector<bool> class_is_possible_;
  std::vector<Items> closures_;
  std::vector<bool> has_closure_;
  Items seen_from_;  ///< the item whose closure last met each state
  struct KeyHash {
    std::size_t operator()(const std::pair<Items, std::int32_t>& key) const {
      return ItemsHash()(key.first) * 31 + static_cast<std::size_t>(key.second);
    }
  };
  std::unordered_map<std::pair<Items, std::int32_t>, std::int32_t, KeyHash> ids_;
  std::vector<Draft> drafts_;
  Items waiting_;
  Interner labels_;
  Interner thresholds_;
  std::int32_t num_rows_ = 0;
  std::vector<std::pair<std::int32_t, std::int32_t>> pending_labels_;
};

/// Rule 0 must have texts, and not only such as are deeper than the limit.
void Determinizer::require_texts() {
  max_depth_ = static_cast<std::int32_t>(std::min<std::int64_t>(budget_->limits().max_depth, 1024));
  const std::int32_t least = height(nfa_->start(0));
  if (least != kNoHeight) {
    CompileBudget::require("max_depth", least, max_depth_);
    for (std::int32_t& levels : height_) {
      if (levels > max_depth_) levels = kNoHeight;
    }
    return;
  }
  // Walk down to a rule that has no text although all that it calls has.
  std::int32_t rule = 0;
  std::vector<bool> seen(nfa_->rules().size());
  for (bool deeper = true; deeper && !seen[at(rule)];) {
    seen[at(rule)] = true;
    deeper = false;
    for (const ByteNfa::State& state : nfa_->states()) {
      if (state.rule != rule || deeper) continue;
      for (const CallEdge& call : state.calls) {
        if (height(nfa_->start(call.rule)) != kNoHeight || seen[at(call.rule)]) continue;
        rule = call.rule;
        deeper = true;
        break;
      }
    }
    budget_->spend(static_cast<std::int64_t>(nfa_->states().size()));
  }
  const std::string& origin = nfa_->rules()[at(rule)].origin;
  throw_error(ErrorCode::kInvalidArgument,
              fmt::format("{}: nothing satisfies \"{}\"", what_, origin),
              "no text can be written that would match, so no answer could ever end",
              "correct what contradicts itself there");
}

/// Layers are needed only if calls can nest deeper than the limit.
void Determinizer::choose_layers() {
  grammar_.max_depth_ = max_depth_;
  if (is_nested_at_most(max_depth_)) return;
  layered_ = true;
  last_layer_ = 0;
  for (const std::int32_t levels : height_) {
    if (levels != kNoHeight) last_layer_ = std::max(last_layer_, levels);
  }
  grammar_.scarce_depth_ = last_layer_;
}

/// Whether no chain of calls is longer; by levels of the graph of rules, outermost first.
bool Determinizer::is_nested_at_most(std::int32_t max_levels) const {
  std::vector<Items> callees(nfa_->rules().size());
  for (std::size_t i = 0; i < nfa_->states().size(); ++i) {
    const ByteNfa::State& state = nfa_->states()[i];
    if (height_[i] == kNoHeight) continue;
    for (const CallEdge& call : state.calls) {
      const bool alive =
          height(nfa_->start(call.rule)) != kNoHeight && height(call.target) != kNoHeight;
      if (alive) callees[at(state.rule)].push_back(call.rule);
    }
  }
  for (Items& list : callees) make_set(list);
  Items level = {0};
  for (std::int32_t depth = 0; depth <= max_levels; ++depth) {
    Items next;
    for (const std::int32_t rule : level) {
      budget_->spend(1 + static_cast<std::int64_t>(callees[at(rule)].size()));
      next.insert(next.end(), callees[at(rule)].begin(), callees[at(rule)].end());
    }
    make_set(next);
    if (next.empty()) return true;
    level = std::move(next);
  }
  return false;
}

/// Bytes that no edge tells apart are one class.
void Determinizer::make_byte_classes() {
  std::bitset<257> begins;
  begins.set(0);
  for (const ByteNfa::State& state : nfa_->states()) {
    for (const ByteEdge& edge : state.edges) {
      begins.set(edge.first);
      begins.set(edge.last + std::size_t{1});
    }
  }
  const std::bitset<256>& alphabet = nfa_->alphabet();
  std::int32_t current = -1;
  for (std::size_t byte = 0; byte < 256; ++byte) {
    if (begins[byte] || alphabet[byte] != alphabet[byte - 1]) {
      ++current;
      class_is_possible_.push_back(alphabet[byte]);
    }
    grammar_.byte_class_[byte] = static_cast<std::uint8_t>(current);
  }
  grammar_.num_classes_ = current + 1;
  closures_.resize(nfa_->states().size());
  has_closure_.resize(nfa_->states().size());
  seen_from_.resize(nfa_->states().size(), -1);
}

/// The states that are here when `item` is, and that matter: those with edges, calls or an end.
const Items& Determinizer::closure(std::int32_t item) {
  Items& reached = closures_[at(item)];
  if (has_closure_[at(item)]) return reached;
  has_closure_[at(item)] = true;
  Items stack = {item};
  seen_from_[at(item)] = item;
  while (!stack.empty()) {
    const std::int32_t id = stack.back();
    stack.pop_back();
    const ByteNfa::State& state = nfa_->state(id);
    if (height(id) != kNoHeight &&
        (state.accepting || !state.edges.empty() || !state.calls.empty())) {
      reached.push_back(id);
    }
    budget_->spend(1 + static_cast<std::int64_t>(state.empty.size()));
    for (const std::int32_t next : state.empty) {
      if (seen_from_[at(next)] == item) continue;
      seen_from_[at(next)] = item;
      stack.push_back(next);
    }
  }
  std::sort(reached.begin(), reached.end());
  return reached;
}

void Determinizer::add_closure(std::int32_t item, std::int32_t layer, Items& out) {
  const Items& reached = closure(item);
  budget_->spend(1 + static_cast<std::int64_t>(reached.size()));
  for (const std::int32_t id : reached) {
    if (height(id) <= layer) out.push_back(id);
  }
}

/// The state for a set, made if it is new. An empty set is no state: -1.
std::int32_t Determinizer::state_of(Items items, std::int32_t layer) {
  if (items.empty()) return -1;
  budget_->spend(static_cast<std::int64_t>(items.size()));
  const auto [found, added] =
      ids_.try_emplace({std::move(items), layer}, static_cast<std::int32_t>(drafts_.size()));
  if (!added) return found->second;
  CompileBudget::require("max_states", found->second + 1, budget_->limits().max_states);
  Draft draft;
  draft.items = found->first.first;
  draft.layer = layer;
  Items owners;
  for (const std::int32_t item : draft.items) {
    if (nfa_->state(item).accepting) owners.push_back(nfa_->state(item).rule);
  }
  make_set(owners);
  Grammar::State state;
  if (!owners.empty()) {
    state.label = labels_.id(owners);
    draft.labels = {state.label};
  }
  grammar_.states_.push_back(state);
  drafts_.push_back(std::move(draft));
  waiting_.push_back(found->second);
  return found->second;
}

void Determinizer::build_rows(std::int32_t id) {
  Items thresholds;
  for (const std::int32_t item : drafts_[at(id)].items) {
    for (const ByteEdge& edge : nfa_->state(item).edges) {
      if (edge.min_count > 0) thresholds.push_back(edge.min_count);
      if (edge.max_count != kNoMaxCount) thresholds.push_back(edge.max_count + 1);
    }
  }
  make_set(thresholds);
  grammar_.states_[at(id)].thresholds = thresholds_.id(thresholds);
  grammar_.states_[at(id)].first_row = num_rows_;
  build_row(id, 0);
  for (const std::int32_t threshold : thresholds) build_row(id, threshold);
}

/// The steps of state `id` for counts from `count` to the next threshold.
void Determinizer::build_row(std::int32_t id, std::int32_t count) {
  CompileBudget::require("max_states", ++num_rows_, budget_->limits().max_states);
  const auto num_classes = static_cast<std::size_t>(grammar_.num_classes_);
  const std::size_t row = grammar_.steps_.size();
  grammar_.steps_.resize(row + num_classes);
  std::vector<Items> targets(num_classes);
  std::vector<CountAction> actions(num_classes, CountAction::kReset);
  for (const std::int32_t item : drafts_[at(id)].items) {
    for (const ByteEdge& edge : nfa_->state(item).edges) {
      if (count < edge.min_count || count > edge.max_count) continue;
      const std::size_t last = grammar_.byte_class_[edge.last];
      for (std::size_t c = grammar_.byte_class_[edge.first]; c <= last; ++c) {
        budget_->spend(1);
        if (!class_is_possible_[c]) continue;
        targets[c].push_back(edge.target);
        actions[c] = std::max(actions[c], edge.action);
      }
    }
  }
  const std::int32_t layer = drafts_[at(id)].layer;
  std::unordered_map<Items, std::int32_t, ItemsHash> known;  // most classes go the same way
  for (std::size_t c = 0; c < num_classes; ++c) {
    if (targets[c].empty()) continue;
    make_set(targets[c]);
    auto found = known.find(targets[c]);
    if (found == known.end()) {
      Items items;
      for (const std::int32_t target : targets[c]) add_closure(target, layer, items);
      make_set(items);
      found = known.try_emplace(targets[c], state_of(std::move(items), layer)).first;
      if (found->second >= 0) drafts_[at(found->second)].before.push_back(id);
    }
    if (found->second < 0) continue;
    grammar_.steps_[row + c] = {found->second, actions[c]};
    if (actions[c] != CountAction::kReset) {
      Items& before = drafts_[at(found->second)].counted_before;
      if (before.empty() || before.back() != id) before.push_back(id);
    }
  }
}

void Determinizer::build_calls(std::int32_t id) {
  const std::int32_t layer = drafts_[at(id)].layer;
  std::array<std::int32_t, 2> entry = {-1, -1};
  if (!layered_ || layer == last_layer_) entry[0] = entry_of(id, last_layer_, layer);
  if (layered_ && layer > 0) entry[1] = entry_of(id, layer - 1, layer);
  grammar_.states_[at(id)].entry = entry;
  for (const std::int32_t begin : entry) {
    if (begin >= 0) drafts_[at(begin)].callers.push_back(id);
  }
}

/// The state in which all rules begin that state `id` calls, and that leave levels enough.
std::int32_t Determinizer::entry_of(std::int32_t id, std::int32_t entry_layer,
                                    std::int32_t after_layer) {
  Items begins;
  const Items items = drafts_[at(id)].items;
  for (const std::int32_t item : items) {
    for (const CallEdge& call : nfa_->state(item).calls) {
      if (height(call.target) <= after_layer) begins.push_back(nfa_->start(call.rule));
    }
  }
  make_set(begins);
  Items inside;
  for (const std::int32_t begin : begins) {
    if (height(begin) <= entry_layer) add_closure(begin, entry_layer, inside);
  }
  make_set(inside);
  return state_of(std::move(inside), entry_layer);
}

/// Tells those before state `id` which labels it can come to, and makes the states to which callers
/// return with them.
void Determinizer::spread_labels(std::int32_t id) {
  // What this state leads to is known already, if it was made before.
  const std::size_t num_classes = static_cast<std::size_t>(grammar_.num_classes_);
  const std::size_t row = at(grammar_.states_[at(id)].first_row) * num_classes;
  Items labels = drafts_[at(id)].labels;
  for (std::size_t i = row; i < grammar_.steps_.size(); ++i) {
    if (!grammar_.steps_[i].exists()) continue;
    const Items& next = drafts_[at(grammar_.steps_[i].target())].labels;
    labels.insert(labels.end(), next.begin(), next.end());
  }
  make_set(labels);
  drafts_[at(id)].labels.clear();
  for (const std::int32_t label : labels) pending_labels_.emplace_back(id, label);
  const std::array<std::int32_t, 2> entry = grammar_.states_[at(id)].entry;
  for (const std::int32_t begin : entry) {  // a copy: build_return may move the states
    if (begin < 0) continue;
    const Items known = drafts_[at(begin)].labels;
    for (const std::int32_t label : known) build_return(id, label);
  }
  while (!pending_labels_.empty()) {
    const auto [state, label] = pending_labels_.back();
    pending_labels_.pop_back();
    add_label(state, label);
  }
}

void Determinizer::add_label(std::int32_t id, std::int32_t label) {
  Draft& draft = drafts_[at(id)];
  const auto place = std::lower_bound(draft.labels.begin(), draft.labels.end(), label);
  if (place != draft.labels.end() && *place == label) return;
  draft.labels.insert(place, label);
  budget_->spend(1 + static_cast<std::int64_t>(draft.before.size() + draft.callers.size()));
  for (const std::int32_t before : draft.before) pending_labels_.emplace_back(before, label);
  const Items callers = draft.callers;  // build_return may move `draft`
  for (const std::int32_t caller : callers) build_return(caller, label);
}

/// Where state `id` goes on when what it called ends as `label` says.
void Determinizer::build_return(std::int32_t id, std::int32_t label) {
  for (const Grammar::Return& known : drafts_[at(id)].returns) {
    if (known.label == label) return;
  }
  const Items& ended = labels_.list(label);
  Items after;
  for (const std::int32_t item : drafts_[at(id)].items) {
    for (const CallEdge& call : nfa_->state(item).calls) {
      budget_->spend(1);
      if (!std::binary_search(ended.begin(), ended.end(), call.rule)) continue;
      add_closure(call.target, drafts_[at(id)].layer, after);
    }
  }
  make_set(after);
  const std::int32_t target = state_of(std::move(after), drafts_[at(id)].layer);
  if (target < 0) return;
  drafts_[at(id)].returns.push_back({label, target});
  drafts_[at(target)].before.push_back(id);
  for (const std::int32_t known : drafts_[at(target)].labels) {
    pending_labels_.emplace_back(id, known);
  }
}

void Determinizer::finish() {
  std::vector<Items> far(drafts_.size());
  spread_thresholds(far);
  const std::size_t num_classes = static_cast<std::size_t>(grammar_.num_classes_);
  for (std::size_t i = 0; i < drafts_.size(); ++i) {
    Grammar::State& state = grammar_.states_[i];
    const Items& thresholds = thresholds_.list(state.thresholds);
    state.first_threshold = thresholds.empty() ? kNoMaxCount : thresholds[0];
    state.far_thresholds = thresholds_.id(far[i]);
    state.first_return = static_cast<std::int32_t>(grammar_.returns_.size());
    state.num_returns = static_cast<std::int32_t>(drafts_[i].returns.size());
    grammar_.returns_.insert(grammar_.returns_.end(), drafts_[i].returns.begin(),
                             drafts_[i].returns.end());
    const std::size_t num_rows = thresholds_.list(state.thresholds).size() + 1;
    const auto* row = grammar_.steps_.data() + at(state.first_row) * num_classes;
    state.last = state.label >= 0 && state.entry[0] < 0 && state.entry[1] < 0 &&
                 std::all_of(row, row + num_rows * num_classes,
                             [](const Grammar::Step& step) { return !step.exists(); });
  }
  grammar_.thresholds_ = thresholds_.lists();
}

/// A threshold matters to all states that come to it with their count.
void Determinizer::spread_thresholds(std::vector<Items>& far) {
  Items changed;
  for (std::size_t i = 0; i < drafts_.size(); ++i) {
    far[i] = thresholds_.list(grammar_.states_[i].thresholds);
    if (!far[i].empty()) changed.push_back(static_cast<std::int32_t>(i));
  }
  while (!changed.empty()) {
    const std::int32_t id = changed.back();
    changed.pop_back();
    for (const std::int32_t before : drafts_[at(id)].counted_before) {
      budget_->spend(1 + static_cast<std::int64_t>(far[at(id)].size()));
      Items joined = far[at(before)];
      joined.insert(joined.end(), far[at(id)].begin(), far[at(id)].end());
      make_set(joined);
      if (joined.size() == far[at(before)].size()) continue;
      far[at(before)] = std::move(joined);
      changed.push_back(before);
    }
  }
}

Grammar determinize(const ByteNfa& nfa, std::string_view what) {
  return Determinizer(nfa, what).run();
}

}  // namespace cardloom::grammar
