#include "cardloom/sampling/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <span>
#include <vector>

#include "cardloom/base/error.h"

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

/// The token that follows `previous` of a prompt.
std::int32_t choose(std::span<const float> logits, const SamplingParams& params,
                    const std::vector<std::int32_t>& previous, std::uint64_t position) {
  return sample(
             logits, params,
             {.tokens = previous, .num_prompt_tokens = static_cast<std::int64_t>(previous.size())},
             position)
      .id;
}

std::map<std::int32_t, int> count(const std::vector<float>& logits, const SamplingParams& params,
                                  int num_draws,
                                  const std::vector<std::int32_t>& previous = kNothing) {
  std::map<std::int32_t, int> counts;
  for (int position = 0; position < num_draws; ++position) {
    ++counts[choose(logits, params, previous, static_cast<std::uint64_t>(position))];
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
  EXPECT_EQ(choose(std::vector<float>{1, 5, 5, 2}, {}, kNothing, 0), 1);
  EXPECT_EQ(choose(std::vector<float>{-3}, {}, kNothing, 0), 0);
  EXPECT_EQ(choose(std::vector<float>{0.0F, -0.0F}, {}, kNothing, 0), 0);
  EXPECT_EQ(choose(std::vector<float>{-0.0F, 0.0F}, {}, kNothing, 0), 0);
  EXPECT_EQ(choose(std::vector<float>{-kInf, -kInf}, {}, kNothing, 0), 0);
  EXPECT_EQ(choose(std::vector<float>{1, kInf, kInf}, {}, kNothing, 0), 1);
}

TEST(Sampler, NanIsNeverChosen) {
  EXPECT_EQ(choose(std::vector<float>{kNan, -kInf, kNan}, {}, kNothing, 0), 1);
  const auto counts = count({kNan, 0, kNan, 0}, {.temperature = 1}, 100);
  EXPECT_EQ(counts.size(), 2U);
  EXPECT_TRUE(counts.contains(1));
  EXPECT_TRUE(counts.contains(3));
}

TEST(Sampler, OnlyNanIsANamedError) {
  for (const double temperature : {0.0, 1.0}) {
    try {
      (void)choose(std::vector<float>{kNan, kNan}, {.temperature = temperature}, kNothing, 17);
      FAIL();
    } catch (const Exception& failure) {
      EXPECT_EQ(failure.error().code, ErrorCode::kDataLoss);
      EXPECT_EQ(failure.error().message, "all 2 logits are NaN");
      EXPECT_EQ(failure.error().detail, "of the token at position 17");
    }
  }
}

TEST(Sampler, RefusesNoLogitsAndBadParams) {
  EXPECT_THROW((void)choose({}, {}, kNothing, 0), Exception);
  EXPECT_THROW((void)choose(std::vector<float>{1}, {.top_p = 0}, kNothing, 0), Exception);
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
  EXPECT_EQ(choose(logits, params, kNothing, 0), 0);
  EXPECT_EQ(choose(logits, params, std::vector<std::int32_t>{0, 0, 0}, 0), 1);  // 2, 3, 2.5
  EXPECT_EQ(choose(logits, params, std::vector<std::int32_t>{1, 0}, 0), 2);     // 2, 1.5, 2.5
  EXPECT_EQ(choose(std::vector<float>{-1, -1.5F}, params, std::vector<std::int32_t>{0}, 0), 1);
  // Once only: twice would give 4 / 4 = 1 < 1.5.
  EXPECT_EQ(choose(std::vector<float>{4, 1.5F}, params, std::vector<std::int32_t>{0, 0}, 0), 0);
  EXPECT_EQ(choose(logits, params, std::vector<std::int32_t>{-1, 3, 1 << 30}, 0), 0);
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
    forwards.push_back(choose(logits, {.temperature = 1, .seed = 9}, kNothing, position));
  }
  for (std::uint64_t position = 50; position-- > 0;) {
    backwards.insert(backwards.begin(),
                     choose(logits, {.temperature = 1, .seed = 9}, kNothing, position));
  }
  EXPECT_EQ(forwards, backwards);
  std::vector<std::int32_t> other;
  for (std::uint64_t position = 0; position < 50; ++position) {
    other.push_back(choose(logits, {.temperature = 1, .seed = 10}, kNothing, position));
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
        choose(logits, {.temperature = 1, .top_p = 0.01, .seed = 11}, kNothing, position);
    EXPECT_GE(logits[static_cast<std::size_t>(id)], threshold);
  }
}

TokenMask mask_of(std::int32_t size, const std::vector<std::int32_t>& ids) {
  TokenMask mask(size);
  for (const std::int32_t id : ids) mask.insert(id);
  return mask;
}

