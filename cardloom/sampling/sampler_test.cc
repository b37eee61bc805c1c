#include "cardloom/sampling/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <vector>

#include "cardloom/base/error.h"
#include "cardloom/sampling/stop_checker.h"

namespace cardloom {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();
const std::vector<std::int32_t> kNothing;

/// Logits whose softmax at temperature 1 is `probabilities`.
std::vector<float> logits_of(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p)));
  return logits;
}

std::map<std::int32_t, int> count(const std::vector<float>& logits, const SamplingParams& params,
                                  int num_draws,
                                  const std::vector<std::int32_t>& previous = kNothing) {
  std::map<std::int32_t, int> counts;
  for (int position = 0; position < num_draws; ++position) {
    ++counts[sample(logits, params, previous, static_cast<std::uint64_t>(position))];
  }
  return counts;
}

double chi_square(const std::map<std::int32_t, int>& counts,
                  const std::map<std::int32_t, double>& expected, int num_draws) {
  double sum = 0;
  for (const auto& [id, number] : counts) EXPECT_TRUE(expected.contains(id)) << "token " << id;
  for (const auto& [id, probability] : expected) {
    const double mean = probability * num_draws;
    const double number = counts.contains(id) ? counts.at(id) : 0;
    sum += (number - mean) * (number - mean) / mean;
  }
  return sum;
}

TEST(Sampler, GreedyTakesTheLargestAndTheLowestIdOfEquals) {
  EXPECT_EQ(sample(std::vector<float>{1, 5, 5, 2}, {}, kNothing, 0), 1);
  EXPECT_EQ(sample(std::vector<float>{-3}, {}, kNothing, 0), 0);
  EXPECT_EQ(sample(std::vector<float>{0.0F, -0.0F}, {}, kNothing, 0), 0);
  EXPECT_EQ(sample(std::vector<float>{-0.0F, 0.0F}, {}, kNothing, 0), 0);
  EXPECT_EQ(sample(std::vector<float>{-kInf, -kInf}, {}, kNothing, 0), 0);
  EXPECT_EQ(sample(std::vector<float>{1, kInf, kInf}, {}, kNothing, 0), 1);
}

TEST(Sampler, NanIsNeverChosen) {
  EXPECT_EQ(sample(std::vector<float>{kNan, -kInf, kNan}, {}, kNothing, 0), 1);
  const auto counts = count({kNan, 0, kNan, 0}, {.temperature = 1}, 100);
  EXPECT_EQ(counts.size(), 2U);
  EXPECT_TRUE(counts.contains(1));
  EXPECT_TRUE(counts.contains(3));
}

TEST(Sampler, OnlyNanIsANamedError) {
  for (const double temperature : {0.0, 1.0}) {
    try {
      (void)sample(std::vector<float>{kNan, kNan}, {.temperature = temperature}, kNothing, 17);
      FAIL();
    } catch (const Exception& failure) {
      EXPECT_EQ(failure.error().code, ErrorCode::kDataLoss);
      EXPECT_EQ(failure.error().message, "all 2 logits are NaN");
      EXPECT_EQ(failure.error().detail, "of the token at position 17");
    }
  }
}

TEST(Sampler, RefusesNoLogitsAndBadParams) {
  EXPECT_THROW((void)sample({}, {}, kNothing, 0), Exception);
  EXPECT_THROW((void)sample(std::vector<float>{1}, {.top_p = 0}, kNothing, 0), Exception);
}

TEST(Sampler, InfiniteLogitsTakeAllTheProbability) {
  const auto counts = count({1, kInf, 2, kInf}, {.temperature = 1}, 200);
  EXPECT_EQ(counts.size(), 2U);
  EXPECT_GT(counts.at(1), 60);
  EXPECT_GT(counts.at(3), 60);
  EXPECT_EQ(count({-kInf, -kInf}, {.temperature = 1}, 200).size(), 2U);
}

