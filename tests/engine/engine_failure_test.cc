#include <gtest/gtest.h>

#include <map>
#include <thread>

#include "cardloom/engine/engine_loop.h"
#include "tests/engine/history_model.h"

namespace cardloom::testing {
namespace {

using Kind = Fault::Kind;
using std::chrono::milliseconds;

/// Longer than a busy machine leaves a thread out that is not stuck.
constexpr milliseconds kRankDeadline(2000);

struct Harness {
  explicit Harness(int tp, const Fault& fault, EngineOptions options = {},
                   ThreadGroupOptions group = {.deadline = milliseconds(10'000), .spins = 0}) {
    control->fault = fault;
    engine = std::make_unique<Engine>(make_cards(tp, group), history_models(control), options);
  }

  std::uint64_t submit(Prompt prompt, std::int64_t max_tokens) const {
    Request request;
    request.prompt = std::move(prompt);
    request.max_tokens = max_tokens;
    return engine->submit(std::move(request)).value_or_throw();
  }

  std::map<std::uint64_t, std::vector<SequenceEvent>> run_all() const {
    std::map<std::uint64_t, std::vector<SequenceEvent>> events;
    for (int step = 0; !engine->idle() && step < 1000; ++step) {
      for (const SequenceEvent& event : engine->step()) events[event.sequence_id].push_back(event);
    }
    EXPECT_TRUE(engine->idle());
    return events;
  }

  /// A later request gives what it should: the engine serves on.
  void expect_serves() const {
    const std::uint64_t id = submit(make_picture_prompt(11, 3, 77), 6);
    auto events = run_all();
    std::vector<std::int32_t> ids;
    for (const SequenceEvent& event : events[id]) ids.push_back(event.token_id);
    EXPECT_EQ(ids, expected_ids(make_picture_prompt(11, 3, 77), 6));
  }

  std::shared_ptr<HistoryModelControl> control = std::make_shared<HistoryModelControl>();
  std::unique_ptr<Engine> engine;
};

TEST(EngineFailure, ThrowOnOneRankEndsTheStepsSequencesEverywhere) {
  for (int tp = 1; tp <= 4; ++tp) {
    const Harness harness(tp, {.kind = Kind::kThrow, .rank = tp - 1, .call = 3},
                          {.max_sequences = 2});
    const std::uint64_t a = harness.submit(make_prompt(5, 1), 10);
    const std::uint64_t b = harness.submit(make_prompt(6, 2), 10);
    auto events = harness.run_all();
    for (const std::uint64_t id : {a, b}) {
      ASSERT_EQ(events[id].size(), 3U);
      EXPECT_EQ(events[id][2].finish, FinishReason::kError);
      EXPECT_EQ(events[id][2].token_id, -1);
      EXPECT_EQ(events[id][2].error.code, ErrorCode::kInvalidArgument);
      EXPECT_EQ(events[id][2].error.message, "matmul: x must fit w");
      EXPECT_EQ(events[id][2].error.detail, "operands of rank 1");
    }
    harness.expect_serves();
  }
}

TEST(EngineFailure, AKernelsFailureIsNamedWithItsRecord) {
  const Harness harness(3, {.kind = Kind::kKernelThrows, .rank = 1, .call = 2});
  const std::uint64_t id = harness.submit(make_prompt(5, 1), 10);
  auto events = harness.run_all();
  const Error& error = events[id].back().error;
  EXPECT_EQ(error.code, ErrorCode::kDataLoss);
  EXPECT_EQ(error.message, "scale: the kernel broke");
  EXPECT_NE(error.detail.find("rank 1 of 3, history.3"), std::string::npos) << error.detail;
  EXPECT_NE(std::string(error.at.file).find("history_model.cc"), std::string::npos);
  harness.expect_serves();
}

TEST(EngineFailure, LaunchBlockingGivesTheSameError) {
  std::string messages[2];
  for (int blocking = 0; blocking < 2; ++blocking) {
    EngineOptions options;
    options.stream.launch_blocking = blocking;
    const Harness harness(2, {.kind = Kind::kKernelThrows, .rank = 1, .call = 2}, options);
    const std::uint64_t id = harness.submit(make_prompt(5, 1), 10);
    messages[blocking] = harness.run_all()[id].back().error.describe();
    harness.expect_serves();
  }
  EXPECT_EQ(messages[0], messages[1]);
}

TEST(EngineFailure, OtherExceptionsBecomeNamedErrors) {
  const Harness harness(2, {.kind = Kind::kThrowStandard, .rank = 1, .call = 1});
  const std::uint64_t id = harness.submit(make_prompt(5, 1), 10);
  EXPECT_EQ(harness.run_all()[id].back().error.message, "something else");
  harness.expect_serves();
}

TEST(EngineFailure, SequencesThatAreNotInTheStepGoOn) {
  // Step 1: a's prompt and 2 rows of b's. Step 2: a decodes, b goes on. Both are in it, c is not.
  const Harness harness(2, {.kind = Kind::kThrow, .rank = 1, .call = 2},
                        {.max_sequences = 3, .max_step_tokens = 8});
  const std::uint64_t a = harness.submit(make_prompt(6, 1), 10);
  const std::uint64_t b = harness.submit(make_prompt(30, 2), 3);
  const std::uint64_t c = harness.submit(make_prompt(9, 3), 4);
  auto events = harness.run_all();
  EXPECT_EQ(events[a].back().finish, FinishReason::kError);
  EXPECT_EQ(events[b].back().finish, FinishReason::kError);
  std::vector<std::int32_t> ids;
  for (const SequenceEvent& event : events[c]) ids.push_back(event.token_id);
  EXPECT_EQ(ids, expected_ids(make_prompt(9, 3), 4));
}

TEST(EngineFailure, AFailedEncodeEndsOnlyTheSequencesOfItsPictures) {
  const Harness harness(2, {.kind = Kind::kThrow, .rank = 0, .call = 1, .in_encode = true},
                        {.max_sequences = 2});
  const std::uint64_t text = harness.submit(make_prompt(6, 1), 5);
  const std::uint64_t picture = harness.submit(make_picture_prompt(6, 2, 2), 5);
  auto events = harness.run_all();
  ASSERT_EQ(events[picture].size(), 1U);
  EXPECT_EQ(events[picture][0].finish, FinishReason::kError);
  std::vector<std::int32_t> ids;
  for (const SequenceEvent& event : events[text]) ids.push_back(event.token_id);
  EXPECT_EQ(ids, expected_ids(make_prompt(6, 1), 5));
  harness.expect_serves();
}

TEST(EngineFailure, LogitsWithoutANumberEndTheirSequence) {
  const Harness harness(1, {.kind = Kind::kNanLogits, .rank = 0, .call = 2});
  const std::uint64_t id = harness.submit(make_prompt(5, 1), 10);
  auto events = harness.run_all();
  ASSERT_EQ(events[id].size(), 2U);
  EXPECT_EQ(events[id][1].finish, FinishReason::kError);
  EXPECT_EQ(events[id][1].error.message, "all 61 logits are NaN");
  EXPECT_EQ(harness.engine->stats().corrupted, 1U);
  harness.expect_serves();
}

TEST(EngineFailure, ARankThatComesLateIsNamedAndServesAgain) {
  const Harness harness(3,
                        {.kind = Kind::kStall, .rank = 1, .call = 2, .stall = milliseconds(5000)},
                        {}, {.deadline = kRankDeadline, .spins = 0});
  const std::uint64_t id = harness.submit(make_prompt(5, 1), 10);
  auto events = harness.run_all();
  const Error& error = events[id].back().error;
  EXPECT_EQ(error.code, ErrorCode::kDeadlineExceeded);
  EXPECT_EQ(error.message, "scale: rank 1 did not come within 2000 ms");
  harness.expect_serves();
}

// A kernel that never ends: its rank is lost, everything active ends by name, nothing hangs - not
// even the destructor.
TEST(EngineFailure, ARankThatIsStuckForGoodIsLostByName) {
  EngineOptions options{.max_sequences = 2};
  options.stream.stall_deadline = std::chrono::seconds(4);
  auto harness = std::make_unique<Harness>(
      2, Fault{.kind = Kind::kStall, .rank = 1, .call = 2, .stall = milliseconds(3'600'000)},
      options, ThreadGroupOptions{.deadline = kRankDeadline, .spins = 0});
  const std::uint64_t id = harness->submit(make_prompt(5, 1), 10);
  auto events = harness->run_all();
  ASSERT_FALSE(events[id].empty());
  EXPECT_EQ(events[id].back().finish, FinishReason::kError);
  EXPECT_EQ(events[id].back().error.code, ErrorCode::kDeadlineExceeded);
  EXPECT_EQ(events[id].back().error.message, "scale: rank 1 did not come within 2000 ms");
  Request request;
  request.prompt = make_prompt(3, 1);
  const Result<std::uint64_t> refused = harness->engine->submit(std::move(request));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(refused.error().message, "the engine has lost a rank");
  const std::shared_ptr<HistoryModelControl> control = harness->control;
  harness.reset();
  release_stuck_thread(control);
}

}  // namespace
}  // namespace cardloom::testing
