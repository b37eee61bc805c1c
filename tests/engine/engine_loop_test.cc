#include "cardloom/engine/engine_loop.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "tests/engine/history_model.h"

namespace cardloom::testing {
namespace {

using Ids = std::vector<std::int32_t>;
using std::chrono::milliseconds;

/// Keeps what it is told, and waits for ends.
class Recorder final : public LoopListener {
 public:
  void on_step(std::span<const LoopEvent> events) override {
    {
      const std::lock_guard lock(mutex_);
      EXPECT_FALSE(events.empty());
      for (const LoopEvent& event : events) told_[event.event.sequence_id].push_back(event);
    }
    if (then) then(events);
    changed_.notify_all();
  }

  std::vector<LoopEvent> wait_end(std::uint64_t id) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(30), [&] {
      const auto& events = told_[id];
      return !events.empty() && events.back().event.finish != FinishReason::kNone;
    })) << id;
    return told_[id];
  }

  void wait_token(std::uint64_t id) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(30), [&] {
      const auto& events = told_[id];
      return !events.empty() && events.back().event.token_id >= 0;
    }));
  }

  std::size_t num_events(std::uint64_t id) {
    const std::lock_guard lock(mutex_);
    return told_[id].size();
  }

  std::function<void(std::span<const LoopEvent>)> then;  ///< on the engine's thread

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::uint64_t, std::vector<LoopEvent>> told_;
};

Ids tokens(const std::vector<LoopEvent>& events) {
  Ids ids;
  for (const LoopEvent& event : events) {
    if (event.event.token_id >= 0) ids.push_back(event.event.token_id);
  }
  return ids;
}

Request make_request(Prompt prompt, std::int64_t max_tokens) {
  Request request;
  request.prompt = std::move(prompt);
  request.max_tokens = max_tokens;
  return request;
}

std::unique_ptr<EngineLoop> make_loop(
    int tp, const EngineOptions& options, std::int64_t max_waiting = 100,
    std::shared_ptr<HistoryModelControl> control = std::make_shared<HistoryModelControl>(),
    ThreadGroupOptions group = {.spins = 0}) {
  return std::make_unique<EngineLoop>(
      std::make_unique<Engine>(make_cards(tp, group), history_models(std::move(control)), options),
      max_waiting);
}