TEST(Sampler, PenaltyDividesPositiveAndMultipliesNegativeLogitsOnce) {
  const SamplingParams params{.repetition_penalty = 2};
  const std::vector<float> logits{4, 3, 2.5F};
  EXPECT_EQ(sample(logits, params, kNothing, 0), 0);
  EXPECT_EQ(sample(logits, params, std::vector<std::int32_t>{0, 0, 0}, 0), 1);  // 2, 3, 2.5
  EXPECT_EQ(sample(logits, params, std::vector<std::int32_t>{1, 0}, 0), 2);     // 2, 1.5, 2.5
  EXPECT_EQ(sample(std::vector<float>{-1, -1.5F}, params, std::vector<std::int32_t>{0}, 0), 1);
  // Once only: twice would give 4 / 4 = 1 < 1.5.
  EXPECT_EQ(sample(std::vector<float>{4, 1.5F}, params, std::vector<std::int32_t>{0, 0}, 0), 0);
  EXPECT_EQ(sample(logits, params, std::vector<std::int32_t>{-1, 3, 1 << 30}, 0), 0);
}

TEST(Sampler, DrawsFollowTheSoftmax) {
  constexpr int kDraws = 40'000;
  const auto logits = logits_of({0.1, 0.2, 0.3, 0.4});
  EXPECT_LT(chi_square(count(logits, {.temperature = 1, .seed = 1}, kDraws),
                       {{0, 0.1}, {1, 0.2}, {2, 0.3}, {3, 0.4}}, kDraws),
            16.3);  // 3 degrees of freedom: once in 1000 seeds
}

TEST(Sampler, TemperatureSharpens) {
  constexpr int kDraws = 40'000;
  // Temperature 1/2 squares probabilities: 1 : 4 : 9 : 16 of 30.
  EXPECT_LT(
      chi_square(count(logits_of({0.1, 0.2, 0.3, 0.4}), {.temperature = 0.5, .seed = 2}, kDraws),
                 {{0, 1. / 30}, {1, 4. / 30}, {2, 9. / 30}, {3, 16. / 30}}, kDraws),
      16.3);
}

TEST(Sampler, TopKKeepsExactlyK) {
  constexpr int kDraws = 40'000;
  const auto logits = logits_of({0.1, 0.2, 0.3, 0.4});
  EXPECT_LT(chi_square(count(logits, {.temperature = 1, .top_k = 2, .seed = 3}, kDraws),
                       {{2, 3. / 7}, {3, 4. / 7}}, kDraws),
            10.9);
  EXPECT_EQ(count({1, 2, 2, 2}, {.temperature = 1, .top_k = 1}, 100),
            (std::map<std::int32_t, int>{{1, 100}}));
  EXPECT_EQ(count({1, 2, 2, 2}, {.temperature = 1, .top_k = 2}, 100).size(), 2U);
  EXPECT_EQ(count(logits, {.temperature = 1, .top_k = 99}, 2000).size(), 4U);
}

TEST(Sampler, TopPKeepsTheSmallestSetThatReachesIt) {
  constexpr int kDraws = 40'000;
  const std::vector<float> logits{0, 0, 0, 0};  // 1/4 each, exactly
  EXPECT_EQ(count(logits, {.temperature = 1, .top_p = 0.5}, 500).size(), 2U);
  EXPECT_EQ(count(logits, {.temperature = 1, .top_p = 0.501}, 500).size(), 3U);
  EXPECT_EQ(count(logits, {.temperature = 1, .top_p = 0.2}, 100),
            (std::map<std::int32_t, int>{{0, 100}}));
  EXPECT_LT(chi_square(count(logits_of({0.1, 0.2, 0.3, 0.4}),
                             {.temperature = 1, .top_p = 0.8, .seed = 4}, kDraws),
                       {{1, 2. / 9}, {2, 3. / 9}, {3, 4. / 9}}, kDraws),
            13.9);
}

