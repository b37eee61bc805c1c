#include "cardloom/weights/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "cardloom/tensor/tensor.h"
#include "cardloom/weights/safetensors_writer.h"
#include "cardloom/weights/test_support.h"

namespace cardloom {
namespace {

using testing_support::read_bytes;
using testing_support::safetensors_bytes;
using testing_support::TemporaryFolder;
using testing_support::write_bytes;

template <class T>
std::vector<T> values_of(const TensorView& view) {
  std::vector<T> values(static_cast<std::size_t>(view.num_elements()));
  std::memcpy(values.data(), view.data, values.size() * sizeof(T));
  return values;
}

TEST(SafetensorsFile, GivesViewsOfTheFile) {
  const TemporaryFolder folder;
  std::string bytes = safetensors_bytes(
      R"({"a":{"dtype":"I8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"F32","shape":[2,1],)"
      R"("data_offsets":[3,11]},"s":{"dtype":"U8","shape":[],"data_offsets":[11,12]}})",
      0);
  const float floats[] = {1.5F, -2.0F};
  bytes += "\1\2\3" + std::string(reinterpret_cast<const char*>(floats), 8) + "\7";
  write_bytes(folder.file("f"), bytes);
  Result<SafetensorsFile> opened = SafetensorsFile::open(folder.file("f"));
  ASSERT_TRUE(opened) << opened.error().describe();
  const SafetensorsFile file = *std::move(opened);  // views outlive a move
  EXPECT_EQ(file.names(), (std::vector<std::string>{"a", "b", "s"}));
  const Result<TensorView> b = file.tensor("b");
  ASSERT_TRUE(b);
  EXPECT_EQ(to_string(*b), "f32[2, 1]{1, 1}@cpu:0");
  EXPECT_EQ(values_of<float>(*b), (std::vector<float>{1.5F, -2.0F}));
  EXPECT_EQ(file.tensor("s")->rank, 0);
  EXPECT_EQ(values_of<std::uint8_t>(*file.tensor("s")), std::vector<std::uint8_t>{7});
}

TEST(SafetensorsFile, RefusesOnlyWhenAskedWhatItCannotRead) {
  const TemporaryFolder folder;
  const std::string path = folder.file("f");
  write_bytes(path,
              safetensors_bytes(R"({"d":{"dtype":"F64","shape":[1],"data_offsets":[0,8]},)"
                                R"("r":{"dtype":"U8","shape":[1,1,1,1,1],"data_offsets":[8,9]}})",
                                9));
  const Result<SafetensorsFile> file = SafetensorsFile::open(path);
  ASSERT_TRUE(file);
  EXPECT_EQ(file->tensor("d").error().code, ErrorCode::kUnimplemented);
  EXPECT_EQ(file->tensor("d").error().message, path + ": tensor \"d\" is of dtype \"F64\"");
  EXPECT_EQ(file->tensor("r").error().message,
            path + ": tensor \"r\" has 5 axes, at most 4 are supported");
  EXPECT_EQ(file->tensor("x").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(SafetensorsFile::open(folder.file("none")).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(SafetensorsFile::open(folder.path()).error().code, ErrorCode::kInvalidArgument);
}

TEST(WriteSafetensors, StoresAnyStridesContiguously) {
  const TemporaryFolder folder;
  const Tensor buffer(DType::kF32, {4, 6});
  for (int i = 0; i < 24; ++i) buffer.view().at<float>()[i] = static_cast<float>(i);
  const Tensor small(DType::kBF16, {3});
  small.view().at<bf16>()[1] = to_bf16(2.0F);
  const TensorView x = buffer;
  const std::string path = folder.file("out.safetensors");
  const Status status =
      write_safetensors(path,
                        {{"small", small},
                         {"plain", x},
                         {"columns", x.slice(1, 2, 4)},
                         {"turned", x.slice(0, 0, 2).transpose(0, 1)},
                         {"repeated", x.slice(0, 1, 2).slice(1, 0, 2).expand(0, 3)},
                         {"reversed", x.select(0, 0).reverse(0)},
                         {"one", x.select(0, 3).select(0, 5)},
                         {"empty", x.slice(0, 2, 2)},
                         {"odd \"name\"\n", x.unflatten(1, 2).slice(2, 1, 2)}},
                        {{"format", "pt"}, {"q\"", "\\"}});
  ASSERT_TRUE(status) << status.error().describe();
  const Result<SafetensorsFile> file = SafetensorsFile::open(path);
  ASSERT_TRUE(file) << file.error().describe();
  EXPECT_EQ(file->names().back(), "small");  // largest elements first
  EXPECT_EQ(file->header().data_begin % 8, 0);
  EXPECT_EQ(file->header().metadata.at("q\""), "\\");
  using Floats = std::vector<float>;
  EXPECT_EQ(values_of<float>(*file->tensor("plain")), values_of<float>(x));
  EXPECT_EQ(values_of<float>(*file->tensor("columns")), (Floats{2, 3, 8, 9, 14, 15, 20, 21}));
  EXPECT_EQ(values_of<float>(*file->tensor("turned")),
            (Floats{0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11}));
  EXPECT_EQ(file->find("turned")->shape, (std::vector<std::int64_t>{6, 2}));
  EXPECT_EQ(values_of<float>(*file->tensor("repeated")), (Floats{6, 7, 6, 7, 6, 7}));
  EXPECT_EQ(values_of<float>(*file->tensor("reversed")), (Floats{5, 4, 3, 2, 1, 0}));
  EXPECT_EQ(values_of<float>(*file->tensor("one")), Floats{23});
  EXPECT_EQ(file->find("empty")->shape, (std::vector<std::int64_t>{0, 6}));
  EXPECT_EQ(values_of<float>(*file->tensor("odd \"name\"\n")),
            (Floats{1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23}));
  EXPECT_EQ(to_f32(values_of<bf16>(*file->tensor("small"))[1]), 2.0F);
  // Nothing but the file is left behind.
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(WriteSafetensors, GathersMoreThanItsBuffer) {
  const TemporaryFolder folder;
  const Tensor big(DType::kF32, {300, 1000});
  for (int i = 0; i < 300000; ++i) big.view().at<float>()[i] = static_cast<float>(i);
  const std::string path = folder.file("f");
  ASSERT_TRUE(write_safetensors(path, {{"t", big.view().transpose(0, 1)}}));
  const std::vector<float> values = values_of<float>(*SafetensorsFile::open(path)->tensor("t"));
  for (std::size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(values[i], static_cast<float>(i / 300 + i % 300 * 1000));
  }
}

TEST(WriteSafetensors, RefusesWithoutTouchingTheOldFile) {
  const TemporaryFolder folder;
  const Tensor x(DType::kF32, {2});
  const std::string path = folder.file("f");
  write_bytes(path, "old");
  const auto expect_refused = [&](const std::vector<std::pair<std::string, TensorView>>& tensors) {
    const Status status = write_safetensors(path, tensors);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument) << status.error().message;
    EXPECT_EQ(read_bytes(path), "old");
  };
  expect_refused({{"a", x}, {"a", x}});
  expect_refused({{"__metadata__", x}});
  expect_refused({{"\xff", x}});
  expect_refused({{"null", make_view(nullptr, DType::kF32, {2})}});
  TensorView huge = x.view().slice(0, 0, 1).expand(0, INT64_MAX / 2);
  expect_refused({{"huge", huge}});
  EXPECT_EQ(write_safetensors(folder.file("no/such/f"), {{"a", x}}).error().code,
            ErrorCode::kNotFound);
  EXPECT_EQ(write_safetensors("/dev/full/f", {{"a", x}}).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace cardloom
