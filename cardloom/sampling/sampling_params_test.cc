#include "cardloom/sampling/sampling_params.h"

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
}

}  // namespace
}  // namespace cardloom
