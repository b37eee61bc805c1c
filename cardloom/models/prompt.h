#pragma once

#include <cstdint>
#include <vector>

#include "cardloom/tensor/tensor.h"

namespace cardloom {

/// Rows [begin, end) of a prompt that are the encoded rows of picture `image`, not word embeddings.
struct ImageSpan {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t image = 0;  ///< index into Prompt::images
};

/// What a request asks of the model, in the model's own terms: one entry a row (a token, or a row
/// of a picture). Plain data.
struct Prompt {
  std::vector<std::int32_t> token_ids;  ///< rows of a picture hold its begin-of-image id
  std::vector<std::int32_t> positions;  ///< rotary position of each row
  std::int32_t next_position = 0;       ///< of the first generated token
  std::vector<ImageSpan> image_spans;   ///< in order, apart
  std::vector<Tensor> images;           ///< pixel_values f32 [3, S, S], one a picture
};

}  // namespace cardloom