std::string refusal(const std::vector<float>& logits, const SamplingContext& context,
                    ErrorCode code) {
  try {
    (void)sample(logits, {}, context, 3);
  } catch (const Exception& failure) {
    EXPECT_EQ(failure.error().code, code);
    EXPECT_EQ(failure.error().detail, "of the token at position 3");
    return failure.error().message;
  }
  return "none";
}

TEST(Sampler, OnlyAllowedTokensAreChosen) {
  std::vector<float> logits(200);
  for (std::size_t id = 0; id < logits.size(); ++id) logits[id] = static_cast<float>(id) * 0.01F;
  const std::set<std::int32_t> ids{0, 1, 63, 64, 65, 127, 128, 191, 199};
  // A mask for fewer or more tokens than there are logits, as a padded vocabulary makes them.
  for (const std::int32_t size : {200, 256, 1000}) {
    TokenMask mask = mask_of(size, {ids.begin(), ids.end()});
    if (size > 200) mask.insert(200);
    const SamplingContext context{.allowed = &mask};
    EXPECT_EQ(sample(logits, {}, context, 0).id, 199);
    std::set<std::int32_t> chosen;
    for (std::uint64_t position = 0; position < 500; ++position) {
      chosen.insert(sample(logits, {.temperature = 1}, context, position).id);
    }
    EXPECT_EQ(chosen, ids);
  }
  const TokenMask small = mask_of(3, {1, 2});
  EXPECT_EQ(sample(logits, {}, {.allowed = &small}, 0).id, 2);
}

TEST(Sampler, AMaskOfAllChangesNothing) {
  std::vector<float> logits;
  std::uint32_t state = 7;
  TokenMask mask(130);
  for (std::int32_t id = 0; id < 130; ++id) {
    state = state * 1664525U + 1013904223U;
    logits.push_back(static_cast<float>(state >> 20) * 0x1p-9F);
    mask.insert(id);
  }
  const SamplingParams params{.temperature = 1.5, .top_k = 70, .top_p = 0.95};
  for (std::uint64_t position = 0; position < 200; ++position) {
    EXPECT_EQ(sample(logits, params, {.allowed = &mask}, position).id,
              choose(logits, params, kNothing, position));
  }
}

TEST(Sampler, ForbiddenIdsAreNotChosen) {
  const std::vector<float> logits{1, 9, 8, 2};
  const std::vector<std::int32_t> forbidden{2, 1, -4, 99};
  EXPECT_EQ(sample(logits, {}, {.forbidden_ids = forbidden}, 0).id, 3);
  const TokenMask mask = mask_of(4, {0, 1});
  EXPECT_EQ(sample(logits, {}, {.allowed = &mask, .forbidden_ids = forbidden}, 0).id, 0);
}

TEST(Sampler, NothingToChooseFromIsANamedError) {
  const TokenMask none(4);
  const TokenMask beyond = mask_of(64, {40});
  const TokenMask two = mask_of(4, {1, 2});
  const std::vector<std::int32_t> stops{1, 2};
  const std::vector<float> logits{1, 2, 3, 4};
  for (const TokenMask* mask : {&none, &beyond}) {
    EXPECT_EQ(refusal(logits, {.allowed = mask}, ErrorCode::kInternal),
              "the constraint allows none of 4 tokens");
  }
  EXPECT_EQ(refusal(logits, {.allowed = &two, .forbidden_ids = stops}, ErrorCode::kInvalidArgument),
            "only stop ids may come next, but min_tokens asks for more tokens");
  EXPECT_EQ(refusal({0, kNan, kNan, 1}, {.allowed = &two}, ErrorCode::kDataLoss),
            "all 2 logits that may be chosen are NaN");
  EXPECT_EQ(refusal({kNan, 1, 2, kNan}, {.forbidden_ids = stops}, ErrorCode::kInvalidArgument),
            "only stop ids may come next, but min_tokens asks for more tokens");
}

TEST(Sampler, BiasIsAddedBeforePenalties) {
  const std::vector<float> logits{1, 2, 3};
  EXPECT_EQ(choose(logits, {.logit_bias = {{0, 2.5}}}, kNothing, 0), 0);
  EXPECT_EQ(choose(logits, {.logit_bias = {{2, -100}}}, kNothing, 0), 1);
  EXPECT_EQ(choose(logits, {.logit_bias = {{0, 1}, {0, 1.5}}}, kNothing, 0), 0);  // 3.5
  EXPECT_EQ(choose(logits, {.logit_bias = {{3, 100}, {1 << 30, 100}}}, kNothing, 0), 2);
  // (1 + 5) / 3 = 2 < 3; the other way round it would be 1 / 3 + 5.
  const SamplingParams both{.repetition_penalty = 3, .logit_bias = {{0, 5}}};
  EXPECT_EQ(choose(logits, both, {0}, 0), 2);
  EXPECT_EQ(choose(logits, both, {}, 0), 0);
}

