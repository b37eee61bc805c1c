// Sequences that share, wait, give way, guess and obey: the tokens are those of the definition.
#include <gtest/gtest.h>

#include <map>

#include "cardloom/engine/engine_loop.h"
#include "tests/engine/history_model.h"

namespace cardloom::testing {
namespace {

using Ids = std::vector<std::int32_t>;
constexpr auto kVocab = static_cast<std::int32_t>(kHistoryVocab);

struct Harness {
  explicit Harness(int tp, const EngineOptions& options)
      : engine(make_cards(tp), history_models(control), options) {}

  std::uint64_t submit(Request request) {
    return engine.submit(std::move(request)).value_or_throw();
  }

  std::map<std::uint64_t, Ids> run_all() {
    std::map<std::uint64_t, Ids> ids;
    for (int step = 0; !engine.idle(); ++step) {
      if (step > 5000) throw_error(ErrorCode::kInternal, "the engine does not come to an end");
      for (const SequenceEvent& event : engine.step()) {
        EXPECT_NE(event.finish, FinishReason::kError) << event.error.describe();
        Ids& tokens = ids[event.sequence_id];
        if (event.token_id >= 0) tokens.push_back(event.token_id);
        if (event.finish != FinishReason::kNone)
          times[event.sequence_id] = engine.times(event.sequence_id);
      }
    }
    EXPECT_EQ(engine.stats().kv_blocks_used, 0);
    return ids;
  }

  Ids run_one(Request request) {
    const std::uint64_t id = submit(std::move(request));
    last = id;
    return run_all().at(id);
  }

  std::shared_ptr<HistoryModelControl> control = std::make_shared<HistoryModelControl>();
  Engine engine;
  std::map<std::uint64_t, SequenceTimes> times;
  std::uint64_t last = 0;
};

Request make_request(Prompt prompt, std::int64_t max_tokens) {
  Request request;
  request.prompt = std::move(prompt);
  request.max_tokens = max_tokens;
  return request;
}

class EngineBatching : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Tp, EngineBatching, ::testing::Values(1, 2, 3));

TEST_P(EngineBatching, ACachedPrefixGivesTheSameTokens) {
  Harness harness(GetParam(), {.context_tokens = 100, .max_sequences = 2, .block_size = 8});
  const Ids expected = expected_ids(make_prompt(30, 1), 20);
  EXPECT_EQ(harness.run_one(make_request(make_prompt(30, 1), 20)), expected);
  EXPECT_EQ(harness.times[harness.last].cached_rows, 0);
  EXPECT_EQ(harness.run_one(make_request(make_prompt(30, 1), 20)), expected);
  EXPECT_EQ(harness.times[harness.last].cached_rows, 24);
  // What was generated serves as the next turn's prompt: 30 + 19 rows are 6 whole blocks.
  const auto next_turn = [&] {
    Prompt next = make_prompt(30, 1);
    for (const std::int32_t id : expected) {
      next.positions.push_back(static_cast<std::int32_t>(next.token_ids.size()));
      next.token_ids.push_back(id);
    }
    next.next_position = 50;
    return next;
  };
  EXPECT_EQ(harness.run_one(make_request(next_turn(), 5)), expected_ids(next_turn(), 5));
  EXPECT_EQ(harness.times[harness.last].cached_rows, 48);
  Request salted = make_request(make_prompt(30, 1), 20);
  salted.cache_salt = 9;
  EXPECT_EQ(harness.run_one(std::move(salted)), expected);
  EXPECT_EQ(harness.times[harness.last].cached_rows, 0);
  const EngineStats stats = harness.engine.stats();
  EXPECT_EQ(stats.prefix_queries, 30U + 30U + 50U + 30U);
  EXPECT_EQ(stats.prefix_hits, 24U + 48U);
  EXPECT_EQ(stats.prompt_tokens, 30U + 6U + 2U + 30U);
  EXPECT_EQ(stats.generated_tokens, 65U);
  // Each sequence has its prompt in one step, whose last row brings the first token.
  EXPECT_EQ(stats.step_rows.sum, stats.prompt_tokens + 65 - 4);
  EXPECT_EQ(stats.step_rows.counts[0], 65U - 4U);  // one row
  EXPECT_EQ(stats.step_rows.counts[1], 2U);        // 2 to 8: prompts of which 6 and 2 rows are new
  EXPECT_EQ(stats.step_rows.counts[3], 2U);        // 17 to 32
}

TEST_P(EngineBatching, WithoutThePrefixCacheNothingIsShared) {
  Harness harness(GetParam(), {.context_tokens = 100, .block_size = 8, .prefix_cache = false});
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(harness.run_one(make_request(make_prompt(30, 1), 5)),
              expected_ids(make_prompt(30, 1), 5));
    EXPECT_EQ(harness.times[harness.last].cached_rows, 0);
  }
  EXPECT_EQ(harness.engine.stats().kv_blocks_cached, 0);
}

