#pragma once

#include <memory>
#include <vector>

#include "cardloom/models/glm4v/weights.h"

namespace cardloom::glm4v {

// What the vision tower and the projector compute with: one rank's share of the cut weights, or all
// of them. Views; H = hidden size of the text model, W = that of the vision model.

struct NormView {
  TensorView weight;  ///< f32
  TensorView bias;    ///< f32
};

struct VisionLayerView {
  ColumnLinear qkv;
  RowLinear dense;
  NormView input_norm;
  ColumnLinear fc1;
  RowLinear fc2;
  NormView post_norm;
};

struct VisionTowerView {
  ColumnLinear patch;
  TensorView cls_row;    ///< [1, W]
  TensorView positions;  ///< [patches, W]
  std::vector<VisionLayerView> layers;
};

struct ProjectorView {
  ColumnLinear conv;
  ColumnLinear linear;
  NormView norm;
  ColumnLinear gate_up;
  RowLinear down;
  TensorView boi;  ///< [1, H]
  TensorView eoi;  ///< [1, H]
};

struct VisionView {
  VisionTowerView tower;
  ProjectorView projector;
};

/// One rank's share. Needs weights.vision and weights.projector.
[[nodiscard]] VisionView view_of_rank(const RankWeights& weights);

/// The cut weights of the vision half put together from all ranks' pieces, which stay where their
/// ranks packed them: ranks are threads of one process. Owns the lists of pieces and the joined
/// biases only.
///
/// Any rank may then compute a whole picture by itself, with the same bits as all ranks together:
/// a product's bits do not depend on N, and leaves are added by the same tree.
class WholeVision {
 public:
  /// `ranks` must outlive this; all hold vision weights.
  explicit WholeVision(const std::vector<RankWeights>& ranks);

  /// The whole, with `rank`'s own copy of what every rank holds.
  [[nodiscard]] VisionView view(int rank) const;

 private:
  struct Layer {
    ColumnLinear qkv;
    RowLinear dense;
    ColumnLinear fc1;
    RowLinear fc2;
  };
  ColumnLinear join_columns(const std::vector<const LinearStorage*>& parts, int num_sections);
  RowLinear join_rows(const std::vector<const LinearStorage*>& parts);

  const std::vector<RankWeights>& ranks_;
  std::vector<std::vector<PackedPiece>> pieces_;
  std::vector<Tensor> biases_;
  std::vector<Layer> layers_;
  ColumnLinear gate_up_;
  RowLinear down_;
};

}  // namespace cardloom::glm4v
