// The rules of kv_append on a cache of i8 with its scales, each broken once.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cardloom/ops/kv_append.h"
#include "tests/support/card.h"
#include "tests/support/layouts.h"

namespace cardloom {
namespace {

using testing::assign;
using testing::Card;
using testing::contiguous;
using testing::LaidOut;
using testing::message_of;

TEST(QuantisedCacheRules, KvAppend) {
  std::vector<LaidOut> memory;  // outlives the card, whose stream may still run
  Card card{cpu::Isa::kPlain};
  const auto make = [&](const testing::Shape& shape, DType dtype = DType::kF32) {
    return memory.emplace_back(contiguous(dtype, shape)).view;
  };
  const TensorView k = make({3, 2, 4}, DType::kBF16);
  const TensorView v = make({3, 2, 4}, DType::kBF16);
  const TensorView slots = make({3}, DType::kI64);
  assign(slots, {0, 1, 2});
  const KvLayer good{make({5, 8, 2, 4}, DType::kI8), make({5, 8, 2, 4}, DType::kI8),
                     make({5, 8, 2}), make({5, 8, 2})};
  const auto run = [&](const TensorView& keys_in, const KvLayer& cache) {
    return message_of([&] { ops::kv_append(card.stream, keys_in, v, slots, cache); });
  };
  const auto broken = [&](const auto& change) {
    KvLayer bad = good;
    change(bad);
    return run(k, bad);
  };
  EXPECT_EQ(run(k, good), "");
  EXPECT_EQ(run(make({3, 2, 4}), good), "kv_append: k must be bf16 where cache.keys is i8");
  EXPECT_EQ(run(make({3, 1, 4}, DType::kBF16), good),
            "kv_append: k must be [T, G, D], G, D and dtype as cache.keys");
  const std::string rule = " must be f32 [num_blocks, block_size, G] as cache.keys, not ";
  EXPECT_EQ(broken([](KvLayer& c) { c.key_scales = {}; }),
            "kv_append: cache.key_scales" + rule + "f32[]{}@cpu:0");
  EXPECT_EQ(broken([&](KvLayer& c) {
              c.value_scales = make({5, 8, 3});
            }),
            "kv_append: cache.value_scales" + rule + "f32[5, 8, 3]{24, 3, 1}@cpu:0");
  EXPECT_EQ(broken([&](KvLayer& c) {
              c.key_scales = make({5, 8, 2}, DType::kF16);
            }),
            "kv_append: cache.key_scales" + rule + "f16[5, 8, 2]{16, 2, 1}@cpu:0");
  EXPECT_EQ(broken([&](KvLayer& c) {
              c.keys = make({5, 8, 2, 4}, DType::kBF16);
              c.values = make({5, 8, 2, 4}, DType::kBF16);
            }),
            "kv_append: cache.key_scales must be left out unless cache.keys is i8, not "
            "f32[5, 8, 2]{16, 2, 1}@cpu:0");
  EXPECT_EQ(broken([](KvLayer& c) { c.value_scales = c.key_scales; }),
            "kv_append: cache.key_scales must not overlap cache.value_scales");
  EXPECT_EQ(broken([&](KvLayer& c) {
              c.value_scales = make({1, 8, 2}).expand(0, 5);
            }),
            "kv_append: cache.value_scales must not name one element twice");
  EXPECT_EQ(broken([](KvLayer& c) {
              c.keys = c.keys.slice(0, 0, 1);  // 64 bytes, as are its 16 scales
              c.values = c.values.slice(0, 0, 1);
              c.value_scales = c.value_scales.slice(0, 0, 1);
              c.key_scales = c.key_scales.slice(0, 0, 1);
              c.key_scales.data = c.keys.data;
            }),
            "kv_append: cache.key_scales must not overlap cache.keys");
}

}  // namespace
}  // namespace cardloom