void wait_idle(const EngineLoop& loop) {
  for (int turn = 0; !loop.idle(); ++turn) {
    ASSERT_LT(turn, 30'000) << "the loop does not come to rest";
    std::this_thread::sleep_for(milliseconds(1));
  }
}

TEST(EngineLoop, ManyThreadsGetTheirTokensInOrder) {
  Recorder recorder;
  const auto loop =
      make_loop(2, {.context_tokens = 80, .max_sequences = 6, .kv_tokens = 240, .block_size = 8});
  std::vector<std::thread> threads;
  for (std::uint32_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (std::uint32_t round = 0; round < 5; ++round) {
        const std::uint32_t seed = 10 * thread + round;
        const auto prompt = [&] {
          return round % 2 == 0 ? make_prompt(20, seed) : make_picture_prompt(15, 3, seed);
        };
        const std::uint64_t id =
            loop->submit(make_request(prompt(), 20), recorder).value_or_throw();
        const std::vector<LoopEvent> events = recorder.wait_end(id);
        EXPECT_EQ(tokens(events), expected_ids(prompt(), 20));
        EXPECT_EQ(events.back().times.generated_tokens, 20);
        EXPECT_GT(events.back().times.prefill.count(), 0);
        EXPECT_EQ(events.back().pictures_encoded, round % 2);
        EXPECT_EQ(events.back().rows_cached, events.back().times.prompt_rows);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  wait_idle(*loop);
  const EngineStats stats = loop->stats();
  EXPECT_EQ(stats.generated_tokens, 400U);
  EXPECT_EQ(stats.running, 0);
  EXPECT_EQ(stats.waiting, 0);
  EXPECT_EQ(stats.kv_blocks, 30);
  EXPECT_EQ(stats.kv_blocks_used, 0);
}

TEST(EngineLoop, TellsHowFarAPromptIs) {
  Recorder recorder;
  const auto loop = make_loop(1, {.context_tokens = 80, .max_step_tokens = 10, .block_size = 8});
  const std::uint64_t id =
      loop->submit(make_request(make_picture_prompt(30, 3, 1), 2), recorder).value_or_throw();
  const std::vector<LoopEvent> events = recorder.wait_end(id);
  ASSERT_EQ(events.size(), 6U);  // the picture, three chunks of 35 rows, two tokens
  EXPECT_EQ(events[0].pictures_encoded, 1);
  EXPECT_EQ(events[0].rows_cached, 0);
  EXPECT_EQ(events[1].rows_cached, 10);
  EXPECT_EQ(events[3].rows_cached, 30);
  EXPECT_EQ(events[3].event.token_id, -1);
  EXPECT_EQ(events[4].rows_cached, 35);
  EXPECT_GE(events[4].event.token_id, 0);
}

TEST(EngineLoop, RefusesWhatEngineRefusesAndWhatTheQueueDoesNotHold) {
  const auto control = std::make_shared<HistoryModelControl>();
  control->fault = {.kind = Fault::Kind::kStall, .call = 1, .stall = milliseconds(60'000)};
  Recorder recorder;
  const auto loop = make_loop(1, {.context_tokens = 80, .max_sequences = 2}, 3, control);
  const auto bad = loop->submit(make_request(make_prompt(81, 1), 1), recorder);
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code, ErrorCode::kInvalidArgument);
  std::vector<std::uint64_t> ids;
  // Two places and three that wait; the first step stalls, so nobody leaves meanwhile.
  for (std::uint32_t seed = 0; seed < 5; ++seed) {
    EXPECT_TRUE(loop->accepts());
    ids.push_back(loop->submit(make_request(make_prompt(5, seed), 2), recorder).value_or_throw());
  }
  EXPECT_EQ(loop->accepts().error().code, ErrorCode::kResourceExhausted);
  const auto full = loop->submit(make_request(make_prompt(5, 9), 2), recorder);
  for (const std::uint64_t id : ids) EXPECT_EQ(recorder.num_events(id), 0U) << "not at once";
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(full.error().remedy, "try again later");
  control->release_stall = true;
  for (std::uint32_t seed = 0; seed < 5; ++seed) {
    EXPECT_EQ(tokens(recorder.wait_end(ids[seed])), expected_ids(make_prompt(5, seed), 2));
  }
  EXPECT_TRUE(loop->submit(make_request(make_prompt(5, 9), 2), recorder));
}

TEST(EngineLoop, AThousandRandomCancelsLeaveNoBlock) {
  Recorder recorder;
  const auto loop = make_loop(2,
                              {.context_tokens = 60,
                               .max_sequences = 6,
                               .kv_tokens = 120,
                               .max_step_tokens = 16,
                               .block_size = 4,
                               .speculate_ngram = 2},
                              2000);
  std::vector<std::thread> threads;
  std::atomic<int> num_cancelled{0};
  for (std::uint32_t thread = 0; thread < 2; ++thread) {
    threads.emplace_back([&, thread] {
      std::mt19937 random(thread);
      std::vector<std::uint64_t> ids;
      for (std::uint32_t round = 0; round < 500; ++round) {
        const auto seed = static_cast<std::uint32_t>(random() % 20);
        Prompt prompt = seed % 3 == 0 ? make_picture_prompt(20, 3, seed) : make_prompt(20, seed);
        ids.push_back(loop->submit(make_request(std::move(prompt), 30), recorder).value_or_throw());
        if (random() % 4 == 0) std::this_thread::sleep_for(std::chrono::microseconds(300));
        const std::size_t victim = random() % ids.size();
        loop->cancel(ids[victim]);
        const std::size_t events = recorder.num_events(ids[victim]);
        if (round % 16 == 0) std::this_thread::sleep_for(milliseconds(1));
        EXPECT_EQ(recorder.num_events(ids[victim]), events) << "told after cancel";
        ids[victim] = ids.back();
        ids.pop_back();
        ++num_cancelled;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(num_cancelled, 1000);
  wait_idle(*loop);
  const EngineStats stats = loop->stats();
  EXPECT_EQ(stats.running + stats.waiting, 0);
  EXPECT_EQ(stats.kv_blocks_used, 0);
  const std::uint64_t id =
      loop->submit(make_request(make_prompt(9, 99), 5), recorder).value_or_throw();
  EXPECT_EQ(tokens(recorder.wait_end(id)), expected_ids(make_prompt(9, 99), 5));
}

/// The step that runs may end, and one that is prepared may follow: no more, however long it would.
TEST(EngineLoop, ACancelledSequenceGivesItsBlocksBackWithinAStep) {
  Recorder recorder;
  const auto loop = make_loop(2, {.context_tokens = 300, .max_sequences = 2, .block_size = 8});
  for (std::uint32_t round = 0; round < 20; ++round) {
    const std::uint64_t id =
        loop->submit(make_request(make_prompt(5, round), 0), recorder).value_or_throw();
    recorder.wait_token(id);
    loop->cancel(id);
    const std::uint64_t steps = loop->stats().steps;
    wait_idle(*loop);
    const EngineStats stats = loop->stats();
    EXPECT_LE(stats.steps - steps, 2U);
    EXPECT_EQ(stats.running, 0);
    EXPECT_EQ(stats.kv_blocks_used, 0);
  }
}

TEST(EngineLoop, AListenerMaySubmitAndCancel) {
  Recorder recorder;
  std::atomic<std::uint64_t> second{0};
  std::unique_ptr<EngineLoop> loop;
  recorder.then = [&](std::span<const LoopEvent> events) {  // after `loop`: submit comes later
    if (second != 0 || events.back().event.token_id < 0) return;
    loop->cancel(events.back().event.sequence_id);
    second = loop->submit(make_request(make_prompt(6, 2), 4), recorder).value_or_throw();
  };
  loop = make_loop(1, {.context_tokens = 80, .max_sequences = 2});
  const std::uint64_t first =
      loop->submit(make_request(make_prompt(5, 1), 0), recorder).value_or_throw();
  while (second == 0) std::this_thread::sleep_for(milliseconds(1));
  EXPECT_EQ(tokens(recorder.wait_end(second)), expected_ids(make_prompt(6, 2), 4));
  EXPECT_EQ(recorder.num_events(first), 1U);
}

TEST(EngineLoop, TheDestructorEndsABusyLoop) {
  Recorder recorder;
  for (int round = 0; round < 20; ++round) {
    const auto loop = make_loop(2, {.context_tokens = 300, .max_sequences = 3});
    std::uint64_t id = 0;
    for (std::uint32_t seed = 0; seed < 8; ++seed) {
      id = loop->submit(make_request(make_prompt(9, seed), 0), recorder).value_or_throw();
    }
    if (round % 2 == 0) loop->cancel(id);
    if (round % 3 == 0) std::this_thread::sleep_for(milliseconds(round));
  }
}

TEST(EngineLoop, ALostRankEndsAllAndRefusesOthers) {
  const auto control = std::make_shared<HistoryModelControl>();
  control->fault = {
      .kind = Fault::Kind::kStall, .rank = 1, .call = 2, .stall = milliseconds(3'600'000)};
  EngineOptions options{.context_tokens = 80, .max_sequences = 1};
  options.stream.stall_deadline = std::chrono::seconds(4);
  Recorder recorder;
  auto loop = make_loop(2, options, 10, control, {.deadline = milliseconds(2000), .spins = 0});
  std::vector<std::uint64_t> ids;
  for (std::uint32_t seed = 0; seed < 3; ++seed) {  // one runs, two wait
    ids.push_back(loop->submit(make_request(make_prompt(5, seed), 9), recorder).value_or_throw());
  }
  EXPECT_FALSE(loop->lost());
  for (const std::uint64_t id : ids) {
    const LoopEvent end = recorder.wait_end(id).back();
    EXPECT_EQ(end.event.finish, FinishReason::kError);
    EXPECT_EQ(end.event.error.message, "scale: rank 1 did not come within 2000 ms");
  }
  wait_idle(*loop);
  ASSERT_TRUE(loop->lost());
  const auto refused = loop->submit(make_request(make_prompt(3, 1), 1), recorder);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(refused.error().message, "the engine has lost a rank");
  loop.reset();
  release_stuck_thread(control);
}

TEST(EngineLoop, AnObserverSeesWhatTheCardsDo) {
  Recorder recorder;
  const auto loop = make_loop(2, {.context_tokens = 80, .max_sequences = 2});
  std::mutex mutex;
  std::vector<StepActivity> seen;
  loop->observe([&](const StepActivity& activity) {
    const std::lock_guard lock(mutex);
    seen.push_back(activity);
  });
  const std::uint64_t id =
      loop->submit(make_request(make_picture_prompt(10, 3, 1), 4), recorder).value_or_throw();
  recorder.wait_end(id);
  wait_idle(*loop);
  loop->observe({});
  recorder.wait_end(loop->submit(make_request(make_prompt(4, 1), 2), recorder).value_or_throw());
  wait_idle(*loop);
  const std::lock_guard lock(mutex);
  ASSERT_EQ(seen.size(), 5U);  // a picture, a prompt, three tokens more
  EXPECT_EQ(seen[0].pictures, 1);
  EXPECT_EQ(seen[0].rows, 0);
  EXPECT_EQ(seen[1].rows, 15);
  EXPECT_EQ(seen[1].sequences, 1);
  std::int64_t before = 0;
  for (const StepActivity& step : seen) {
    EXPECT_LE(before, step.begin);
    before = step.end;
    ASSERT_FALSE(step.spans.empty());
    std::map<int, int> num_spans;
    for (const CardSpan& span : step.spans) {
      ++num_spans[span.rank];
      EXPECT_LE(step.begin, span.begin);
      EXPECT_LE(span.begin, span.end);
      EXPECT_LE(span.end, step.end);
      EXPECT_LE(span.wait, span.end - span.begin);
    }
    EXPECT_EQ(num_spans.size(), 2U);
    EXPECT_EQ(num_spans[0], num_spans[1]);
  }
  EXPECT_EQ(seen[1].spans[0].layer, "history.3");
}

}  // namespace
}  // namespace cardloom::testing
