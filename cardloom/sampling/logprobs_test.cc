#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "cardloom/base/error.h"
#include "cardloom/sampling/sampler.h"

namespace cardloom {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

TEST(Logprobs, AreLnSoftmaxOfTheRawLogits) {
  const std::vector<float> logits{1, 3, kNan, 2, 3, -kInf};
  const double sum = std::exp(1.) + 2 * std::exp(3.) + std::exp(2.);
  const TokenLogprobs result = logprobs_of(logits, 3, 20);
  EXPECT_EQ(result.chosen.id, 3);
  EXPECT_NEAR(result.chosen.logprob, 2 - std::log(sum), 1e-12);
  std::vector<std::int32_t> ids;
  for (const TokenLogprob& top : result.top) ids.push_back(top.id);
  EXPECT_EQ(ids, (std::vector<std::int32_t>{1, 4, 3, 0, 5}));  // of equals the lower id; no NaN
  EXPECT_NEAR(result.top[0].logprob, 3 - std::log(sum), 1e-12);
  EXPECT_EQ(result.top[4].logprob, -std::numeric_limits<double>::infinity());
  ids.clear();
  for (const TokenLogprob& top : logprobs_of(logits, 0, 3).top) ids.push_back(top.id);
  EXPECT_EQ(ids, (std::vector<std::int32_t>{1, 4, 3}));
  EXPECT_TRUE(logprobs_of(logits, 0, 0).top.empty());
  EXPECT_EQ(logprobs_of(logits, 2, 0).chosen.logprob, -std::numeric_limits<double>::infinity());
  EXPECT_NEAR(logprobs_of(std::vector<float>{kInf, 1, kInf}, 0, 0).chosen.logprob, -std::log(2.),
              1e-12);
  EXPECT_THROW((void)logprobs_of(logits, 6, 0), Exception);
  EXPECT_THROW((void)logprobs_of(logits, -1, 0), Exception);
}

TEST(Logprobs, AreThoseBeforeAllThatMovesTheChoice) {
  const std::vector<float> logits{5, 4, 3};
  TokenMask mask(3);
  mask.insert(1);
  mask.insert(2);
  const SampledToken token =
      sample(logits, {.presence_penalty = 2, .logit_bias = {{2, 9}}, .num_logprobs = 2},
             {.allowed = &mask}, 0);
  EXPECT_EQ(token.id, 2);
  ASSERT_TRUE(token.logprobs.has_value());
  const TokenLogprobs raw = logprobs_of(logits, 2, 2);
  EXPECT_EQ(token.logprobs->chosen.id, 2);
  EXPECT_EQ(token.logprobs->chosen.logprob, raw.chosen.logprob);
  ASSERT_EQ(token.logprobs->top.size(), 2U);
  EXPECT_EQ(token.logprobs->top[0].id, 0);
  EXPECT_EQ(token.logprobs->top[0].logprob, raw.top[0].logprob);
  EXPECT_FALSE(sample(logits, {}, {}, 0).logprobs.has_value());
  EXPECT_TRUE(sample(logits, {.num_logprobs = 0}, {}, 0).logprobs->top.empty());
}

}  // namespace
}  // namespace cardloom
