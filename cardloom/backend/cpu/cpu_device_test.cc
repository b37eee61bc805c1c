#include "cardloom/backend/cpu/cpu_device.h"

#include <gtest/gtest.h>

#include <numeric>

#include "cardloom/backend/cpu/topology.h"
#include "cardloom/base/error.h"

namespace cardloom::cpu {
namespace {

TEST(ThreadPool, RunsEveryIndexOnce) {
  for (const int size : {1, 2, 5}) {
    ThreadPool pool(std::vector<int>(static_cast<std::size_t>(size), 0), false);
    for (int round = 0; round < 50; ++round) {
      std::vector<std::atomic<int>> counts(97);
      pool.parallel_for(97, [&](std::int64_t index, int worker) {
        EXPECT_LT(worker, size);
        ++counts[static_cast<std::size_t>(index)];
      });
      for (const std::atomic<int>& count : counts) ASSERT_EQ(count, 1);
      std::vector<std::atomic<int>> workers(static_cast<std::size_t>(size));
      pool.run_team([&](int worker) { ++workers[static_cast<std::size_t>(worker)]; });
      for (const std::atomic<int>& count : workers) ASSERT_EQ(count, 1);
    }
  }
}

TEST(ThreadPool, RethrowsAndStaysUsable) {
  ThreadPool pool({0, 0, 0}, false);
  EXPECT_THROW(pool.parallel_for(100,
                                 [](std::int64_t index, int) {
                                   if (index == 17) throw_error(ErrorCode::kInternal, "seventeen");
                                 }),
               Exception);
  std::atomic<std::int64_t> sum{0};
  pool.parallel_for(100, [&](std::int64_t index, int) { sum += index; });
  EXPECT_EQ(sum, 4950);
}

TEST(Isa, UnknownPathIsRefusedWithWhatWorks) {
  EXPECT_EQ(*choose_isa("plain"), Isa::kPlain);
  EXPECT_EQ(*choose_isa(""), supported_isas().back());
  const Result<Isa> bad = choose_isa("sse9");
  ASSERT_FALSE(bad);
  EXPECT_NE(bad.error().detail.find("plain"), std::string::npos);
}

TEST(Topology, QuotaIsReadFromTheCgroup) {
  EXPECT_EQ(parse_cpu_max("200000 100000\n"), 2.0);
  EXPECT_EQ(parse_cpu_max("max 100000\n"), 0);
  EXPECT_EQ(parse_cpu_max("-1 100000"), 0);
  EXPECT_EQ(parse_cpu_max(""), 0);
  const Topology topology = discover_topology();
  EXPECT_GE(topology.cpus.size(), 1U);
  EXPECT_GE(topology.num_cores, 1);
}

TEST(PlaceCards, SplitsCoresAndWarnsWhenTheyShare) {
  const Topology machine{{0, 1, 2, 3}, 4, 0};
  CardPlacement placement = place_cards(machine, 2, 0);
  EXPECT_EQ(placement.cpus, (std::vector<std::vector<int>>{{0, 1}, {2, 3}}));
  EXPECT_TRUE(placement.pinned && placement.warning.empty());
  placement = place_cards(machine, 3, 0);
  EXPECT_EQ(placement.cpus.size(), 3U);
  EXPECT_EQ(placement.cpus[2], std::vector<int>{2});
  placement = place_cards(machine, 8, 0);
  EXPECT_EQ(placement.cpus[7], std::vector<int>{3});
  EXPECT_FALSE(placement.pinned);
  EXPECT_NE(placement.warning.find("8 cards x 1 thread share 4 cores"), std::string::npos);
  placement = place_cards({{0, 1, 2, 3}, 4, 1.5}, 1, 0);
  EXPECT_EQ(placement.cpus[0].size(), 1U);
  EXPECT_FALSE(placement.pinned);
}

}  // namespace
}  // namespace cardloom::cpu
