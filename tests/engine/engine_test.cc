#include <gtest/gtest.h>

#include <map>

#include "cardloom/engine/engine_loop.h"
#include "tests/engine/history_model.h"

namespace cardloom::testing {
namespace {

using Ids = std::vector<std::int32_t>;

std::unique_ptr<Engine> make_engine(
    int tp, const EngineOptions& options,
    std::shared_ptr<HistoryModelControl> control = std::make_shared<HistoryModelControl>()) {
  return std::make_unique<Engine>(make_cards(tp), history_models(std::move(control)), options);
}

Request make_request(Prompt prompt, std::int64_t max_tokens) {
  Request request;
  request.prompt = std::move(prompt);
  request.max_tokens = max_tokens;
  return request;
}

struct Outcome {
  Ids ids;
  FinishReason finish = FinishReason::kNone;
  Error error{};
};

/// Steps until the engine is idle.
std::map<std::uint64_t, Outcome> run_all(Engine& engine) {
  std::map<std::uint64_t, Outcome> outcomes;
  for (int step = 0; !engine.idle(); ++step) {
    if (step > 5000) throw_error(ErrorCode::kInternal, "the engine does not come to an end");
    for (const SequenceEvent& event : engine.step()) {
      Outcome& outcome = outcomes[event.sequence_id];
      EXPECT_EQ(outcome.finish, FinishReason::kNone) << "an event after the end";
      if (event.token_id >= 0) outcome.ids.push_back(event.token_id);
      outcome.finish = event.finish;
      outcome.error = event.error;
    }
  }
  return outcomes;
}

Outcome run_one(Engine& engine, Request request) {
  const std::uint64_t id = engine.submit(std::move(request)).value_or_throw();
  return run_all(engine).at(id);
}

TEST(Engine, FollowsTheDefinition) {
  const auto engine = make_engine(1, {});
  const Outcome outcome = run_one(*engine, make_request(make_prompt(10, 1), 12));
  EXPECT_EQ(outcome.ids, expected_ids(make_prompt(10, 1), 12));
  EXPECT_EQ(outcome.finish, FinishReason::kLength);
  EXPECT_TRUE(engine->idle());
  EXPECT_TRUE(engine->step().empty());
}

struct Setting {
  int tp = 1;
  std::int64_t chunk = 0;
};

class EngineSettings : public ::testing::TestWithParam<Setting> {};

// Promise 1: tp, chunks and neighbours change nothing; with pictures, blocks that do not divide,
// and sequences that come and go.
TEST_P(EngineSettings, GiveTheSameIdsAloneAndBesideOthers) {
  const EngineOptions options{.context_tokens = 150,
                              .max_sequences = 4,
                              .max_step_tokens = GetParam().chunk,
                              .block_size = 8};
  const auto prompt = [](int number) {
    return number % 2 == 0 ? make_prompt(70 - 9 * number, static_cast<std::uint32_t>(number))
                           : make_picture_prompt(40 + 3 * number, 3 + number,
                                                 static_cast<std::uint32_t>(number));
  };
  const auto tokens = [](int number) { return 20 - 4 * number; };
  const auto engine = make_engine(GetParam().tp, options);
  EXPECT_EQ(run_one(*engine, make_request(prompt(1), tokens(1))).ids,
            expected_ids(prompt(1), tokens(1)));
  std::map<std::uint64_t, int> numbers;
  for (int number = 0; number < 4; ++number) {
    if (number == 3) (void)engine->step();  // the last comes while the others run
    const Result<std::uint64_t> id = engine->submit(make_request(prompt(number), tokens(number)));
    ASSERT_TRUE(id) << id.error().describe();
    numbers[*id] = number;
  }
  for (const auto& [id, outcome] : run_all(*engine)) {
    const int number = numbers.at(id);
    EXPECT_EQ(outcome.finish, FinishReason::kLength);
    Ids expected = expected_ids(prompt(number), tokens(number));
    // What the early step may have given before run_all looked:
    expected.erase(expected.begin(),
                   expected.begin() + (static_cast<std::ptrdiff_t>(expected.size()) -
                                       static_cast<std::ptrdiff_t>(outcome.ids.size())));
    EXPECT_EQ(outcome.ids, expected) << "sequence " << number;
    EXPECT_GE(static_cast<int>(outcome.ids.size()), tokens(number) - 1);
  }
}

INSTANTIATE_TEST_SUITE_P(All, EngineSettings,
                         ::testing::Values(Setting{1, 1}, Setting{1, 7}, Setting{1, 64},
                                           Setting{1, 512}, Setting{2, 1}, Setting{2, 7},
                                           Setting{2, 512}, Setting{3, 64}, Setting{4, 7},
                                           Setting{4, 512}),
                         [](const auto& setting) {
                           return "tp" + std::to_string(setting.param.tp) + "chunk" +
                                  std::to_string(setting.param.chunk);
                         });

TEST(Engine, SampledTokensDoNotDependOnNeighboursOrChunks) {
  const auto sampled = [](std::uint32_t seed) {
    Request request = make_request(make_prompt(20, seed), 15);
    request.sampling = {.temperature = 0.9, .top_p = 0.9, .repetition_penalty = 1.2, .seed = seed};
    return request;
  };
  const auto alone = make_engine(1, {});
  const Ids expected = run_one(*alone, sampled(5)).ids;
  EXPECT_EQ(expected.size(), 15U);
  const auto engine = make_engine(2, {.max_sequences = 4, .max_step_tokens = 7});
  for (std::uint32_t seed = 6; seed < 9; ++seed)
    (void)engine->submit(sampled(seed)).value_or_throw();
  const std::uint64_t id = engine->submit(sampled(5)).value_or_throw();
  EXPECT_EQ(run_all(*engine).at(id).ids, expected);
}

TEST(Engine, StopIdsEndWithoutOutput) {
  const Ids ids = expected_ids(make_prompt(10, 2), 8);
  Request request = make_request(make_prompt(10, 2), 0);
  request.stop_ids = {ids[4], 999};
  const std::size_t first =
      static_cast<std::size_t>(std::find(ids.begin(), ids.end(), ids[4]) - ids.begin());
  const auto engine = make_engine(1, {});
  const std::uint64_t id = engine->submit(std::move(request)).value_or_throw();
  const Outcome outcome = run_all(*engine).at(id);
  EXPECT_EQ(outcome.finish, FinishReason::kStop);
  EXPECT_EQ(outcome.ids, Ids(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(first)));
  EXPECT_EQ(engine->times(id).generated_tokens, static_cast<std::int64_t>(first));
}

TEST(Engine, ASequenceThatReachesTheContextEnds) {
  const auto engine = make_engine(1, {.context_tokens = 20, .block_size = 8});
  EXPECT_EQ(engine->context_tokens(), 20);
  // Rows 15..19 hold tokens 0..4; token 5 is chosen from row 19 and needs no row.
  const Outcome outcome = run_one(*engine, make_request(make_prompt(15, 3), 0));
  EXPECT_EQ(outcome.finish, FinishReason::kLength);
  EXPECT_EQ(outcome.ids, expected_ids(make_prompt(15, 3), 6));
  EXPECT_EQ(run_one(*engine, make_request(make_prompt(20, 3), 0)).ids,
            expected_ids(make_prompt(20, 3), 1));
}

TEST(Engine, TheTableOfPositionsEndsASequenceToo) {
  const auto engine = make_engine(1, {});
  Prompt prompt = make_prompt(5, 3);
  prompt.next_position = kHistoryMaxPositions - 2;
  const Outcome outcome = run_one(*engine, make_request(std::move(prompt), 0));
  EXPECT_EQ(outcome.finish, FinishReason::kLength);
  EXPECT_EQ(outcome.ids.size(), 3U);
}

TEST(Engine, RefusalsComeFromAdmissionAndOthersWait) {
  const auto engine = make_engine(1, {.context_tokens = 20, .max_sequences = 2});
  const Result<std::uint64_t> too_long = engine->submit(make_request(make_prompt(21, 1), 1));
  ASSERT_FALSE(too_long);
  EXPECT_EQ(too_long.error().message, "the prompt has 21 rows, but the context holds 20");
  for (int count = 0; count < 7; ++count) {
    ASSERT_TRUE(engine->submit(make_request(make_prompt(3, 1), 1)));
  }
  EXPECT_EQ(engine->stats().waiting, 7);
  EXPECT_EQ(run_all(*engine).size(), 7U);
  EXPECT_EQ(engine->stats().waiting, 0);
}

// Blocks for two full contexts exist; without free blocks the 20th round would find none.
TEST(Engine, CancelFreesBlocksAndPlacesAtOnce) {
  const auto engine = make_engine(2, {.context_tokens = 40, .max_sequences = 2, .block_size = 4});
  const std::uint64_t other = engine->submit(make_request(make_prompt(10, 9), 30)).value_or_throw();
  Ids other_ids;
  for (std::uint32_t round = 0; round < 20; ++round) {
    const std::uint64_t id =
        engine->submit(make_request(make_picture_prompt(25, 4, round), 5)).value_or_throw();
    for (const SequenceEvent& event : engine->step()) {
      if (event.sequence_id == other) other_ids.push_back(event.token_id);
    }
    engine->cancel(id);
    engine->cancel(id);
    engine->cancel(12345);
  }
  for (const auto& [id, outcome] : run_all(*engine)) {
    EXPECT_EQ(id, other);
    other_ids.insert(other_ids.end(), outcome.ids.begin(), outcome.ids.end());
  }
  EXPECT_EQ(other_ids, expected_ids(make_prompt(10, 9), 30));
}

TEST(Engine, EveryPictureIsEncodedOnceAndItsRowsAreGivenBack) {
  const auto control = std::make_shared<HistoryModelControl>();
  const auto engine = make_engine(2, {.max_step_tokens = 3, .max_logits_rows = 2}, control);
  Request request = make_request(make_picture_prompt(12, 4, 7), 2);
  request.prompt_logits = true;
  const Ids expected = expected_ids(request.prompt, 2);
  std::vector<float> picture_rows;
  for (std::int64_t row = 0; row < kHistoryImageRows; ++row) {
    picture_rows.push_back(history_picture_row(request.prompt.images[0], row));
  }
  const std::uint64_t id = engine->submit(std::move(request)).value_or_throw();
  EXPECT_EQ(run_all(*engine).at(id).ids, expected);
  EXPECT_EQ(control->num_encoded.load(), 1);
  const std::vector<Tensor> embeds = engine->take_image_embeds(id);
  ASSERT_EQ(embeds.size(), 1U);
  for (std::int64_t row = 0; row < kHistoryImageRows; ++row) {
    EXPECT_EQ(*embeds[0].view().at<float>(row, 0), picture_rows[static_cast<std::size_t>(row)]);
  }
  EXPECT_TRUE(engine->take_image_embeds(id).empty());
}

TEST(Engine, PromptLogitsAreOfEveryRowWhateverTheChunks) {
  const Prompt prompt = make_prompt(30, 4);
  std::vector<HistoryRow> history;
  for (const std::int64_t max_logits_rows : {1, 5, 64}) {
    const auto engine = make_engine(2, {.max_step_tokens = 16, .max_logits_rows = max_logits_rows});
    Request request = make_request(make_prompt(30, 4), 3);
    request.prompt_logits = true;
    const std::uint64_t id = engine->submit(std::move(request)).value_or_throw();
    EXPECT_EQ(run_all(*engine).at(id).ids, expected_ids(prompt, 3));
    const Tensor logits = engine->take_prompt_logits(id);
    ASSERT_EQ(logits.view().shape[0], 30);
    history.clear();
    for (std::int64_t row = 0; row < 30; ++row) {
      history.push_back({static_cast<float>(prompt.token_ids[static_cast<std::size_t>(row)]),
                         static_cast<std::int32_t>(row)});
      const std::vector<float> expected = history_logits(history);
      const float* given = logits.view().at<float>(row);
      ASSERT_EQ(std::vector<float>(given, given + kHistoryVocab), expected) << "row " << row;
    }
    EXPECT_EQ(engine->take_prompt_logits(id).view().data, nullptr);
  }
}

TEST(Engine, KeepsWithinTheRowsOfAStep) {
  const auto control = std::make_shared<HistoryModelControl>();
  const auto engine = make_engine(1, {.max_sequences = 3, .max_step_tokens = 7}, control);
  for (std::uint32_t seed = 0; seed < 3; ++seed) {
    (void)engine->submit(make_request(make_prompt(30, seed), 4)).value_or_throw();
  }
  (void)run_all(*engine);
  EXPECT_EQ(control->max_rows_seen, 7);
}

TEST(Engine, TellsTimesAndForgetsThemWithTheNextSubmit) {
  const auto engine = make_engine(2, {.vision_cut = VisionCut::kPictures});
  const std::uint64_t id =
      engine->submit(make_request(make_picture_prompt(12, 4, 7), 5)).value_or_throw();
  EXPECT_EQ(engine->times(id).prompt_rows, 17);
  (void)run_all(*engine);
  const SequenceTimes times = engine->times(id);
  EXPECT_GT(times.vision.count(), 0);
  EXPECT_GT(times.prefill.count(), 0);
  EXPECT_GT(times.decode.count(), 0);
  EXPECT_EQ(times.generated_tokens, 5);
  EXPECT_EQ(times.vision_cut, VisionCut::kPictures);
  (void)engine->submit(make_request(make_prompt(3, 1), 1)).value_or_throw();
  EXPECT_THROW((void)engine->times(id), Exception);
}

TEST(Engine, AddsUpCopiesOfAllRanksAndMarksSteps) {
  const auto control = std::make_shared<HistoryModelControl>();
  control->copies_per_forward = 2;
  const auto engine = make_engine(3, {}, control);
  (void)run_one(*engine, make_request(make_prompt(4, 1), 2500));  // more launches than the ring has
  const auto calls = static_cast<std::uint64_t>(control->num_forward.load());
  EXPECT_EQ(calls, static_cast<std::uint64_t>(kHistoryMaxPositions) - 4 + 1);
  EXPECT_EQ(engine->layout_copies().copies, calls * 2 * 3);
  EXPECT_EQ(engine->layout_copies().bytes, calls * 2 * 3 * 100);
  const std::vector<OpRecord> records = engine->op_log(2).snapshot();
  EXPECT_EQ(records.back().step_id, calls);
  EXPECT_EQ(engine->op_log(2).scope(records.back()), "history.3");
  EXPECT_THROW((void)engine->op_log(3), Exception);
}

TEST(Engine, FingerprintsAreTakenWhileAsked) {
  const auto engine = make_engine(1, {});
  (void)run_one(*engine, make_request(make_prompt(4, 1), 1));
  EXPECT_EQ(engine->op_log(0).snapshot().back().fingerprint, 0U);
  engine->set_fingerprints(true);
  (void)run_one(*engine, make_request(make_prompt(4, 1), 1));
  EXPECT_NE(engine->op_log(0).snapshot().back().fingerprint, 0U);
}

std::string construction_error(const EngineOptions& options) {
  try {
    (void)make_engine(2, options);
  } catch (const Exception& failure) {
    return failure.error().message;
  }
  return "";
}

TEST(Engine, RefusesOptionsThatMakeNoSense) {
  EXPECT_EQ(construction_error({.context_tokens = 401}),
            "a context of 401 tokens, but the model takes 1 to 400");
  EXPECT_EQ(construction_error({.context_tokens = -1}),
            "a context of -1 tokens, but the model takes 1 to 400");
  EXPECT_EQ(construction_error({.max_sequences = 0}),
            "max_sequences is 0, but must be 1 to 1048576");
  EXPECT_EQ(construction_error({.max_step_tokens = -3}),
            "max_step_tokens is -3, but must be 1 to 1048576");
  EXPECT_EQ(construction_error({.block_size = std::int64_t{1} << 40}),
            "block_size is 1099511627776, but must be 1 to 1048576");
  EXPECT_THROW(Engine(CardGroup{}, history_models(std::make_shared<HistoryModelControl>()), {}),
               Exception);
  EXPECT_THROW(Engine(make_cards(2),
                      [](const CardGroup&) { return std::vector<std::unique_ptr<Model>>(); }, {}),
               Exception);
}

TEST(Engine, TellsThePlanWhenMemoryIsShort) {
  // 2^20 sequences x one block of 2^20 tokens x 2 x 4 bytes x 64 layers: more than addresses reach.
  const auto control = std::make_shared<HistoryModelControl>();
  control->num_layers = 64;
  try {
    (void)make_engine(2, {.max_sequences = 1 << 20, .block_size = 1 << 20}, control);
    FAIL() << "512 TiB were there";
  } catch (const Exception& failure) {
    EXPECT_EQ(failure.error().code, ErrorCode::kResourceExhausted);
    EXPECT_EQ(failure.error().message, "no memory for 1048576 sequences of 400 tokens on 2 cards");
    EXPECT_NE(failure.error().detail.find("each card needs 562949953421312 bytes of KV cache"),
              std::string::npos)
        << failure.error().detail;
  }
}

TEST(Engine, TellsWhatItReserves) {
  const auto engine = make_engine(2, {.context_tokens = 30, .max_sequences = 2, .block_size = 8});
  EXPECT_EQ(engine->reserved_bytes().kv_cache, 2 * 2 * 4 * 8 * 4);
  EXPECT_GT(engine->reserved_bytes().workspace, 0);
  EXPECT_EQ(engine->world_size(), 2);
  EXPECT_EQ(engine->model_info().architecture, "history");
}

}  // namespace
}  // namespace cardloom::testing
