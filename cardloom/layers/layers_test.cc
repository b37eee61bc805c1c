#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "cardloom/base/error.h"
#include "cardloom/layers/kv_cache.h"
#include "cardloom/layers/linear.h"
#include "cardloom/layers/rotary_table.h"

namespace cardloom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <class Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const Exception& failure) {
    return failure.error().describe();
  }
  return "";
}

TEST(KvCacheTest, HasOnePairALayerAndTellsItsSize) {
  const KvCache cache(3, 4, 16, 2, 8, DType::kBF16, {});
  EXPECT_EQ(cache.num_layers(), 3);
  EXPECT_EQ(cache.size_bytes(), 2 * 3 * 4 * 16 * 2 * 8 * 2);
  EXPECT_EQ(to_string(cache.layer(2).keys), "bf16[4, 16, 2, 8]{256, 16, 8, 1}@cpu:0");
  EXPECT_NE(cache.layer(0).keys.data, cache.layer(0).values.data);
  EXPECT_NE(cache.layer(0).keys.data, cache.layer(1).keys.data);
  EXPECT_THAT(message_of([&] { static_cast<void>(cache.layer(3)); }),
              HasSubstr("layer 3 of a KV cache of 3 layers"));
}

TEST(KvCacheTest, OfNumbersHasScales) {
  const KvCache cache(2, 4, 16, 2, 8, DType::kI8, {});
  EXPECT_EQ(cache.size_bytes(), 2 * 2 * 4 * 16 * 2 * (8 + 4));
  const KvLayer layer = cache.layer(1);
  EXPECT_TRUE(layer.is_quantised());
  EXPECT_EQ(to_string(layer.keys), "i8[4, 16, 2, 8]{256, 16, 8, 1}@cpu:0");
  EXPECT_EQ(to_string(layer.key_scales), "f32[4, 16, 2]{32, 2, 1}@cpu:0");
  EXPECT_EQ(to_string(layer.value_scales), "f32[4, 16, 2]{32, 2, 1}@cpu:0");
  EXPECT_NE(layer.key_scales.data, layer.value_scales.data);
  EXPECT_EQ(KvCache(1, 4, 16, 2, 8, DType::kBF16, {}).layer(0).key_scales.rank, 0);
}

TEST(KvCacheTest, DtypeGoesWithTheModels) {
  EXPECT_EQ(kv_cache_dtype(DType::kF32, {}), DType::kF32);
  EXPECT_EQ(kv_cache_dtype(DType::kF32, DType::kF32), DType::kF32);
  EXPECT_EQ(kv_cache_dtype(DType::kBF16, {}), DType::kBF16);
  EXPECT_EQ(kv_cache_dtype(DType::kBF16, DType::kI8), DType::kI8);
  EXPECT_THAT(message_of([] { (void)kv_cache_dtype(DType::kF32, DType::kI8); }),
              HasSubstr("the KV cache is q8, but the model computes in f32"));
  EXPECT_THAT(message_of([] { (void)kv_cache_dtype(DType::kBF16, DType::kF32); }),
              HasSubstr("the KV cache is f32, but the model computes in bf16"));
}

TEST(KvCacheTest, ARankWithoutHeadsHasAnEmptyOne) {
  const KvCache cache(1, 4, 16, 0, 8, DType::kF32, {});
  EXPECT_EQ(cache.size_bytes(), 0);
  EXPECT_EQ(cache.layer(0).keys.shape[2], 0);
  EXPECT_THAT(message_of([] { KvCache(1, 0, 16, 2, 8, DType::kF32, {}); }),
              HasSubstr("0 blocks of 16 tokens"));
}

TEST(LinearTest, ConvertsFromAnyAddress) {
  // 1.0, -2.5, 2^-24 (an f16 subnormal), as a safetensors file might hold them: unaligned.
  const std::uint16_t halves[] = {0x3c00, 0xc100, 0x0001};
  std::byte memory[7];
  std::memcpy(memory + 1, halves, sizeof halves);
  const Tensor vector = make_f32_vector(make_view(memory + 1, DType::kF16, {3, 1}));
  EXPECT_EQ(to_string(vector.view()), "f32[3]{1}@cpu:0");
  const float* values = vector.view().at<float>();
  EXPECT_THAT(std::vector<float>(values, values + 3), ElementsAre(1.0F, -2.5F, 0x1p-24F));

  const Tensor rounded(DType::kBF16, {3});
  const float exact[] = {1.00390625F, 1.01171875F, -3.0F};  // ties go to even
  convert_elements(make_view(const_cast<float*>(exact), DType::kF32, {3}), rounded);
  EXPECT_EQ(rounded.view().at<bf16>()[0].bits, 0x3f80);
  EXPECT_EQ(rounded.view().at<bf16>()[1].bits, 0x3f82);
  EXPECT_EQ(to_f32(rounded.view().at<bf16>()[2]), -3.0F);
}

