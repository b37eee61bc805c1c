#include "cardloom/sampling/sampling_params.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace cardloom {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

std::string refusal(const SamplingParams& params) {
  const Status status = validate(params);
  return status ? "" : status.error().message;
}

TEST(SamplingParams, DefaultsAndLimitsAreValid) {
  EXPECT_TRUE(validate({}).ok());
  EXPECT_TRUE(validate({.min_p = 1, .presence_penalty = -2, .frequency_penalty = 2}).ok());
  EXPECT_TRUE(validate({.num_logprobs = 0}).ok());
  EXPECT_TRUE(validate({.num_logprobs = 20}).ok());
  EXPECT_TRUE(
      validate({.temperature = 100, .top_k = 1, .top_p = 1e-9, .repetition_penalty = 0.01}).ok());
}

TEST(SamplingParams, RefusalsNameFieldValueAndRange) {
  EXPECT_EQ(refusal({.temperature = -0.5}),
            "temperature is -0.5, but must be a finite number >= 0");
  EXPECT_EQ(refusal({.temperature = kNan}), "temperature is nan, but must be a finite number >= 0");
  EXPECT_EQ(refusal({.temperature = kInf}), "temperature is inf, but must be a finite number >= 0");
  EXPECT_EQ(refusal({.top_k = -1}), "top_k is -1, but must be >= 0");
  EXPECT_EQ(refusal({.top_p = 0}), "top_p is 0, but must be in (0, 1]");
  EXPECT_EQ(refusal({.top_p = 1.5}), "top_p is 1.5, but must be in (0, 1]");
  EXPECT_EQ(refusal({.top_p = kNan}), "top_p is nan, but must be in (0, 1]");
  EXPECT_EQ(refusal({.repetition_penalty = 0}),
            "repetition_penalty is 0, but must be a finite number > 0");
  EXPECT_EQ(refusal({.repetition_penalty = kInf}),
            "repetition_penalty is inf, but must be a finite number > 0");
  EXPECT_EQ(refusal({.repetition_penalty = kNan}),
            "repetition_penalty is nan, but must be a finite number > 0");
  for (const double value : {-0.1, 1.1, kNan, kInf}) {
    EXPECT_EQ(refusal({.min_p = value}), fmt::format("min_p is {}, but must be in [0, 1]", value));
  }
  for (const double value : {-2.1, 2.1, kNan, kInf, -kInf}) {
    EXPECT_EQ(refusal({.presence_penalty = value}),
              fmt::format("presence_penalty is {}, but must be in [-2, 2]", value));
    EXPECT_EQ(refusal({.frequency_penalty = value}),
              fmt::format("frequency_penalty is {}, but must be in [-2, 2]", value));
  }
  EXPECT_EQ(refusal({.num_logprobs = -2}), "num_logprobs is -2, but must be in [-1, 20]");
  EXPECT_EQ(refusal({.num_logprobs = 21}), "num_logprobs is 21, but must be in [-1, 20]");
}

TEST(SamplingParams, BiasHasLimits) {
  EXPECT_EQ(refusal({.logit_bias = {{0, -100}, {7, 100}}}), "");
  EXPECT_EQ(refusal({.logit_bias = std::vector<LogitBias>(1024)}), "");
  EXPECT_EQ(refusal({.logit_bias = std::vector<LogitBias>(1025)}),
            "logit_bias has 1025 entries, but may have at most 1024");
  EXPECT_EQ(refusal({.logit_bias = {{1, 1}, {-3, 1}}}),
            "logit_bias names token -3, but ids must be >= 0");
  for (const double value : {-100.5, 101.0, kNan, kInf, -kInf}) {
    EXPECT_EQ(refusal({.logit_bias = {{5, value}}}),
              fmt::format("logit_bias of token 5 is {}, but must be in [-100, 100]", value));
  }
}

}  // namespace
}  // namespace cardloom
