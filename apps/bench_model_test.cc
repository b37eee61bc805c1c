#include "apps/bench_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "apps/bench_accuracy.h"

namespace cardloom::app {
namespace {

glm4v::Glm4vConfig real_config() {
  std::ifstream file(std::string(CARDLOOM_SOURCE_DIR) + "/tests/configs/glm-4v-9b.json");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return glm4v::parse_config(text, "config.json").value_or_throw();
}

/// By hand: a layer has 4096 x 4608 + 4096 x 4096 + 27392 x 4096 + 4096 x 13696 = 203.9 M weights,
/// lm_head 151552 x 4096 = 620.8 M.
constexpr double kLayer = 203'948'032;
constexpr double kHead = 620'756'992;

TEST(WorkCounter, CountsADecodeStep) {
  const glm4v::Glm4vConfig config = real_config();
  const WorkCounter counter(config, {}, 40'960);
  const Work one = counter.decode(1, 100);
  EXPECT_EQ(one.bytes, 2 * (40 * kLayer + kHead) + 100 * 40'960);
  EXPECT_EQ(one.flops, 2 * (40 * kLayer + kHead) + 40.0 * 4 * 100 * 4096);
  const Work four = counter.decode(4, 100);
  EXPECT_EQ(four.bytes, 2 * (40 * kLayer + kHead) + 4 * 100 * 40'960);
  EXPECT_EQ(four.flops, 4 * one.flops);
}

TEST(WorkCounter, CountsAPrompt) {
  const glm4v::Glm4vConfig config = real_config();
  const WorkCounter counter(config, {}, 0);
  const Work work = counter.prefill(512, 2);
  constexpr double kQkv = 4608 * 4096;
  EXPECT_EQ(work.bytes, 2 * (2 * (39 * kLayer + kQkv) + (kLayer - kQkv) + kHead));
  EXPECT_EQ(work.flops, 2 * (512 * (39 * kLayer + kQkv) + (kLayer - kQkv) + kHead) +
                            4.0 * 4096 * (39 * 512 * 513 / 2 + 512));
}

TEST(WorkCounter, CountsAPicture) {
  glm4v::Glm4vConfig config = real_config();
  config.vision->num_layers = 1;
  const WorkCounter with_layer(config, {}, 0);
  config.vision->num_layers = 0;
  const WorkCounter without(config, {}, 0);
  const double rest = without.vision().flops;
  // Patches 6400 x 588 x 1792; 1600 rows of the projector: conv, linear, gate, up and down.
  EXPECT_EQ(rest, 2 * (6400.0 * 588 * 1792 + 1600.0 * 4096 * (4 * 1792 + 4096 + 3 * 13696)));
  config.vision->num_layers = 1;
  EXPECT_EQ(with_layer.vision().flops - rest,
            2 * 6401.0 * 1792 * (4 * 1792 + 2 * 15360) + 4 * 6401.0 * 6401 * 1792);
  config.vision.reset();
  EXPECT_EQ(WorkCounter(config, {}, 0).vision().flops, 0);
}

cpu::MachineFigures machine() {
  cpu::MachineFigures figures;
  figures.read_bytes_per_s = 10;
  figures.f32_flops = 200;
  figures.avx2_f32_flops = 100;
  figures.plain_f32_flops = 50;
  figures.bf16_flops = 120;
  figures.vnni_ops = 900;
  figures.amx_bf16_flops = 3600;
  figures.amx_int8_ops = 7200;
  return figures;
}

TEST(ComputeLimit, IsTheUnitOfFormatAndPath) {
  const cpu::MachineFigures figures = machine();
  const auto limit = [&](const char* format, const char* path) {
    const ComputeLimit found = compute_limit(format, path, figures);
    return std::make_pair(found.name, found.flops);
  };
  using P = std::pair<std::string, double>;
  EXPECT_EQ(limit("bf16", "amx"), P("bf16", 3600));
  EXPECT_EQ(limit("bf16", "avx512_bf16"), P("f32", 200));  // the dot instruction is slower here
  EXPECT_EQ(limit("bf16", "avx512"), P("f32", 200));
  EXPECT_EQ(limit("bf16", "avx2"), P("f32", 100));
  EXPECT_EQ(limit("f32", "plain"), P("f32", 50));
  EXPECT_EQ(limit("f32", "amx"), P("f32", 200));
  EXPECT_EQ(limit("q8", "amx"), P("vnni", 900));
  EXPECT_EQ(limit("q4:64", "avx512_bf16"), P("vnni", 900));
  EXPECT_EQ(limit("q4", "avx2"), P("f32", 100));
}

TEST(Judge, NamesTheLimitThatAllowsLess) {
  const LimitVerdict slow_memory = judge({.bytes = 100, .flops = 100}, 20, {"bf16", 100}, 10);
  EXPECT_EQ(slow_memory.name, "bandwidth");
  EXPECT_DOUBLE_EQ(slow_memory.fraction, 0.5);
  const LimitVerdict slow_units = judge({.bytes = 100, .flops = 10'000}, 200, {"bf16", 100}, 10);
  EXPECT_EQ(slow_units.name, "bf16");
  EXPECT_DOUBLE_EQ(slow_units.fraction, 0.5);
  EXPECT_EQ(judge({.bytes = 1, .flops = 1}, 0, {"bf16", 100}, 10).fraction, 0);
  EXPECT_EQ(judge({.bytes = 1, .flops = 1}, 1, {"bf16", 0}, 0).fraction, 0);
}

TEST(ParseList, TakesNumbersAndNamesWhatIsNone) {
  EXPECT_EQ(parse_list("--batch", "1,4,16", 1, 64), (std::vector<std::int64_t>{1, 4, 16}));
  EXPECT_EQ(parse_list("--batch", "7", 1, 64), (std::vector<std::int64_t>{7}));
  for (const char* bad :
       {"", "1,", ",1", "1,,2", "x", "1 4", "1.5", "0", "65", "-1", "99999999999999999999"}) {
    try {
      static_cast<void>(parse_list("--batch", bad, 1, 64));
      ADD_FAILURE() << bad;
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.exit_code(), kExitUsage);
      EXPECT_THAT(failure.error().message, ::testing::HasSubstr("--batch"));
    }
  }
}

TEST(Median, IsTheMiddle) {
  EXPECT_EQ(median({}), 0);
  EXPECT_EQ(median({3}), 3);
  EXPECT_EQ(median({9, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 2, 3}), 2.5);
}

TEST(CompareOutputs, IsRelativeToTheReference) {
  const Tensor a(DType::kF32, {1, 2});
  const Tensor b(DType::kF32, {1, 2});
  *a.view().at<float>(0, 0) = 3;
  *a.view().at<float>(0, 1) = 4.5F;
  *b.view().at<float>(0, 0) = 3;
  *b.view().at<float>(0, 1) = 4;
  const AccuracyRow row = compare_outputs("x", a, b);
  EXPECT_DOUBLE_EQ(row.relative, 0.1);
  EXPECT_DOUBLE_EQ(row.largest, 0.5);
  EXPECT_THROW(static_cast<void>(compare_outputs("x", a, Tensor(DType::kF32, {2, 1}))), Exception);
}

}  // namespace
}  // namespace cardloom::app