TEST(Sampler, TopPIsTakenOfWhatTopKLeft) {
  // Of {3, 2}: 4/7 and 3/7; top_p = 0.57 < 4/7 leaves one.
  EXPECT_EQ(
      count(logits_of({0.1, 0.2, 0.3, 0.4}), {.temperature = 1, .top_k = 2, .top_p = 0.57}, 200),
      (std::map<std::int32_t, int>{{3, 200}}));
}

TEST(Sampler, PenaltyComesBeforeTemperature) {
  constexpr int kDraws = 40'000;
  // Logits 2 and 1, penalty 2 on token 0: 1 and 1, so half each at any temperature.
  EXPECT_LT(chi_square(count({2, 1}, {.temperature = 0.1, .repetition_penalty = 2, .seed = 5},
                             kDraws, {0}),
                       {{0, 0.5}, {1, 0.5}}, kDraws),
            10.9);
}

TEST(Sampler, SeedAndPositionAloneDecideTheDraw) {
  const auto logits = logits_of({0.25, 0.25, 0.25, 0.25});
  std::vector<std::int32_t> forwards;
  std::vector<std::int32_t> backwards;
  for (std::uint64_t position = 0; position < 50; ++position) {
    forwards.push_back(sample(logits, {.temperature = 1, .seed = 9}, kNothing, position));
  }
  for (std::uint64_t position = 50; position-- > 0;) {
    backwards.insert(backwards.begin(),
                     sample(logits, {.temperature = 1, .seed = 9}, kNothing, position));
  }
  EXPECT_EQ(forwards, backwards);
  std::vector<std::int32_t> other;
  for (std::uint64_t position = 0; position < 50; ++position) {
    other.push_back(sample(logits, {.temperature = 1, .seed = 10}, kNothing, position));
  }
  EXPECT_NE(forwards, other);
}

/// The definition, with everything sorted.
std::int32_t naive_rank_of_draw(const std::vector<float>& logits, double top_p) {
  std::vector<std::int32_t> ids(logits.size());
  for (std::size_t id = 0; id < ids.size(); ++id) ids[id] = static_cast<std::int32_t>(id);
  const auto logit = [&](std::int32_t id) { return logits[static_cast<std::size_t>(id)]; };
  std::stable_sort(ids.begin(), ids.end(),
                   [&](std::int32_t a, std::int32_t b) { return logit(a) > logit(b); });
  double total = 0;
  for (const std::int32_t id : ids) total += std::exp(double{logit(id)});
  double kept = 0;
  std::int32_t num_kept = 0;
  while (kept < top_p * total)
    kept += std::exp(double{logit(ids[static_cast<std::size_t>(num_kept++)])});
  return num_kept;
}