TEST_P(EngineBatching, APictureIsEncodedOnceInFlightAndLater) {
  Harness harness(GetParam(), {.context_tokens = 100, .max_sequences = 3, .block_size = 8});
  // Three prompts that differ before the picture, and the same picture in all.
  const auto prompt = [](std::int32_t rows) {
    Prompt made = make_picture_prompt(rows, 4, 7);
    made.token_ids[0] = rows % kVocab;
    return made;
  };
  for (const std::int32_t rows : {20, 25}) harness.submit(make_request(prompt(rows), 6));
  const auto ids = harness.run_all();
  EXPECT_EQ(ids.at(1), expected_ids(prompt(20), 6));
  EXPECT_EQ(ids.at(2), expected_ids(prompt(25), 6));
  EXPECT_EQ(harness.control->num_encoded, 1);
  EXPECT_EQ(harness.run_one(make_request(prompt(30), 6)), expected_ids(prompt(30), 6));
  EXPECT_EQ(harness.control->num_encoded, 1);
  EXPECT_EQ(harness.times[harness.last].cached_pictures, 1);
  Request salted = make_request(prompt(30), 6);
  salted.cache_salt = 1;
  EXPECT_EQ(harness.run_one(std::move(salted)), expected_ids(prompt(30), 6));
  EXPECT_EQ(harness.control->num_encoded, 2);
  EXPECT_EQ(harness.engine.stats().picture_queries, 4U);
  EXPECT_EQ(harness.engine.stats().picture_hits, 2U);
}

TEST_P(EngineBatching, WhoGivesWayComesToTheSameTokens) {
  // One context of 80 rows for four sequences that grow to 60 each.
  Harness harness(GetParam(), {.context_tokens = 80,
                               .max_sequences = 4,
                               .kv_tokens = 80,
                               .max_step_tokens = 16,
                               .block_size = 4});
  std::map<std::uint64_t, Prompt> prompts;
  for (std::uint32_t seed = 1; seed <= 4; ++seed) {
    const auto make = [&] {
      return seed % 2 == 0 ? make_picture_prompt(12, 3, seed) : make_prompt(14, seed);
    };
    prompts.emplace(harness.submit(make_request(make(), 40)), make());
  }
  const auto ids = harness.run_all();
  for (const auto& [id, prompt] : prompts) EXPECT_EQ(ids.at(id), expected_ids(prompt, 40)) << id;
  EXPECT_GT(harness.engine.stats().preemptions, 0U);
  EXPECT_EQ(harness.times[1].preemptions, 0);
  EXPECT_GT(harness.times[4].preemptions, 0);
}

/// Prompts that say the same again and again, so that something is proposed.
Prompt repeating_prompt(std::int32_t period, std::uint32_t seed) {
  Prompt prompt = make_prompt(period * 3, seed);
  for (std::size_t row = static_cast<std::size_t>(period); row < prompt.token_ids.size(); ++row) {
    prompt.token_ids[row] = prompt.token_ids[row - static_cast<std::size_t>(period)];
  }
  return prompt;
}

