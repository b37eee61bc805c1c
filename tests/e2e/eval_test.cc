#include <gtest/gtest.h>

#include "tests/e2e/process.h"
#include "tests/e2e/support.h"

/// The accuracy that demo/README.md states, on several numbers of cards.
namespace cardloom::e2e {
namespace {

json::value eval(const char* tp, const char* dtype) {
  const Outcome outcome = cardloom({"eval", kNano, kSource + "/demo/eval", "--tp", tp, "--dtype",
                                    dtype, "--threads", "1", "--json"});
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

TEST(EvalAccuracy, F32Is95) { EXPECT_EQ(eval("1", "f32").at("right").as_int64(), 95); }

}  // namespace
}  // namespace cardloom::e2e