TEST(Sampler, BiasMultipliesOdds) {
  constexpr int kDraws = 40'000;
  const SamplingParams params{.temperature = 1, .logit_bias = {{0, std::log(3.0)}}, .seed = 21};
  EXPECT_LT(chi_square(count({0, 0}, params, kDraws), {{0, 0.75}, {1, 0.25}}, kDraws), 10.9);
}

/// The token that follows `tokens`, of which the first `num_prompt` are the prompt.
std::int32_t choose_after(const std::vector<float>& logits, const SamplingParams& params,
                          const std::vector<std::int32_t>& tokens, std::int64_t num_prompt) {
  return sample(logits, params, {.tokens = tokens, .num_prompt_tokens = num_prompt}, 0).id;
}

TEST(Sampler, PresencePenaltyCountsGeneratedTokensOnce) {
  const std::vector<float> logits{4, 3.5F, 1};
  const SamplingParams params{.presence_penalty = 1};
  EXPECT_EQ(choose_after(logits, params, {0, 0, 0}, 3), 0);  // of the prompt
  EXPECT_EQ(choose_after(logits, params, {5, 0}, 1), 1);     // 3, 3.5
  EXPECT_EQ(choose_after(logits, params, {0, 0, 1}, 0), 0);  // 3, 2.5
  EXPECT_EQ(choose_after(logits, params, {0, -1, 3, 1 << 30}, 1), 0);
  EXPECT_EQ(choose_after({1, 2}, {.presence_penalty = -2}, {0}, 0), 0);  // 3, 2
}

TEST(Sampler, FrequencyPenaltyCountsEachTime) {
  const std::vector<float> logits{4, 3.2F, 2.3F};
  const SamplingParams params{.frequency_penalty = 0.5};
  EXPECT_EQ(choose_after(logits, params, {0}, 0), 0);                 // 3.5, 3.2, 2.3
  EXPECT_EQ(choose_after(logits, params, {0, 1, 0}, 0), 0);           // 3, 2.7, 2.3
  EXPECT_EQ(choose_after(logits, params, {0, 2, 0, 1, 0, 1}, 0), 0);  // 2.5, 2.2, 1.8
  EXPECT_EQ(choose_after(logits, params, {0, 0, 1, 0, 1, 0}, 0), 2);  // 2, 2.2, 2.3
  EXPECT_EQ(choose_after(logits, params, {0, 0, 0, 0, 1, 0}, 4), 0);  // 3.5, 2.7, 2.3
  // With both: 4 - (1 + 2 * 0.5) = 2 < 3.2.
  EXPECT_EQ(choose_after(logits, {.presence_penalty = 1, .frequency_penalty = 0.5}, {0, 0}, 0), 1);
}

TEST(Sampler, RepetitionPenaltyComesBeforePresencePenalty) {
  // 4 / 2 - 1 = 1 < 1.2; the other way round (4 - 1) / 2 = 1.5.
  EXPECT_EQ(choose_after({4, 1.2F}, {.repetition_penalty = 2, .presence_penalty = 1}, {0}, 0), 1);
}

TEST(Sampler, MinPKeepsWhatIsLikelyEnough) {
  constexpr int kDraws = 40'000;
  const auto logits = logits_of({0.1, 0.2, 0.3, 0.4});
  EXPECT_LT(chi_square(count(logits, {.temperature = 1, .min_p = 0.7, .seed = 6}, kDraws),
                       {{2, 3. / 7}, {3, 4. / 7}}, kDraws),
            10.9);
  EXPECT_EQ(count(logits, {.temperature = 1, .min_p = 0.2}, 2000).size(), 4U);
  EXPECT_EQ(count({1, 2, 2, 2}, {.temperature = 1, .min_p = 1}, 200).size(), 3U);
  // Of the temperature's probabilities: 1 : 4 : 9 : 16, so 0.5 keeps 9 and 16.
  EXPECT_EQ(count(logits, {.temperature = 0.5, .min_p = 0.5}, 500).size(), 2U);
  EXPECT_EQ(count(logits, {.temperature = 0.5, .min_p = 0.6}, 500).size(), 1U);
  EXPECT_EQ(count({kInf, 3, kInf}, {.temperature = 1, .min_p = 0.01}, 200).size(), 2U);
}

