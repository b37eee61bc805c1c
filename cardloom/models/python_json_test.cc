#include "cardloom/models/python_json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace cardloom {
namespace {

constexpr std::size_t kPlenty = 1 << 20;

// The right-hand sides are Python 3.11's repr().
TEST(PythonJson, WritesFloatsAsPythonDoes) {
  const std::pair<double, std::string> cases[] = {
      {0x1.0p+0, "1.0"},
      {0x1.999999999999ap-4, "0.1"},
      {-0.0, "-0.0"},
      {0x1.4f8b588e368f1p-17, "1e-05"},
      {0x1.a36e2eb1c432dp-14, "0.0001"},
      {0x1.1c37937e08000p+53, "1e+16"},
      {0x1.1c37937e07fffp+53, "9999999999999998.0"},
      {0x1.c12218377de66p+46, "123456789012345.6"},
      {0x1.0f0cf064dd592p+73, "1e+22"},
      {0x0.0000000000001p-1022, "5e-324"},
      {0x1.fffffffffffffp+1023, "1.7976931348623157e+308"},
      {0x1.249ad2594c37dp+332, "1e+100"},
      {0x1.3333333333334p-2, "0.30000000000000004"},
      {0x1.4f8b588e368f1p-23, "1.5625e-07"},
      {0x1.9000000000000p+6, "100.0"},
      {0x1.0000000000000p-1022, "2.2250738585072014e-308"},
      {0x1.0000000000000p+53, "9007199254740992.0"},
      {0x1.02e4b6ce5dc68p-13, "0.00012345"},
      {std::numeric_limits<double>::infinity(), "Infinity"},
      {-std::numeric_limits<double>::infinity(), "-Infinity"},
      {std::numeric_limits<double>::quiet_NaN(), "NaN"},
  };
  for (const auto& [number, text] : cases) {
    EXPECT_EQ(dump_python_json(json::value(number), kPlenty), text);
  }
}

TEST(PythonJson, IndentsByFourAndKeepsOrder) {
  const auto value = parse_json(R"({"b": [1, {"x": []}, {}], "a": null, "": "é\u0007\/\""})", "x");
  EXPECT_EQ(dump_python_json(*value, kPlenty),
            "{\n"
            "    \"b\": [\n"
            "        1,\n"
            "        {\n"
            "            \"x\": []\n"
            "        },\n"
            "        {}\n"
            "    ],\n"
            "    \"a\": null,\n"
            "    \"\": \"é\\u0007/\\\"\"\n"
            "}");
}

TEST(PythonJson, StopsAtItsLimit) {
  std::string text(60, '[');
  for (int i = 0; i < 10000; ++i) text += "0,";
  text += "0" + std::string(60, ']');
  const auto deep = parse_json(text, "x");
  ASSERT_TRUE(deep);
  EXPECT_EQ(dump_python_json(*deep, 100000), std::nullopt) << "20 kB in, 2.4 MB out";
  EXPECT_EQ(dump_python_json(*deep, 1 << 22)->size() > 2400000, true);
  EXPECT_EQ(dump_python_json(json::value("abc"), 5), "\"abc\"");
  EXPECT_EQ(dump_python_json(json::value("abcd"), 5), std::nullopt);
}

}  // namespace
}  // namespace cardloom
