#pragma once

#include <vector>

#include "cardloom/ops/kv_append.h"
#include "cardloom/tensor/tensor.h"

namespace cardloom {

/// Keys and values of all layers of one rank, in blocks of `block_size` tokens.
/// Bytes: 2 * num_layers * num_blocks * block_size * num_kv_heads * head_dim * size_of(dtype).
class KvCache {
 public:
  /// Zeroed. `num_kv_heads` is 0 on a rank without heads.
  /// Throws kInvalidArgument on another size below 1, kResourceExhausted if memory is short.
  KvCache(int num_layers, std::int64_t num_blocks, std::int64_t block_size,
          std::int64_t num_kv_heads, std::int64_t head_dim, DType dtype, DeviceId device);

  /// Throws kInvalidArgument if there is no such layer.
  [[nodiscard]] KvLayer layer(int index) const;
  [[nodiscard]] int num_layers() const { return static_cast<int>(keys_.size()); }
  [[nodiscard]] std::int64_t size_bytes() const;

 private:
  std::vector<Tensor> keys_;
  std::vector<Tensor> values_;
};

}  // namespace cardloom
