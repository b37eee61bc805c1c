#include "cardloom/grammar/token_trie.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace cardloom::grammar {

TokenTrie::TokenTrie(const Tokenizer& tokenizer, std::int32_t vocab_size,
                     const std::vector<std::int32_t>& left_out) {
  std::vector<std::pair<std::string_view, std::int32_t>> tokens;
  for (std::int32_t id = 0; id < std::min(vocab_size, tokenizer.vocab_size()); ++id) {
    const std::string_view bytes = tokenizer.token_bytes(id);
    if (bytes.empty() || bytes.size() > 0xFFFF) continue;
    if (std::find(left_out.begin(), left_out.end(), id) != left_out.end()) continue;
    tokens.emplace_back(bytes, id);
  }
  std::sort(tokens.begin(), tokens.end());
  std::vector<std::int32_t> path;  // nodes above, one a byte
  const auto close_to = [&](std::size_t depth) {
    for (; path.size() > depth; path.pop_back()) {
      nodes_[static_cast<std::size_t>(path.back())].end = static_cast<std::int32_t>(nodes_.size());
    }
  };
  std::string_view before;
  for (const auto& [bytes, id] : tokens) {
    if (bytes == before) continue;  // two ids for the same bytes: the lower one stands for both
    const auto differs = std::mismatch(before.begin(), before.end(), bytes.begin(), bytes.end());
    close_to(static_cast<std::size_t>(differs.second - bytes.begin()));
    for (std::size_t i = path.size(); i < bytes.size(); ++i) {
      Node node;
      node.byte = static_cast<std::uint8_t>(bytes[i]);
      node.depth = static_cast<std::uint16_t>(i);
      path.push_back(static_cast<std::int32_t>(nodes_.size()));
      nodes_.push_back(node);
    }
    nodes_.back().token = id;
    before = bytes;
    if (bytes.size() == 1) single_bytes_.set(static_cast<std::uint8_t>(bytes[0]));
    max_token_bytes_ = std::max(max_token_bytes_, static_cast<std::int32_t>(bytes.size()));
    const auto opens =
        std::count_if(bytes.begin(), bytes.end(), [](char c) { return c == '{' || c == '['; });
    max_opens_ = std::max(max_opens_, static_cast<std::int32_t>(opens));
  }
  close_to(0);
}

void TokenTrie::allow(const Grammar& grammar, const Place& place, Frames& frames,
                      TokenMask& mask) const {
  struct Level {
    Place place;
    std::size_t num_frames = 0;  ///< frames that were pushed on the way here
  };
  std::vector<Level> levels(static_cast<std::size_t>(max_token_bytes_) + 1);
  const std::size_t num_frames = frames.nodes.size();
  levels[0] = {place, num_frames};
  const auto num_nodes = static_cast<std::int32_t>(nodes_.size());
  for (std::int32_t i = 0; i < num_nodes;) {
    const Node& node = nodes_[static_cast<std::size_t>(i)];
    const Level& above = levels[node.depth];
    if (frames.nodes.size() != above.num_frames) frames.nodes.resize(above.num_frames);
    Level& here = levels[node.depth + std::size_t{1}];
    here.place = above.place;
    if (!grammar.step(here.place, frames, node.byte)) {
      i = node.end;
      continue;
    }
    here.num_frames = frames.nodes.size();
    if (node.token >= 0) mask.insert(node.token);
    ++i;
  }
  frames.nodes.resize(num_frames);
}

}  // namespace cardloom::grammar
