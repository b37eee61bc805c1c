#include "cardloom/sampling/stop_checker.h"

#include <gtest/gtest.h>

namespace cardloom {
namespace {

TEST(StopChecker, StopsAtAnyStopIdAndAtTheLimit) {
  using Verdict = StopChecker::Verdict;
  const StopChecker checker({7, 9}, 3);
  EXPECT_EQ(checker.check(1, 1), Verdict::kGoOn);
  EXPECT_EQ(checker.check(7, 1), Verdict::kStop);
  EXPECT_EQ(checker.check(9, 3), Verdict::kStop);
  EXPECT_EQ(checker.check(1, 3), Verdict::kLength);
  EXPECT_EQ(StopChecker().check(1, 1'000'000), Verdict::kGoOn);
}

}  // namespace
}  // namespace cardloom