TEST_P(EngineBatching, GuessingChangesNoTokenGreedyOrSampled) {
  // Three ids, weighed down by a bias on all others, repeat themselves often: guesses come true.
  const auto request = [](std::uint32_t seed, double temperature) {
    Request made = make_request(repeating_prompt(5, seed), 60);
    made.sampling.temperature = temperature;
    made.sampling.seed = seed;
    for (std::int32_t id = 3; id < kVocab; ++id) {
      made.sampling.logit_bias.push_back({id, -100});
    }
    return made;
  };
  for (const double temperature : {0.0, 1.0}) {
    std::vector<Ids> expected;
    for (std::uint32_t seed = 1; seed <= 3; ++seed) {
      Harness alone(1, {.context_tokens = 80});
      expected.push_back(alone.run_one(request(seed, temperature)));
    }
    Harness harness(GetParam(), {.context_tokens = 80,
                                 .max_sequences = 3,
                                 .kv_tokens = 160,
                                 .max_step_tokens = 12,
                                 .block_size = 4,
                                 .speculate_ngram = 4});
    for (std::uint32_t seed = 1; seed <= 3; ++seed) harness.submit(request(seed, temperature));
    const auto ids = harness.run_all();
    for (std::uint64_t id = 1; id <= 3; ++id) EXPECT_EQ(ids.at(id), expected[id - 1]);
    const EngineStats stats = harness.engine.stats();
    EXPECT_GT(stats.speculated, 20U);
    EXPECT_GT(stats.accepted, 5U);
    EXPECT_LT(stats.accepted, stats.speculated);
  }
}

TEST(EngineTokens, GreedyGuessesFromCandidatesAreExactToo) {
  // No bias: the ranks tell candidates, one row of them for each proposed token.
  Harness harness(2, {.context_tokens = 200, .block_size = 8, .speculate_ngram = 3});
  const Prompt prompt = repeating_prompt(4, 3);
  EXPECT_EQ(harness.run_one(make_request(repeating_prompt(4, 3), 150)), expected_ids(prompt, 150));
  EXPECT_GT(harness.engine.stats().speculated, 0U);
}

TEST(EngineTokens, GuessesEndWithTheContextAndWithMaxTokens) {
  for (const std::int64_t max_tokens : {0, 1, 2, 7}) {
    Harness plain(1, {.context_tokens = 30, .block_size = 8});
    Harness guessing(1, {.context_tokens = 30, .block_size = 8, .speculate_ngram = 9});
    const auto request = [&] {
      Request made = make_request(repeating_prompt(5, 2), max_tokens);
      made.sampling.logit_bias.push_back({made.prompt.token_ids[0], 100});  // a run of one id
      return made;
    };
    const Ids expected = plain.run_one(request());
    EXPECT_EQ(expected.size(), max_tokens > 0 ? static_cast<std::size_t>(max_tokens) : 16U);
    EXPECT_EQ(guessing.run_one(request()), expected);
    EXPECT_EQ(guessing.times[guessing.last].generated_tokens,
              static_cast<std::int64_t>(expected.size()));
  }
}

TEST(EngineTokens, BeforeMinTokensNoStopIdIsChosen) {
  const Ids free_ids = expected_ids(make_prompt(10, 2), 8);
  const auto request = [&](std::int64_t min_tokens) {
    Request made = make_request(make_prompt(10, 2), 8);
    made.stop_ids = {free_ids[3], 999};
    made.min_tokens = min_tokens;
    return made;
  };
  Harness harness(2, {.context_tokens = 100});
  EXPECT_EQ(harness.run_one(request(3)), Ids(free_ids.begin(), free_ids.begin() + 3));
  const Ids ids = harness.run_one(request(6));
  ASSERT_GE(ids.size(), 6U);
  EXPECT_EQ(Ids(ids.begin(), ids.begin() + 3), Ids(free_ids.begin(), free_ids.begin() + 3));
  EXPECT_EQ(std::count(ids.begin(), ids.end(), free_ids[3]), 0);
}

