#include "cardloom/models/glm4v/vision_view.h"

#include <cstring>
#include <functional>

namespace cardloom::glm4v {
namespace {

NormView view_of(const NormStorage& norm) { return {norm.weight, norm.bias}; }

}  // namespace

VisionView view_of_rank(const RankWeights& weights) {
  const VisionWeights& vision = *weights.vision;
  VisionView view;
  view.tower.patch = vision.patch.as_column();
  view.tower.cls_row = vision.cls_row;
  view.tower.positions = vision.positions;
  for (const VisionLayerWeights& layer : vision.layers) {
    view.tower.layers.push_back({.qkv = layer.qkv.as_column(),
                                 .dense = layer.dense.as_row(),
                                 .input_norm = view_of(layer.input_norm),
                                 .fc1 = layer.fc1.as_column(),
                                 .fc2 = layer.fc2.as_row(),
                                 .post_norm = view_of(layer.post_norm)});
  }
  const ProjectorWeights& projector = *weights.projector;
  view.projector = {.conv = projector.conv.as_column(),
                    .linear = projector.linear.as_column(),
                    .norm = view_of(projector.norm),
                    .gate_up = projector.gate_up.as_column(),
                    .down = projector.down.as_row(),
                    .boi = projector.boi,
                    .eoi = projector.eoi};
  return view;
}

/// Features are [section 0 of rank 0, section 1 of rank 0, ..]; the whole has all of section 0
/// first.
ColumnLinear WholeVision::join_columns(const std::vector<const LinearStorage*>& parts,
                                       int num_sections) {
  std::int64_t N = 0;
  for (const LinearStorage* part : parts) N += part->weight.matrix().N;
  const std::int64_t section_width = N / num_sections;
  const bool has_bias = parts[0]->bias.view().rank > 0;
  Tensor bias;
  if (has_bias) bias = Tensor(DType::kF32, {N});

  std::vector<PackedPiece> pieces;
  std::int64_t rank_begin = 0;
  for (const LinearStorage* part : parts) {
    const PackedMatrix matrix = part->weight.matrix();
    const std::int64_t width = matrix.N / num_sections;
    for (int index = 0; index < matrix.num_pieces; ++index) {
      PackedPiece piece = matrix.pieces[index];
      const std::int64_t section = piece.out_begin / width;
      piece.out_begin = section * section_width + rank_begin + piece.out_begin % width;
      pieces.push_back(piece);
    }
    for (int section = 0; has_bias && width > 0 && section < num_sections; ++section) {
      std::memcpy(bias.view().at<float>(section * section_width + rank_begin),
                  part->bias.view().at<float>(section * width),
                  static_cast<std::size_t>(width) * sizeof(float));
    }
    rank_begin += width;
  }
  PackedMatrix whole = parts[0]->weight.matrix();
  whole.N = N;
  whole.num_pieces = static_cast<int>(pieces.size());
  whole.pieces = pieces.data();  // stays where it is when the vector moves
  pieces_.push_back(std::move(pieces));
  biases_.push_back(std::move(bias));
  return {whole, biases_.back()};
}

RowLinear WholeVision::join_rows(const std::vector<const LinearStorage*>& parts) {
  std::vector<PackedPiece> pieces;
  PackedMatrix whole = parts[0]->weight.matrix();
  whole.first_leaf = 0;
  whole.K = 0;
  for (const LinearStorage* part : parts) {
    const PackedMatrix matrix = part->weight.matrix();
    for (int index = 0; index < matrix.num_pieces; ++index) {
      PackedPiece piece = matrix.pieces[index];
      piece.k_begin += whole.K;
      pieces.push_back(piece);
    }
    whole.K += matrix.K;
  }
  whole.num_pieces = static_cast<int>(pieces.size());
  whole.pieces = pieces.data();
  pieces_.push_back(std::move(pieces));
  return {whole, parts[0]->bias};
}

WholeVision::WholeVision(const std::vector<RankWeights>& ranks) : ranks_(ranks) {
  using Pick = std::function<const LinearStorage&(const RankWeights&)>;
  const auto all = [&ranks](const Pick& pick) {
    std::vector<const LinearStorage*> parts;
    parts.reserve(ranks.size());
    for (const RankWeights& weights : ranks) parts.push_back(&pick(weights));
    return parts;
  };
  for (std::size_t layer = 0; layer < ranks[0].vision->layers.size(); ++layer) {
    const auto all_of = [&](LinearStorage VisionLayerWeights::*member) {
      return all([layer, member](const RankWeights& weights) -> const LinearStorage& {
        return weights.vision->layers[layer].*member;
      });
    };
    layers_.push_back({.qkv = join_columns(all_of(&VisionLayerWeights::qkv), 3),
                       .dense = join_rows(all_of(&VisionLayerWeights::dense)),
                       .fc1 = join_columns(all_of(&VisionLayerWeights::fc1), 1),
                       .fc2 = join_rows(all_of(&VisionLayerWeights::fc2))});
  }
  gate_up_ = join_columns(all([](const RankWeights& weights) -> const LinearStorage& {
                            return weights.projector->gate_up;
                          }),
                          2);
  down_ = join_rows(all(
      [](const RankWeights& weights) -> const LinearStorage& { return weights.projector->down; }));
}

VisionView WholeVision::view(int rank) const {
  VisionView view = view_of_rank(ranks_[static_cast<std::size_t>(rank)]);
  for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
    VisionLayerView& whole = view.tower.layers[layer];
    whole.qkv = layers_[layer].qkv;
    whole.dense = layers_[layer].dense;
    whole.fc1 = layers_[layer].fc1;
    whole.fc2 = layers_[layer].fc2;
  }
  view.projector.gate_up = gate_up_;
  view.projector.down = down_;
  return view;
}

}  // namespace cardloom::glm4v
