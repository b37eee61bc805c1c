#include "cardloom/tensor/tensor_view.h"

#include <gtest/gtest.h>

#include <vector>

#include "cardloom/base/error.h"
#include "cardloom/tensor/tensor.h"

namespace cardloom {
namespace {

TEST(TensorView, PrintsTheNotation) {
  const TensorView qkv = make_view(nullptr, DType::kBF16, {3, 2304});
  EXPECT_EQ(to_string(qkv.slice(1, 0, 2048)), "bf16[3, 2048]{2304, 1}@cpu:0");
}

TEST(TensorView, SliceAndUnflattenFindTheHeadsOfQkv) {
  std::vector<float> memory(4 * 12);
  for (std::size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<float>(i);
  const TensorView qkv = make_view(memory.data(), DType::kF32, {4, 12});
  const TensorView k = qkv.unflatten(1, 3).slice(1, 2, 3);  // [4, 1, 3]
  EXPECT_EQ(to_string(k), "f32[4, 1, 3]{12, 3, 1}@cpu:0");
  EXPECT_EQ(*k.at<float>(1, 0, 2), 12.0F + 6 + 2);
  EXPECT_EQ(to_string(k.flatten(1)), "f32[4, 3]{12, 1}@cpu:0");
}

TEST(TensorView, ErrorsNameTheCallerAndBothValues) {
  const TensorView view = make_view(nullptr, DType::kF32, {4, 12});
  try {
    (void)view.slice(1, 3, 13);
    FAIL();
  } catch (const Exception& failure) {
    EXPECT_EQ(failure.error().message, "slice: [3, 13) leaves axis 1 of length 12");
    EXPECT_EQ(failure.error().detail, "f32[4, 12]{12, 1}@cpu:0");
    EXPECT_NE(std::string(failure.error().at.file).find("tensor_view_test.cc"), std::string::npos);
  }
  EXPECT_THROW((void)view.unflatten(1, 5), Exception);
  EXPECT_THROW((void)view.unflatten(2, 1), Exception);
  EXPECT_THROW((void)view.expand(0, 3), Exception);
  EXPECT_THROW((void)view.select(0, 4), Exception);
  EXPECT_THROW((void)view.transpose(0, 1).flatten(0), Exception);
  EXPECT_THROW((void)view.permute({0, 0}), Exception);
  EXPECT_THROW((void)make_view(nullptr, DType::kF32, {1, -1}), Exception);
}

TEST(TensorView, CanonicaliseMergesWhatLiesOneInTheOther) {
  const TensorView view = make_view(nullptr, DType::kF32, {2, 1, 3, 4});
  EXPECT_EQ(canonicalise(view).rank, 1);
  EXPECT_EQ(canonicalise(view).shape[0], 24);
  EXPECT_EQ(to_string(canonicalise(view.slice(3, 0, 3))), "f32[6, 3]{4, 1}@cpu:0");
  EXPECT_EQ(to_string(canonicalise(view.reverse(0))), "f32[2, 12]{-12, 1}@cpu:0");
  EXPECT_EQ(canonicalise(make_view(nullptr, DType::kF32, {1, 1})).rank, 0);
}

TEST(TensorView, KnowsWhatOverlaps) {
  std::vector<float> memory(100);
  const TensorView buffer = make_view(memory.data(), DType::kF32, {10, 10});
  EXPECT_TRUE(may_overlap(buffer, buffer));
  EXPECT_FALSE(may_overlap(buffer.slice(0, 0, 5), buffer.slice(0, 5, 10)));
  EXPECT_FALSE(may_overlap(buffer.slice(1, 0, 4), buffer.slice(1, 4, 10)));
  EXPECT_FALSE(may_overlap(buffer.slice(1, 4, 10), buffer.slice(1, 0, 4)));
  EXPECT_TRUE(may_overlap(buffer.slice(1, 0, 5), buffer.slice(1, 4, 10)));
  EXPECT_FALSE(may_overlap(buffer.slice(0, 0, 0), buffer));
  EXPECT_FALSE(has_internal_overlap(buffer));
  EXPECT_FALSE(has_internal_overlap(buffer.reverse(1).transpose(0, 1)));
  EXPECT_TRUE(has_internal_overlap(buffer.slice(0, 0, 1).expand(0, 3)));
}

TEST(TensorView, ByteRangeCoversNegativeStrides) {
  const TensorView view = make_view(nullptr, DType::kBF16, {3, 4});
  EXPECT_EQ(byte_range(view).end, 24);
  std::vector<std::uint16_t> memory(12);
  const TensorView reversed = make_view(memory.data(), DType::kBF16, {3, 4}).reverse(0);
  EXPECT_EQ(byte_range(reversed).begin, -16);
  EXPECT_EQ(byte_range(reversed).end, 8);
}

TEST(Tensor, IsZeroedAlignedAndRefusesTheAbsurd) {
  const Tensor tensor(DType::kF32, {3, 5});
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(tensor.view().data) % 64, 0U);
  EXPECT_EQ(*tensor.view().at<float>(2, 4), 0.0F);
  EXPECT_EQ(Tensor(DType::kF32, {0, 5}).size_bytes(), 0);
  EXPECT_EQ(Tensor().size_bytes(), 0);  // its view has rank 0, but no memory
  EXPECT_THROW(Tensor(DType::kF32, {INT64_MAX / 2, 8}), Exception);
  EXPECT_THROW(Tensor(DType::kF32, {1LL << 50}), Exception);
}

}  // namespace
}  // namespace cardloom
