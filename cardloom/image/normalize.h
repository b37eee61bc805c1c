#pragma once

#include "cardloom/image/image.h"
#include "cardloom/tensor/tensor_view.h"

namespace cardloom {

/// CLIP's statistics of R, G, B, in units of full brightness.
/// Source: THUDM/glm-4v-9b tokenization_chatglm.py, the torchvision Normalize.
inline constexpr float kClipMean[3] = {0.48145466F, 0.4578275F, 0.40821073F};
inline constexpr float kClipStd[3] = {0.26862954F, 0.26130258F, 0.27577711F};

/// pixel_values[c, y, x] = (image(x, y, c) / 255 - kClipMean[c]) / kClipStd[c], each step rounded
/// to f32, so that the bits are those of torchvision's ToTensor and Normalize.
///
/// image         H x W pixels
/// pixel_values  f32 [3, H, W], any strides
///
/// Throws kInvalidArgument on operands that do not fit.
void normalize(const Image& image, const TensorView& pixel_values,
               Location caller = Location::current());

}  // namespace cardloom
