#include "cardloom/grammar/automaton.h"

#include <algorithm>

namespace cardloom {

using grammar::Frames;
using grammar::Place;

std::int32_t Grammar::num_passed(const State& here, std::int32_t count) const {
  const auto& thresholds = thresholds_[static_cast<std::size_t>(here.thresholds)];
  return static_cast<std::int32_t>(std::upper_bound(thresholds.begin(), thresholds.end(), count) -
                                   thresholds.begin());
}

bool Grammar::leave(Place& place, Frames& frames) const {
  const State& here = states_[static_cast<std::size_t>(place.state)];
  if (here.label < 0 || place.top < 0) return false;
  if (place.top < frames.num_base) {
    frames.num_touched = std::max(frames.num_touched, frames.num_base - place.top);
  }
  const Frames::Frame frame = frames.nodes[static_cast<std::size_t>(place.top)];
  const State& caller = states_[static_cast<std::size_t>(frame.state)];
  for (std::int32_t i = 0; i < caller.num_returns; ++i) {
    const Return& back = returns_[static_cast<std::size_t>(caller.first_return + i)];
    if (back.label != here.label) continue;
    place = {back.target, 0, frame.below, place.depth - 1};
    return true;
  }
  return false;
}

/// The step where `place` itself has none: into what it calls, or out to its callers.
bool Grammar::step_across(Place& place, Frames& frames, std::uint8_t byte) const {
  for (;;) {
    const State& here = states_[static_cast<std::size_t>(place.state)];
    const bool scarce = max_depth_ - place.depth <= scarce_depth_;
    const std::int32_t entry = here.entry[scarce ? 1 : 0];
    if (entry >= 0) {
      Place inside = place;
      inside.count = 0;
      if (follow(inside, entry, byte)) {
        inside.top = static_cast<std::int32_t>(frames.nodes.size());
        inside.depth = place.depth + 1;
        frames.nodes.push_back({place.state, place.top});
        place = inside;
        return true;
      }
    }
    if (!leave(place, frames)) return false;
    if (follow(place, place.state, byte)) return true;
  }
}

bool Grammar::may_end(Place place, Frames& frames) const {
  while (place.top >= 0) {
    if (!leave(place, frames)) return false;
  }
  return states_[static_cast<std::size_t>(place.state)].label >= 0;
}

void Grammar::settle(Place& place, Frames& frames) const {
  while (place.top >= 0 && states_[static_cast<std::size_t>(place.state)].last) {
    if (!leave(place, frames)) return;
  }
}

std::int64_t Grammar::count_class(const Place& place, std::int32_t max_chars) const {
  const State& here = states_[static_cast<std::size_t>(place.state)];
  const auto& thresholds = thresholds_[static_cast<std::size_t>(here.far_thresholds)];
  const auto next = std::upper_bound(thresholds.begin(), thresholds.end(), place.count);
  const std::int64_t num_passed = next - thresholds.begin();
  const std::int32_t distance =
      next == thresholds.end() ? max_chars + 1 : std::min(*next - place.count, max_chars + 1);
  return num_passed * (std::int64_t{1} << 32) + distance;
}

std::int32_t Grammar::depth_class(const Place& place, std::int32_t max_opens) const {
  if (scarce_depth_ < 0) return 0;
  return std::min(max_depth_ - place.depth, scarce_depth_ + max_opens + 1);
}

std::int64_t Grammar::num_bytes() const {
  std::int64_t bytes =
      static_cast<std::int64_t>(sizeof(Grammar) + states_.size() * sizeof(State) +
                                steps_.size() * sizeof(Step) + returns_.size() * sizeof(Return));
  for (const auto& list : thresholds_) {
    bytes += static_cast<std::int64_t>(sizeof(list) + list.size() * sizeof(std::int32_t));
  }
  return bytes;
}

}  // namespace cardloom
