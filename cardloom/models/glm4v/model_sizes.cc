#include "cardloom/models/glm4v/model_sizes.h"

#include <algorithm>

#include "cardloom/device/workspace.h"

namespace cardloom::glm4v {

Glm4vSizes::Glm4vSizes(const Glm4vConfig& config, DType dtype, int tp, int rank)
    : share_(share_of_rank(config, tp, rank)),
      tp_(tp),
      num_heads_(config.num_heads),
      intermediate_size_(config.intermediate_size),
      vision_(config.vision) {
  info_.architecture = config.vision ? "glm-4v" : "glm-4";
  info_.dtype = dtype;
  info_.vocab_size = config.vocab_size;
  info_.hidden_size = config.hidden_size;
  info_.num_layers = static_cast<int>(config.num_layers);
  info_.num_kv_heads = share_.kv_groups.size();
  info_.head_dim = config.head_dim;
  info_.max_positions = config.max_positions;
  if (!config.vision) return;
  info_.image_rows = config.vision->rows_per_image();
  info_.image_size = config.vision->image_size;
  info_.num_vision_layers = static_cast<int>(config.vision->num_layers);
  info_.vision_rows = config.vision->num_positions;
  info_.vision_hidden_size = config.vision->hidden_size;
}

/// DecoderLayer: the norm, and qkv with what is selected of it, or gate and up.
std::int64_t Glm4vSizes::layer_bytes(std::int64_t T, std::int64_t selected) const {
  const std::int64_t D = info_.head_dim;
  const std::int64_t heads = share_.heads.size();
  const std::int64_t rows = Workspace::bytes_of(info_.dtype, {selected, heads * D}) +
                            2 * Workspace::bytes_of(DType::kI32, {selected});
  return Workspace::bytes_of(info_.dtype, {T, info_.hidden_size}) +
         std::max(Workspace::bytes_of(info_.dtype, {T, (heads + 2 * share_.kv_groups.size()) * D}) +
                      rows,
                  Workspace::bytes_of(info_.dtype, {T, 2 * share_.features.size()}));
}

std::int64_t Glm4vSizes::forward_workspace_bytes(std::int64_t T, std::int64_t R) const {
  const std::int64_t H = info_.hidden_size;
  const std::int64_t selected = R < T ? R : 0;  // in the last layer; perhaps copied
  const std::int64_t logits = Workspace::bytes_of(DType::kF32, {R, share_.vocabulary.size()});
  return Workspace::bytes_of(info_.dtype, {T, H}) +
         Workspace::bytes_of(info_.dtype, {selected, H}) +
         std::max(layer_bytes(T, selected), logits);
}

/// VisionTower with so many heads and features: qkv and context, or features; and the branch.
std::int64_t Glm4vSizes::tower_bytes(std::int64_t heads, std::int64_t features) const {
  const std::int64_t P = vision_->num_positions;
  const std::int64_t width = heads * vision_->head_dim;
  const std::int64_t attention = Workspace::bytes_of(info_.dtype, {P, 3 * width}) +
                                 Workspace::bytes_of(info_.dtype, {P, width});
  return std::max(attention, Workspace::bytes_of(info_.dtype, {P, features})) +
         Workspace::bytes_of(info_.dtype, {P, vision_->hidden_size});
}

std::int64_t Glm4vSizes::projector_bytes(std::int64_t features) const {
  const std::int64_t R = vision_->num_projected();
  const std::int64_t projected = Workspace::bytes_of(info_.dtype, {R, info_.hidden_size});
  return projected + std::max(projected, Workspace::bytes_of(info_.dtype, {R, 2 * features}));
}

std::int64_t Glm4vSizes::encode_workspace_bytes(std::int64_t num_pictures) const {
  if (!vision_ || num_pictures == 0) return 0;
  const std::int64_t by_heads =
      std::max(tower_bytes(share_.vision_heads.size(), share_.vision_features.size()),
               projector_bytes(share_.features.size()));
  if (tp_ == 1 || num_pictures < tp_) return by_heads;
  const std::int64_t own_embeds =
      Workspace::bytes_of(info_.dtype, {info_.image_rows, info_.hidden_size});
  return std::max({by_heads, tower_bytes(vision_->num_heads, vision_->intermediate_size),
                   own_embeds + projector_bytes(intermediate_size_)});
}

ScratchNeeds Glm4vSizes::scratch_needs(std::int64_t T, std::int64_t R,
                                       std::int64_t context_tokens) const {
  ScratchNeeds needs;
  needs.dtype = info_.dtype;
  needs.products.push_back({T, std::max({info_.hidden_size, share_.features.size(),
                                         share_.heads.size() * info_.head_dim})});
  needs.width = info_.hidden_size;
  needs.attentions.push_back(
      {T, share_.heads.size(), share_.kv_groups.size(), info_.head_dim, context_tokens});
  needs.candidate_rows = R;
  needs.vocabulary = share_.vocabulary.size();
  needs.exchanged_rows = T;
  needs.exchanged_columns = info_.hidden_size;
  needs.gathered_bytes = R * share_.vocabulary.size() * size_of(DType::kF32);
  if (!vision_) return needs;
  const bool whole = tp_ > 1;  // pictures may be encoded by one card each
  const std::int64_t P = vision_->num_positions;
  const std::int64_t heads = whole ? vision_->num_heads : share_.vision_heads.size();
  needs.products.push_back(
      {P, std::max(vision_->hidden_size,
                   whole ? vision_->intermediate_size : share_.vision_features.size())});
  needs.products.push_back(
      {vision_->num_projected(), std::max({4 * vision_->hidden_size, info_.hidden_size,
                                           whole ? intermediate_size_ : share_.features.size()})});
  needs.width = std::max(needs.width, vision_->hidden_size);
  needs.attentions.push_back({P, heads, heads, vision_->head_dim, P});
  needs.exchanged_rows = std::max(needs.exchanged_rows, P);
  needs.exchanged_columns = std::max(needs.exchanged_columns, vision_->hidden_size);
  return needs;
}

}  // namespace cardloom::glm4v
