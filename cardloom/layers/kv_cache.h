#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "cardloom/ops/kv_append.h"
#include "cardloom/tensor/tensor.h"

namespace cardloom {

/// What a model that computes in `dtype` keeps keys and values in: `wanted`, or if that is empty
/// `dtype`. kI8 means numbers with scales (see KvLayer), half the bytes of bf16.
/// Throws kInvalidArgument if `wanted` is neither `dtype` nor kI8 of a model that computes in bf16.
[[nodiscard]] DType kv_cache_dtype(DType dtype, std::optional<DType> wanted,
                                   Location caller = Location::current());
/// "bf16", "f32", "q8": what people call a cache of `dtype`.
[[nodiscard]] std::string_view kv_cache_name(DType dtype);
/// Bytes of one token's keys, or values, of one head: with their scale where there is one.
[[nodiscard]] std::int64_t kv_row_bytes(DType dtype, std::int64_t head_dim);

/// Keys and values of all layers of one rank, in blocks of `block_size` tokens.
/// Bytes: 2 * num_layers * num_blocks * block_size * num_kv_heads * kv_row_bytes(dtype, head_dim).
class KvCache {
 public:
  /// Zeroed. `num_kv_heads` is 0 on a rank without heads; `dtype` as kv_cache_dtype() returns.
  /// Throws kInvalidArgument on another size below 1, kResourceExhausted if memory is short.
  KvCache(int num_layers, std::int64_t num_blocks, std::int64_t block_size,
          std::int64_t num_kv_heads, std::int64_t head_dim, DType dtype, DeviceId device);

  /// Throws kInvalidArgument if there is no such layer.
  [[nodiscard]] KvLayer layer(int index) const;
  [[nodiscard]] int num_layers() const { return static_cast<int>(keys_.size()); }
  [[nodiscard]] std::int64_t size_bytes() const;
  /// As Tensor::populate.
  void populate() const;

 private:
  std::vector<Tensor> keys_;
  std::vector<Tensor> values_;
  std::vector<Tensor> key_scales_;  ///< empty unless keys are i8
  std::vector<Tensor> value_scales_;
};

}  // namespace cardloom