TEST(Sampler, MinPIsTakenOfWhatTopKAndTopPLeft) {
  const auto logits = logits_of({0.1, 0.2, 0.3, 0.4});
  // 0.4 + 0.3 >= 0.5 and both pass min_p; min_p first would make them 4/7 >= 0.5 and 3/7.
  EXPECT_EQ(count(logits, {.temperature = 1, .top_p = 0.5, .min_p = 0.7}, 500).size(), 2U);
  EXPECT_EQ(count(logits, {.temperature = 1, .top_k = 1, .min_p = 0.1}, 200).size(), 1U);
  EXPECT_EQ(count(logits, {.temperature = 1, .top_k = 3, .min_p = 0.6}, 500).size(), 2U);
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
  EXPECT_EQ(candidates_needed({.presence_penalty = 0.1}), 0);
  EXPECT_EQ(candidates_needed({.frequency_penalty = -0.1}), 0);
  EXPECT_EQ(candidates_needed({.logit_bias = {{1, 1}}}), 0);
  EXPECT_EQ(candidates_needed({.num_logprobs = 0}), 0);
  EXPECT_EQ(candidates_needed({.temperature = 1, .min_p = 0.1}), 0);
  EXPECT_EQ(candidates_needed({.temperature = 1, .top_k = 5, .min_p = 0.1}), 6);
  EXPECT_EQ(candidates_needed({}, true), 0);
  EXPECT_EQ(candidates_needed({}, false, 3), 4);
  EXPECT_EQ(candidates_needed({.temperature = 1, .top_k = 60}, false, 4), kMaxCandidates);
  EXPECT_EQ(candidates_needed({.temperature = 1, .top_k = 60}, false, 5), 0);
}

TEST(SamplerCandidates, AreRefusedWhereTheyAreNotEnough) {
  const TokenMask mask = mask_of(3, {1, 2});
  const std::vector<Candidate> candidates{{1, 0}, {2, 1}};
  EXPECT_THROW((void)sample_candidates(candidates, 3, {.num_logprobs = 0}, {}, 0), Exception);
  EXPECT_THROW((void)sample_candidates(candidates, 3, {}, {.allowed = &mask}, 0), Exception);
  EXPECT_EQ(sample_candidates(candidates, 3, {}, {}, 0).id, 1);
}

std::vector<float> coarse_logits() {
  std::vector<float> logits;
  std::uint32_t state = 1;
  for (int id = 0; id < 200; ++id) {
    state = state * 1664525U + 1013904223U;
    logits.push_back(static_cast<float>(state >> 28) * 0.5F);  // 16 levels: many equals
  }
  logits[17] = kNan;
  return logits;
}

TEST(SamplerCandidates, GiveTheAnswerOfAllLogits) {
  const std::vector<float> logits = coarse_logits();
  std::vector<float> few_numbers(200, kNan);
  for (const std::size_t id : {3U, 80U, 81U, 199U}) few_numbers[id] = logits[id];
  std::vector<float> exact_k = few_numbers;  // as many numbers as top_k: nothing is cut off
  exact_k[120] = 1;
  for (const std::vector<float>& row : {logits, few_numbers, exact_k}) {
    for (const SamplingParams& params :
         {SamplingParams{}, SamplingParams{.temperature = 0.7, .top_k = 5},
          SamplingParams{.temperature = 2, .top_k = 1},
          SamplingParams{.temperature = 0.7, .top_k = 20, .min_p = 0.3},
          SamplingParams{.temperature = 1.3, .top_k = 64, .top_p = 0.9, .seed = 7}}) {
      for (const std::size_t num_parts : {1U, 2U, 3U, 8U}) {
        for (std::uint64_t position = 0; position < 100; ++position) {
          EXPECT_EQ(sample_candidates(candidates_of(row, candidates_needed(params), num_parts), 200,
                                      params, {}, position)
                        .id,
                    choose(row, params, kNothing, position));
        }
      }
    }
  }
}

TEST(SamplerCandidates, GiveTheAnswerOfAllLogitsWithoutForbiddenIds) {
  std::vector<float> row = coarse_logits();
  const std::vector<std::int32_t> forbidden{3, 80, 81, 199};
  for (const std::size_t id : {3U, 80U, 199U}) row[id] = 50;  // they take places of candidates
  const SamplingContext context{.forbidden_ids = forbidden};
  for (const std::int64_t top_k : {0, 1, 5, 60}) {
    const SamplingParams params{.temperature = top_k == 0 ? 0.0 : 1.0, .top_k = top_k};
    const std::int64_t needed = candidates_needed(params, false, 4);
    for (std::uint64_t position = 0; position < 100; ++position) {
      EXPECT_EQ(sample_candidates(candidates_of(row, needed, 3), 200, params, context, position).id,
                sample(row, params, context, position).id);
    }
  }
}

TEST(SamplerCandidates, NoneIsAnError) {
  try {
    (void)sample_candidates({}, 200, {}, {}, 9);
    FAIL();
  } catch (const Exception& failure) {
    EXPECT_EQ(failure.error().message, "all 200 logits are NaN");
    EXPECT_EQ(failure.error().detail, "of the token at position 9");
  }
}

}  // namespace
}  // namespace cardloom
