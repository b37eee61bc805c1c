#include "cardloom/server/json_size.h"

#include <gtest/gtest.h>

#include <string>

namespace cardloom::server {
namespace {

TEST(JsonSize, CountsWhatIsOutsideOfStrings) {
  const std::string text = R"({"a": [1, 2], "b,:[{": "\",\\", "c": "\\\\"})";
  EXPECT_FALSE(has_more_json_values(text, 8));  // { : [ , , : , :
  EXPECT_TRUE(has_more_json_values(text, 7));
  EXPECT_FALSE(has_more_json_values("", 0));
  EXPECT_FALSE(has_more_json_values(R"("an open string, [ and no end \")", 0));
  EXPECT_FALSE(has_more_json_values(std::string(1 << 20, 'x'), 0));
  EXPECT_TRUE(has_more_json_values(std::string(1 << 20, '['), 1000));
}

TEST(JsonSize, RunsOfBackslashesDoNotTakeSquareTime) {
  std::string text = "\"";
  for (int i = 0; i < 1 << 18; ++i) text += "\\\\\\\"";
  EXPECT_FALSE(has_more_json_values(text + std::string(1 << 20, '\\') + "\"", 0));
}

}  // namespace
}  // namespace cardloom::server
