#include <gtest/gtest.h>

#include "tests/e2e/process.h"
#include "tests/e2e/support.h"

/// The accuracy that demo/README.md states, on several numbers of cards.
namespace cardloom::e2e {
namespace {

json::value eval(const char* tp, const char* dtype,
                 const std::vector<std::string>& more = std::vector<std::string>()) {
  std::vector<std::string> words = {
      "eval", kNano,   kSource + "/demo/eval", "--tp", tp, "--dtype", dtype, "--threads",
      "1",    "--json"};
  words.insert(words.end(), more.begin(), more.end());
  const Outcome outcome = cardloom(words);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  return parse(outcome.out);
}

TEST(EvalAccuracy, Bf16IsAtLeast94AndTheSameOnAnyNumberOfCards) {
  const json::value one = eval("1", "bf16");
  EXPECT_EQ(one.at("of").as_int64(), 100);
  EXPECT_GE(one.at("right").as_int64(), 94);
  for (const char* tp : {"2", "3"}) {
    const json::value several = eval(tp, "bf16");
    EXPECT_EQ(several.at("right"), one.at("right")) << "tp " << tp;
    EXPECT_EQ(several.at("wrong"), one.at("wrong")) << "tp " << tp;
  }
}

/// The figures of issue 3: within 1 question of 100 at q8, within 4 at q4 with groups of 32.
TEST(EvalAccuracy, QuantisedWeightsLoseNextToNothing) {
  const std::int64_t bf16 = eval("1", "bf16").at("right").as_int64();
  const json::value q8 = eval("1", "bf16", {"--weights", "q8"});
  EXPECT_EQ(q8.at("weights").as_string(), "q8:32");
  EXPECT_EQ(q8.at("vision_weights").as_string(), "bf16");
  EXPECT_GE(q8.at("right").as_int64(), bf16 - 1);
  EXPECT_GE(eval("1", "bf16", {"--weights", "q4:32"}).at("right").as_int64(), bf16 - 4);
  EXPECT_GE(eval("1", "bf16", {"--weights", "q8", "--vision-weights", "q8"}).at("right").as_int64(),
            bf16 - 1);
}

TEST(EvalAccuracy, AQuantisedKvCacheLosesNextToNothing) {
  const std::int64_t bf16 = eval("1", "bf16").at("right").as_int64();
  const json::value q8 = eval("1", "bf16", {"--kv-cache", "q8"});
  EXPECT_EQ(q8.at("kv_cache").as_string(), "q8");
  EXPECT_EQ(q8.at("of").as_int64(), 100);
  EXPECT_GE(q8.at("right").as_int64(), bf16 - 1);
  const json::value several = eval("3", "bf16", {"--kv-cache", "q8"});
  EXPECT_EQ(several.at("wrong"), q8.at("wrong"));
}

TEST(EvalAccuracy, F32Is95) { EXPECT_EQ(eval("1", "f32").at("right").as_int64(), 95); }

}  // namespace
}  // namespace cardloom::e2e
