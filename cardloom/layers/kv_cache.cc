#include "cardloom/layers/kv_cache.h"

#include <fmt/format.h>

#include "cardloom/base/error.h"

namespace cardloom {

KvCache::KvCache(int num_layers, std::int64_t num_blocks, std::int64_t block_size,
                 std::int64_t num_kv_heads, std::int64_t head_dim, DType dtype, DeviceId device) {
  if (num_layers < 1 || num_blocks < 1 || block_size < 1 || num_kv_heads < 0 || head_dim < 1) {
    throw_error(ErrorCode::kInvalidArgument,
                "a KV cache needs at least one layer, block, token a block and head element",
                fmt::format("{} layers, {} blocks of {} tokens, {} heads of {}", num_layers,
                            num_blocks, block_size, num_kv_heads, head_dim));
  }
  keys_.reserve(static_cast<std::size_t>(num_layers));
  values_.reserve(static_cast<std::size_t>(num_layers));
  for (int layer = 0; layer < num_layers; ++layer) {
    keys_.emplace_back(Tensor(dtype, {num_blocks, block_size, num_kv_heads, head_dim}, device));
    values_.emplace_back(Tensor(dtype, {num_blocks, block_size, num_kv_heads, head_dim}, device));
  }
}

KvLayer KvCache::layer(int index) const {
  if (index < 0 || index >= num_layers()) {
    throw_error(ErrorCode::kInvalidArgument,
                fmt::format("layer {} of a KV cache of {} layers", index, num_layers()));
  }
  const auto place = static_cast<std::size_t>(index);
  return {keys_[place].view(), values_[place].view()};
}

std::int64_t KvCache::size_bytes() const {
  std::int64_t bytes = 0;
  for (const Tensor& keys : keys_) bytes += 2 * keys.size_bytes();  // values are like keys
  return bytes;
}

}  // namespace cardloom