TEST(LinearTest, ConvertsPieceByPiece) {
  const std::int64_t count = (std::int64_t{1} << 19) + 3;
  const Tensor from(DType::kF32, {count});
  for (std::int64_t index = 0; index < count; ++index) {
    from.view().at<float>()[index] = static_cast<float>(index);
  }
  const Tensor to(DType::kBF16, {count});
  std::vector<std::int64_t> pieces;
  convert_elements(from, to, [&](std::int64_t n, const std::function<void(std::int64_t)>& body) {
    for (std::int64_t piece = n - 1; piece >= 0; --piece) {  // in any order
      pieces.push_back(piece);
      body(piece);
    }
  });
  EXPECT_THAT(pieces, ElementsAre(2, 1, 0));
  bool right = true;
  for (std::int64_t index = 0; index < count; ++index) {
    right = right && to.view().at<bf16>()[index].bits == to_bf16(static_cast<float>(index)).bits;
  }
  EXPECT_TRUE(right);
}

TEST(LinearTest, RefusesToConvertWhatDoesNotFit) {
  const Tensor f32(DType::kF32, {4, 6});
  const Tensor i32(DType::kI32, {24});
  const Tensor f16(DType::kF16, {24});
  const auto message = [](const TensorView& from, const TensorView& to) {
    return message_of([&] { convert_elements(from, to); });
  };
  EXPECT_THAT(message(f32, f16), HasSubstr("f32[4, 6]{6, 1}@cpu:0 to f16[24]{1}@cpu:0"));
  EXPECT_THAT(message(i32, f32), HasSubstr("i32[24]"));
  EXPECT_THAT(message(f32.view().slice(1, 0, 3), f32), HasSubstr("{6, 1}"));
  EXPECT_THAT(message(f32.view().slice(0, 0, 3), f32), HasSubstr("f32[3, 6]"));
  EXPECT_EQ(message(f32.view().slice(0, 0, 0), f16.view().slice(0, 0, 0)).substr(0, 8), "elements");
}

TEST(LinearTest, StorageMovesUnderItsViews) {
  const Tensor w(DType::kF32, {2, 3});
  for (int index = 0; index < 6; ++index) w.view().at<float>()[index] = static_cast<float>(index);
  LinearStorage storage;
  storage.weight = PackedWeight::whole(w, WeightFormat::kF32);
  storage.bias = Tensor(DType::kF32, {2});
  const ColumnLinear view = storage.as_column();
  const LinearStorage moved = std::move(storage);
  EXPECT_EQ(view.weight.pieces, moved.as_column().weight.pieces);
  EXPECT_EQ(view.bias.data, moved.as_row().bias.data);
  EXPECT_EQ(packed_element(view.weight.pieces[0], WeightFormat::kF32, 1, 2), 5.0F);
}

TEST(RotaryTableTest, HoldsCosAndSinOfEveryPair) {
  const Tensor table = make_rotary_table(
      {.num_positions = 8192, .rotary_dim = 64, .theta = 10000, .dtype = DType::kF32});
  EXPECT_EQ(to_string(table.view()), "f32[8192, 32, 2]{64, 2, 1}@cpu:0");
  for (const int position : {0, 1, 5, 8191}) {
    for (const int pair : {0, 1, 31}) {
      const double angle = position / std::pow(10000.0, 2.0 * pair / 64);
      EXPECT_FLOAT_EQ(*table.view().at<float>(position, pair, 0),
                      static_cast<float>(std::cos(angle)));
      EXPECT_FLOAT_EQ(*table.view().at<float>(position, pair, 1),
                      static_cast<float>(std::sin(angle)));
    }
  }
}

TEST(RotaryTableTest, IsRoundedToTheModelsDtype) {
  const Tensor table = make_rotary_table(
      {.num_positions = 3, .rotary_dim = 2, .theta = 10000, .dtype = DType::kBF16});
  const float cosine = *table.view().at<float>(1, 0, 0);
  EXPECT_EQ(cosine, to_f32(to_bf16(static_cast<float>(std::cos(1.0)))));
  EXPECT_NE(cosine, static_cast<float>(std::cos(1.0)));
  EXPECT_THAT(message_of([] {
                static_cast<void>(make_rotary_table(
                    {.num_positions = 3, .rotary_dim = 5, .theta = 1, .dtype = DType::kF32}));
              }),
              HasSubstr("rotary_dim 5"));
}

}  // namespace
}  // namespace cardloom