TEST(Sampler, LargeVocabularyIsCutWhereTheDefinitionCutsIt) {
  std::vector<float> logits(151'552);
  std::uint32_t state = 1;
  for (float& logit : logits) {
    state = state * 1664525U + 1013904223U;
    logit = static_cast<float>(state >> 8) * 0x1p-24F * 0.01F;  // nearly flat: a long prefix
  }
  const std::int32_t num_kept = naive_rank_of_draw(logits, 0.01);
  EXPECT_GT(num_kept, 1000);
  // Tokens ranked within the prefix only.
  std::vector<float> sorted = logits;
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  const float threshold = sorted[static_cast<std::size_t>(num_kept - 1)];
  for (std::uint64_t position = 0; position < 30; ++position) {
    const std::int32_t id =
        sample(logits, {.temperature = 1, .top_p = 0.01, .seed = 11}, kNothing, position);
    EXPECT_GE(logits[static_cast<std::size_t>(id)], threshold);
  }
}

TEST(StopChecker, StopsAtAnyStopIdAndAtTheLimit) {
  using Verdict = StopChecker::Verdict;
  const StopChecker checker({7, 9}, 3);
  EXPECT_EQ(checker.check(1, 1), Verdict::kGoOn);
  EXPECT_EQ(checker.check(7, 1), Verdict::kStop);
  EXPECT_EQ(checker.check(9, 3), Verdict::kStop);
  EXPECT_EQ(checker.check(1, 3), Verdict::kLength);
  EXPECT_EQ(StopChecker().check(1, 1'000'000), Verdict::kGoOn);
}

/// What ranks tell: the first `needed` of each of `num_parts` parts of the vocabulary.
std::vector<Candidate> candidates_of(const std::vector<float>& logits, std::int64_t needed,
                                     std::size_t num_parts) {
  std::vector<Candidate> all;
  for (std::size_t part = 0; part < num_parts; ++part) {
    std::vector<Candidate> own;
    for (std::size_t id = logits.size() * part / num_parts;
         id < logits.size() * (part + 1) / num_parts; ++id) {
      if (!std::isnan(logits[id])) own.push_back({logits[id], static_cast<std::int32_t>(id)});
    }
    std::stable_sort(own.begin(), own.end(),
                     [](const Candidate& a, const Candidate& b) { return a.logit > b.logit; });
    own.resize(std::min(own.size(), static_cast<std::size_t>(needed)));
    all.insert(all.end(), own.begin(), own.end());
  }
  return all;
}

TEST(SamplerCandidates, AreAskedForWhereTheyAreEnough) {
  EXPECT_EQ(candidates_needed({}), 1);
  EXPECT_EQ(candidates_needed({.top_k = 50}), 1);  // greedy
  EXPECT_EQ(candidates_needed({.temperature = 1, .top_k = 50, .top_p = 0.8}), 51);
  EXPECT_EQ(candidates_needed({.temperature = 1, .top_k = 64}), kMaxCandidates);
  EXPECT_EQ(candidates_needed({.temperature = 1, .top_k = 65}), 0);
  EXPECT_EQ(candidates_needed({.temperature = 1}), 0);
  EXPECT_EQ(candidates_needed({.temperature = 1, .top_p = 0.8}), 0);
  EXPECT_EQ(candidates_needed({.repetition_penalty = 1.1}), 0);
}

TEST(SamplerCandidates, GiveTheAnswerOfAllLogits) {
  std::vector<float> logits;
  std::uint32_t state = 1;
  for (int id = 0; id < 200; ++id) {
    state = state * 1664525U + 1013904223U;
    logits.push_back(static_cast<float>(state >> 28) * 0.5F);  // 16 levels: many equals
  }
  logits[17] = kNan;
  std::vector<float> few_numbers(200, kNan);
  for (const std::size_t id : {3U, 80U, 81U, 199U}) few_numbers[id] = logits[id];
  std::vector<float> exact_k = few_numbers;  // as many numbers as top_k: nothing is cut off
  exact_k[120] = 1;
  for (const std::vector<float>& row : {logits, few_numbers, exact_k}) {
    for (const SamplingParams& params :
         {SamplingParams{}, SamplingParams{.temperature = 0.7, .top_k = 5},
          SamplingParams{.temperature = 2, .top_k = 1},
          SamplingParams{.temperature = 1.3, .top_k = 64, .top_p = 0.9, .seed = 7}}) {
      for (const std::size_t num_parts : {1U, 2U, 3U, 8U}) {
        for (std::uint64_t position = 0; position < 100; ++position) {
          EXPECT_EQ(sample_candidates(candidates_of(row, candidates_needed(params), num_parts), 200,
                                      params, position),
                    sample(row, params, kNothing, position));
        }
      }
    }
  }
}

TEST(SamplerCandidates, NoneIsAnError) {
  try {
    (void)sample_candidates({}, 200, {}, 9);
    FAIL();
  } catch (const Exception& failure) {
    EXPECT_EQ(failure.error().message, "all 200 logits are NaN");
    EXPECT_EQ(failure.error().detail, "of the token at position 9");
  }
}

}  // namespace
}  // namespace cardloom
