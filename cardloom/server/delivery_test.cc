#include "cardloom/server/delivery.h"

#include <gtest/gtest.h>

#include <thread>

namespace cardloom::server {
namespace {

struct Recorder : Receiver {
  void on_event(const LoopEvent& event) override { tokens.push_back(event.event.token_id); }
  void on_step_end() override { ++steps; }
  void on_tick() override { ++ticks; }
  std::vector<std::int32_t> tokens;
  int steps = 0;
  int ticks = 0;
};

LoopEvent token(std::uint64_t sequence, std::int32_t id) {
  LoopEvent event;
  event.event.sequence_id = sequence;
  event.event.token_id = id;
  return event;
}

/// An I/O thread that runs its work when told to.
struct Loop {
  std::vector<std::function<void()>> work;
  void run() {
    std::vector<std::function<void()>> now;
    now.swap(work);
    for (auto& item : now) item();
  }
};

TEST(Delivery, WakesItsThreadOnceHoweverManySteps) {
  Loop loop;
  Delivery delivery([&](std::function<void()> work) { loop.work.push_back(std::move(work)); });
  const auto first = std::make_shared<Recorder>();
  const auto second = std::make_shared<Recorder>();
  delivery.add(1, first);
  delivery.add(2, second);
  const LoopEvent step[] = {token(1, 10), token(2, 20), token(3, 30)};
  const LoopEvent next[] = {token(1, 11)};
  delivery.on_step(step);
  delivery.on_step(next);
  ASSERT_EQ(loop.work.size(), 1U);
  EXPECT_TRUE(first->tokens.empty());
  loop.run();
  EXPECT_EQ(first->tokens, (std::vector<std::int32_t>{10, 11}));
  EXPECT_EQ(second->tokens, (std::vector<std::int32_t>{20}));
  delivery.on_step(next);
  EXPECT_EQ(loop.work.size(), 1U);
}

TEST(Delivery, TellsNobodyOfWhatWasRemoved) {
  Loop loop;
  Delivery delivery([&](std::function<void()> work) { loop.work.push_back(std::move(work)); });
  const auto receiver = std::make_shared<Recorder>();
  delivery.add(1, receiver);
  const LoopEvent step[] = {token(1, 10)};
  delivery.on_step(step);
  delivery.remove(1);
  loop.run();
  EXPECT_TRUE(receiver->tokens.empty());
  delivery.tick();
  EXPECT_EQ(receiver->ticks, 0);
}

/// A reply may end with an event: it takes itself out while it is being told.
TEST(Delivery, AReceiverMayRemoveItself) {
  struct Ending : Receiver {
    explicit Ending(Delivery& delivery) : from(delivery) {}
    void on_event(const LoopEvent& /*event*/) override { from.remove(1); }
    void on_step_end() override { ended = true; }
    void on_tick() override { from.remove(1); }
    Delivery& from;
    bool ended = false;
  };
  Loop loop;
  Delivery delivery([&](std::function<void()> work) { loop.work.push_back(std::move(work)); });
  const auto receiver = std::make_shared<Ending>(delivery);
  delivery.add(1, receiver);
  const LoopEvent step[] = {token(1, 10), token(1, 11)};
  delivery.on_step(step);
  loop.run();
  EXPECT_TRUE(receiver->ended);
  EXPECT_EQ(receiver.use_count(), 1);
  delivery.add(1, receiver);
  delivery.tick();
  EXPECT_EQ(receiver.use_count(), 1);
}

TEST(Delivery, LosesNothingBetweenThreads) {
  std::mutex mutex;
  Loop loop;
  Delivery delivery([&](std::function<void()> work) {
    const std::lock_guard lock(mutex);
    loop.work.push_back(std::move(work));
  });
  const auto receiver = std::make_shared<Recorder>();
  delivery.add(1, receiver);
  constexpr std::int32_t kTokens = 20'000;
  std::thread engine([&] {
    for (std::int32_t id = 0; id < kTokens; ++id) {
      const LoopEvent step[] = {token(1, id)};
      delivery.on_step(step);
    }
  });
  while (receiver->tokens.size() < kTokens) {
    Loop now;
    {
      const std::lock_guard lock(mutex);
      now.work.swap(loop.work);
    }
    now.run();
  }
  engine.join();
  for (std::int32_t id = 0; id < kTokens; ++id) {
    ASSERT_EQ(receiver->tokens[static_cast<std::size_t>(id)], id);
  }
}

}  // namespace
}  // namespace cardloom::server
