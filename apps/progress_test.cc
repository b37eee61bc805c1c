#include "apps/progress.h"

#include <gtest/gtest.h>

namespace cardloom::app {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
constexpr std::int64_t kGiB = std::int64_t{1} << 30;

TEST(Progress, TellsPartSpeedAndRest) {
  EXPECT_EQ(progress_text(3 * kGiB, 12 * kGiB, seconds(2)),
            "loading  25 % [###         ] 3.0 GiB of 12.0 GiB, 1.5 GiB/s, 6 s left");
  EXPECT_EQ(progress_text(12 * kGiB, 12 * kGiB, seconds(8)),
            "loading 100 % [############] 12.0 GiB of 12.0 GiB, 1.5 GiB/s, 0 s left");
  const std::string slow = progress_text(kGiB, 13 * kGiB, milliseconds(10'400));
  EXPECT_EQ(slow, "loading   7 % [            ] 1.0 GiB of 13.0 GiB, 98.5 MiB/s, 2 min 05 s left");
  EXPECT_LE(slow.size(), 80U);
}

TEST(Progress, IsNeverWrongAtTheEdges) {
  EXPECT_EQ(progress_text(0, kGiB, seconds(1)), "loading   0 % [            ] 0 B of 1.0 GiB");
  EXPECT_EQ(progress_text(kGiB, 2 * kGiB, seconds(0)),
            "loading  50 % [######      ] 1.0 GiB of 2.0 GiB");
  EXPECT_EQ(progress_text(0, 0, seconds(1)), "loading 100 % [############] 0 B of 0 B");
  EXPECT_EQ(progress_text(2 * kGiB, kGiB, seconds(1)).substr(0, 13), "loading 100 %");
  EXPECT_EQ(progress_text(1, INT64_MAX, seconds(1)).substr(0, 13), "loading   0 %");
}

}  // namespace
}  // namespace cardloom::app
