#include "cardloom/layers/kv_cache.h"

#include <fmt/format.h>

#include "cardloom/base/error.h"

namespace cardloom {

DType kv_cache_dtype(DType dtype, std::optional<DType> wanted, Location caller) {
  if (!wanted || *wanted == dtype) return dtype;
  if (*wanted == DType::kI8 && dtype == DType::kBF16) return *wanted;
  throw_error(
      ErrorCode::kInvalidArgument,
      fmt::format("the KV cache is {}, but the model computes in {}", kv_cache_name(*wanted),
                  to_string(dtype)),
      "a model that computes in bf16 has a KV cache of bf16 or q8, one in f32 of f32",
      dtype == DType::kBF16 ? "choose bf16 or q8" : "leave the KV cache in f32, or compute in bf16",
      caller);
}

std::string_view kv_cache_name(DType dtype) {
  return dtype == DType::kI8 ? "q8" : to_string(dtype);
}

std::int64_t kv_row_bytes(DType dtype, std::int64_t head_dim) {
  return head_dim * size_of(dtype) + (dtype == DType::kI8 ? size_of(DType::kF32) : 0);
}

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
    if (dtype != DType::kI8) continue;
    key_scales_.emplace_back(Tensor(DType::kF32, {num_blocks, block_size, num_kv_heads}, device));
    value_scales_.emplace_back(Tensor(DType::kF32, {num_blocks, block_size, num_kv_heads}, device));
  }
}

KvLayer KvCache::layer(int index) const {
  if (index < 0 || index >= num_layers()) {
    throw_error(ErrorCode::kInvalidArgument,
                fmt::format("layer {} of a KV cache of {} layers", index, num_layers()));
  }
  const auto place = static_cast<std::size_t>(index);
  KvLayer layer{keys_[place].view(), values_[place].view()};
  if (!key_scales_.empty()) {
    layer.key_scales = key_scales_[place].view();
    layer.value_scales = value_scales_[place].view();
  }
  return layer;
}

void KvCache::populate() const {
  for (const auto* parts : {&keys_, &values_, &key_scales_, &value_scales_}) {
    for (const Tensor& part : *parts) part.populate();
  }
}

std::int64_t KvCache::size_bytes() const {
  std::int64_t bytes = 0;
  for (const Tensor& keys : keys_) bytes += 2 * keys.size_bytes();  // values are like keys
  for (const Tensor& scales : key_scales_) bytes += 2 * scales.size_bytes();
  return bytes;
}

}  // namespace cardloom
