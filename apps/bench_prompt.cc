#include "apps/bench_prompt.h"

#include <algorithm>
#include <utility>

#include "cardloom/models/glm4v/processor.h"

namespace cardloom::app {

Prompt BenchPrompts::text(std::int64_t rows) {
  std::int64_t least = checkpoint_.config().vocab_size;  // the special ids are the largest
  for (const std::int32_t id : checkpoint_.stop_ids()) least = std::min<std::int64_t>(least, id);
  const auto bound = static_cast<std::uint64_t>(std::max<std::int64_t>(least, 1));
  Prompt prompt;
  for (std::int64_t row = 0; row < rows; ++row) {
    random_ = random_ * 6364136223846793005U + 1442695040888963407U;  // Knuth's MMIX
    prompt.token_ids.push_back(static_cast<std::int32_t>((random_ >> 33) % bound));
    prompt.positions.push_back(static_cast<std::int32_t>(row));
  }
  prompt.next_position = static_cast<std::int32_t>(rows);
  return prompt;
}

Prompt BenchPrompts::picture() const {
  const glm4v::Glm4vConfig& config = checkpoint_.config();
  const std::int64_t size = config.vision->image_size;
  Tensor pixels(DType::kF32, {config.vision->in_channels, size, size});
  for (std::int64_t index = 0; index < pixels.view().num_elements(); ++index) {
    reinterpret_cast<float*>(pixels.view().data)[index] =
        static_cast<float>(index * 7919 % 2048) / 1024 - 1;
  }
  std::vector<Tensor> images;
  images.push_back(std::move(pixels));
  const TokenizedChat chat =
      unwrap(glm4v::find_pictures({*config.boi_token_id, 0, *config.eoi_token_id}, 1, config),
             kExitFailed);
  return unwrap(glm4v::make_prompt(chat, std::move(images), config), kExitFailed);
}

}  // namespace cardloom::app