/// Ids that differ by one from their neighbours, modulo the vocabulary, eight of them; then the
/// end.
class Neighbours final : public TokenConstraint {
 public:
  explicit Neighbours(std::int32_t stop_id) : stop_id_(stop_id) {}
  const TokenMask& allowed() override {
    mask_ = TokenMask(kVocab);
    if (accepted.size() == 8) {
      mask_.insert(stop_id_);
    } else if (accepted.empty()) {
      for (std::int32_t id = 0; id < kVocab - 1; ++id) mask_.insert(id);
    } else {
      mask_.insert((accepted.back() + 1) % (kVocab - 1));
      mask_.insert((accepted.back() + kVocab - 2) % (kVocab - 1));
    }
    return mask_;
  }
  void accept(std::int32_t id) override {
    if (!mask_.contains(id)) throw_error(ErrorCode::kInternal, "not allowed");
    accepted.push_back(id);
  }
  Ids accepted;

 private:
  std::int32_t stop_id_;
  TokenMask mask_;
};

TEST(EngineTokens, AConstraintIsObeyedAloneBesideOthersAndWithGuesses) {
  constexpr std::int32_t kStop = kVocab - 1;
  Ids expected;
  for (const std::int64_t guesses : {0, 4}) {
    for (const std::int64_t neighbours : {0, 2}) {
      Harness harness(2, {.context_tokens = 100,
                          .max_sequences = 3,
                          .kv_tokens = 100,
                          .block_size = 4,
                          .speculate_ngram = guesses});
      for (std::uint32_t seed = 0; seed < neighbours; ++seed) {
        harness.submit(make_request(make_prompt(20, seed), 40));
      }
      const auto constraint = std::make_shared<Neighbours>(kStop);
      Request request = make_request(make_prompt(20, 5), 0);
      request.constraint = constraint;
      request.stop_ids = {kStop};
      request.min_tokens = 20;  // gives way to a constraint that has come to its end
      const std::uint64_t id = harness.submit(std::move(request));
      const Ids ids = harness.run_all().at(id);
      EXPECT_EQ(ids, constraint->accepted);
      ASSERT_EQ(ids.size(), 8U);
      if (expected.empty()) expected = ids;
      EXPECT_EQ(ids, expected);
    }
  }
}

/// Objects to every token.
class Stubborn final : public TokenConstraint {
 public:
  const TokenMask& allowed() override {
    mask_.insert(3);
    return mask_;
  }
  void accept(std::int32_t id) override {
    throw_error(ErrorCode::kInternal, "token " + std::to_string(id) + " is not wanted");
  }

 private:
  TokenMask mask_{kVocab};
};

TEST(EngineTokens, AConstraintThatFailsEndsItsSequenceAlone) {
  Harness harness(1, {.context_tokens = 100, .max_sequences = 2});
  Request request = make_request(make_prompt(5, 1), 4);
  request.constraint = std::make_shared<Stubborn>();
  const std::uint64_t id = harness.submit(std::move(request));
  const std::uint64_t other = harness.submit(make_request(make_prompt(5, 2), 4));
  std::map<std::uint64_t, std::vector<SequenceEvent>> events;
  while (!harness.engine.idle()) {
    for (SequenceEvent& event : harness.engine.step()) events[event.sequence_id].push_back(event);
  }
  ASSERT_EQ(events[id].size(), 1U);
  EXPECT_EQ(events[id][0].finish, FinishReason::kError);
  EXPECT_EQ(events[id][0].token_id, -1);
  EXPECT_EQ(events[id][0].error.message, "token 3 is not wanted");
  EXPECT_EQ(events[other].size(), 4U);
}

TEST(EngineTokens, LogprobsComeWithTheTokenTheyAreOf) {
  Harness harness(2, {.context_tokens = 100});
  Request request = make_request(make_prompt(5, 1), 3);
  request.sampling.num_logprobs = 2;
  harness.submit(std::move(request));
  int num_tokens = 0;
  while (!harness.engine.idle()) {
    for (const SequenceEvent& event : harness.engine.step()) {
      ++num_tokens;
      ASSERT_NE(event.logprobs, nullptr);
      EXPECT_EQ(event.logprobs->chosen.id, event.token_id);
      ASSERT_EQ(event.logprobs->top.size(), 2U);
      EXPECT_EQ(event.logprobs->top[0].id, event.token_id);  // greedy
      EXPECT_GT(event.logprobs->top[0].logprob, event.logprobs->top[1].logprob);
    }
  }
  EXPECT_EQ(num_tokens, 3);
}

