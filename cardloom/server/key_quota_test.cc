#include "cardloom/server/key_quota.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace cardloom::server {
namespace {

TEST(KeyQuota, CountsEachKeyApart) {
  const auto quota = std::make_shared<KeyQuota>(2);
  std::shared_ptr<void> first = quota->try_enter("a");
  const std::shared_ptr<void> second = quota->try_enter("a");
  EXPECT_NE(first, nullptr);
  EXPECT_NE(second, nullptr);
  EXPECT_EQ(quota->try_enter("a"), nullptr);
  EXPECT_NE(quota->try_enter("b"), nullptr);
  first.reset();
  EXPECT_NE(quota->try_enter("a"), nullptr);  // and gone again
  const std::shared_ptr<void> third = quota->try_enter("a");
  EXPECT_NE(third, nullptr);
  EXPECT_EQ(quota->try_enter("a"), nullptr);
}

TEST(KeyQuota, KnowsNoLimitIfThereIsNone) {
  const auto unlimited = std::make_shared<KeyQuota>(0);
  const auto limited = std::make_shared<KeyQuota>(1);
  std::vector<std::shared_ptr<void>> places;
  for (int i = 0; i < 100; ++i) {
    places.push_back(unlimited->try_enter("a"));
    places.push_back(limited->try_enter(""));
  }
  for (const std::shared_ptr<void>& place : places) EXPECT_NE(place, nullptr);
}

TEST(KeyQuota, OutlivesTheServersHold) {
  auto quota = std::make_shared<KeyQuota>(1);
  std::shared_ptr<void> place = quota->try_enter("a");
  quota.reset();
  place.reset();  // a sanitizer would tell
}

TEST(KeyQuota, NeverLetsMoreInThanMay) {
  const auto quota = std::make_shared<KeyQuota>(3);
  std::atomic<int> inside = 0;
  std::atomic<int> most = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) {
        const std::shared_ptr<void> place = quota->try_enter("a");
        if (!place) continue;
        const int now = ++inside;
        int seen = most;
        while (now > seen && !most.compare_exchange_weak(seen, now)) {
        }
        --inside;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(most, 3);
  EXPECT_NE(quota->try_enter("a"), nullptr);
}

}  // namespace
}  // namespace cardloom::server
