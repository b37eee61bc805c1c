#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace cardloom {

namespace grammar {

class Determinizer;

/// What an edge does to the count of characters (in a string) or bytes (of white space). When
/// edges of several alternatives fall together, the greatest wins: those that count are in step,
/// because JSON has one way to be cut into strings and white space.
enum class CountAction : std::uint8_t { kReset, kKeep, kAdd };

/// Callers' states of a place, linked from the innermost outwards, so that the many places of a
/// walk through all tokens share them. Frames below `num_base` are the sequence's own.
struct Frames {
  struct Frame {
    std::int32_t state = 0;
    std::int32_t below = -1;  ///< index of the frame it lies on; -1: none
  };
  std::vector<Frame> nodes;
  std::int32_t num_base = 0;
  std::int32_t num_touched = 0;  ///< how many of the sequence's own, from the top, were looked at
};

/// Where in a grammar a text is.
struct Place {
  std::int32_t state = 0;
  std::int32_t count = 0;  ///< characters of the open string, or bytes of white space
  std::int32_t top = -1;   ///< innermost frame
  std::int32_t depth = 0;  ///< number of frames
};

}  // namespace grammar

/// A deterministic pushdown automaton over bytes. A state without a step for a byte may call (then
/// its number goes on the stack and the byte is read behind it), or may be the end of what its
/// caller called (then the caller goes on, to a state that depends on which of the rules that it
/// called have ended). Rules are made deterministic together wherever they are called together,
/// so alternatives cost states but no search.
///
/// States may depend on a count in steps (`thresholds`): strings with bounds on their length need
/// no state for each length. Where nesting is unbounded, states near the limit of the depth are
/// states of their own, without what could no longer be closed again.
class Grammar {
 public:
  [[nodiscard]] grammar::Place start() const { return {}; }

  /// Moves `place` on by `byte`; false if no text of the grammar goes on so (`place` is then of no
  /// use).
  [[nodiscard]] bool step(grammar::Place& place, grammar::Frames& frames, std::uint8_t byte) const {
    return follow(place, place.state, byte) || step_across(place, frames, byte);
  }

  /// Whether the text may end at `place`.
  [[nodiscard]] bool may_end(grammar::Place place, grammar::Frames& frames) const;

  /// Leaves rules that nothing can follow any more, so that equal places look equal.
  void settle(grammar::Place& place, grammar::Frames& frames) const;

  /// A number that is equal for counts of a state which no text of up to `max_chars` characters
  /// can tell apart.
  [[nodiscard]] std::int64_t count_class(const grammar::Place& place, std::int32_t max_chars) const;

  /// Likewise for the depth of the stack, and texts that go up to `max_opens` deeper.
  [[nodiscard]] std::int32_t depth_class(const grammar::Place& place, std::int32_t max_opens) const;

  [[nodiscard]] std::int32_t num_states() const {
    return static_cast<std::int32_t>(states_.size());
  }
  [[nodiscard]] std::int64_t num_bytes() const;

  /// What tells it from other grammars of its compiler.
  [[nodiscard]] std::int64_t id() const { return id_; }
  void set_id(std::int64_t id) { id_ = id; }

 private:
  friend class grammar::Determinizer;

  struct State {
    std::int32_t first_row = 0;
    std::int32_t first_threshold = 0;  ///< below this count, the first row
    std::int32_t thresholds = 0;       ///< index of the list at which rows change
    std::int32_t far_thresholds = 0;   ///< index of the list that matters before the next reset
    std::int32_t label = -1;           ///< which rules end here; -1: none
    std::array<std::int32_t, 2> entry = {-1, -1};  ///< where calls begin: ample depth, scarce depth
    std::int32_t first_return = 0;
    std::int32_t num_returns = 0;
    bool last = false;  ///< nothing follows within the rule
  };
  struct Return {
    std::int32_t label = 0;
    std::int32_t target = 0;
  };
  using CountAction = grammar::CountAction;
  /// Where a byte leads. Few bytes each, for a mask looks at hundreds of thousands.
  class Step {
   public:
    Step() = default;
    Step(std::int32_t target, CountAction action)
        : bits_((static_cast<std::uint32_t>(target) + 1) << 2 |
                static_cast<std::uint32_t>(action)) {}
    [[nodiscard]] bool exists() const { return bits_ != 0; }
    [[nodiscard]] std::int32_t target() const { return static_cast<std::int32_t>(bits_ >> 2) - 1; }
    [[nodiscard]] CountAction action() const { return static_cast<CountAction>(bits_ & 3); }

   private:
    std::uint32_t bits_ = 0;
  };

  /// The step of `state` itself, without the stack.
  [[nodiscard]] bool follow(grammar::Place& place, std::int32_t state, std::uint8_t byte) const {
    const State& here = states_[static_cast<std::size_t>(state)];
    std::int32_t row = here.first_row;
    if (place.count >= here.first_threshold) row += num_passed(here, place.count);
    const Step step =
        steps_[static_cast<std::size_t>(row) * static_cast<std::size_t>(num_classes_) +
               byte_class_[byte]];
    if (!step.exists()) return false;
    place.state = step.target();
    if (step.action() == CountAction::kReset) place.count = 0;
    if (step.action() == CountAction::kAdd) ++place.count;
    return true;
  }
  [[nodiscard]] std::int32_t num_passed(const State& here, std::int32_t count) const;
  [[nodiscard]] bool step_across(grammar::Place& place, grammar::Frames& frames,
                                 std::uint8_t byte) const;
  [[nodiscard]] bool leave(grammar::Place& place, grammar::Frames& frames) const;

  std::array<std::uint8_t, 256> byte_class_{};
  std::int32_t num_classes_ = 0;
  std::vector<State> states_;
  std::vector<Step> steps_;  ///< [row, class]
  std::vector<Return> returns_;
  std::vector<std::vector<std::int32_t>> thresholds_;
  std::int32_t scarce_depth_ = -1;  ///< levels left from which scarce entries count; -1: never
  std::int32_t max_depth_ = 0;
  std::int64_t id_ = 0;
};

}  // namespace cardloom