TEST_P(EngineBatching, PicturesInStagesDoNotHoldUpWhoGenerates) {
  Harness harness(GetParam(),
                  {.context_tokens = 100, .max_sequences = 4, .vision_layers_per_step = 1});
  const std::uint64_t text = harness.submit(make_request(make_prompt(10, 1), 40));
  ASSERT_TRUE(harness.engine.begin_step());
  EXPECT_EQ(harness.engine.end_step().events.size(), 1U);
  std::map<std::uint64_t, Ids> ids;
  for (std::uint32_t seed = 2; seed <= 4; ++seed) {
    harness.submit(make_request(make_picture_prompt(12, 3, seed), 6));
  }
  int num_stages = 0;
  bool encoded_last = false;
  while (harness.engine.begin_step()) {
    const StepReport report = harness.engine.end_step();
    EXPECT_FALSE(encoded_last && report.pictures > 0);
    EXPECT_NE(report.pictures > 0, report.rows > 0);
    encoded_last = report.pictures > 0;
    num_stages += encoded_last ? 1 : 0;
    for (const SequenceEvent& event : report.events) {
      ids[event.sequence_id].push_back(event.token_id);
    }
  }
  EXPECT_EQ(num_stages, kHistoryVisionLayers);
  EXPECT_EQ(ids[text].size(), 39U);
  for (std::uint32_t seed = 2; seed <= 4; ++seed) {
    EXPECT_EQ(ids[text + seed - 1], expected_ids(make_picture_prompt(12, 3, seed), 6));
    EXPECT_GT(harness.engine.times(text + seed - 1).vision.count(), 0);
  }
}

TEST_P(EngineBatching, APictureThatNobodyWantsAnyMoreIsNotEncodedToItsEnd) {
  Harness harness(GetParam(), {.context_tokens = 20, .vision_layers_per_step = 1});
  const auto encode_one_stage = [&] {
    ASSERT_TRUE(harness.engine.begin_step());
    EXPECT_EQ(harness.engine.end_step().pictures, 1);
  };
  for (std::uint32_t seed = 1; seed <= 6; ++seed) {  // more than there are slots
    const std::uint64_t id = harness.submit(make_request(make_picture_prompt(9, 3, seed), 3));
    encode_one_stage();
    harness.engine.cancel(id);
  }
  EXPECT_FALSE(harness.engine.begin_step());
  // A cancel while a stage runs, and somebody else who wants the picture.
  const std::uint64_t first = harness.submit(make_request(make_picture_prompt(9, 3, 7), 3));
  encode_one_stage();
  ASSERT_TRUE(harness.engine.begin_step());
  harness.engine.cancel(first);
  EXPECT_EQ(harness.engine.end_step().pictures, 1);
  EXPECT_EQ(harness.run_one(make_request(make_picture_prompt(9, 3, 7), 3)),
            expected_ids(make_picture_prompt(9, 3, 7), 3));
}

TEST(EngineQueue, HigherClassesAreServedFirst) {
  Harness harness(1, {.context_tokens = 60});
  const auto submit = [&](Priority priority) {
    Request request = make_request(make_prompt(6, 1), 3);
    request.priority = priority;
    return harness.submit(std::move(request));
  };
  const std::uint64_t low = submit(Priority::kLow);
  const std::uint64_t normal = submit(Priority::kNormal);
  const std::uint64_t high = submit(Priority::kHigh);
  std::vector<std::uint64_t> ended;
  while (!harness.engine.idle()) {
    for (const SequenceEvent& event : harness.engine.step()) {
      if (event.finish != FinishReason::kNone) ended.push_back(event.sequence_id);
    }
  }
  EXPECT_EQ(ended, (std::vector<std::uint64_t>{high, normal, low}));
}

TEST(EngineQueue, RefusesACacheThatHoldsNoContext) {
  try {
    const Harness harness(1, {.context_tokens = 60, .kv_tokens = 59, .block_size = 4});
    FAIL() << "59 tokens were enough";
  } catch (const Exception& failure) {
    EXPECT_EQ(failure.error().message, "a KV cache of 59 tokens, but a context has 60");
  }
}

}  // namespace
}  // namespace cardloom::testing
