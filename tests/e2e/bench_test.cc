#include <cmath>
#include <set>

#include "tests/e2e/bad_case.h"

/// What bench says, not how fast it is: on a shared machine no time can be promised.
namespace cardloom::e2e {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

json::object bench(Arguments options) {
  Arguments arguments = {"bench", kNano, "--rounds", "1", "--json"};
  arguments.insert(arguments.end(), options.begin(), options.end());
  const Outcome outcome = cardloom(arguments);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  return parse(outcome.out).as_object();
}

double number(const json::value& object, const char* name) {
  const double value = object.at(name).to_number<double>();
  EXPECT_TRUE(std::isfinite(value)) << name;
  return value;
}

void expect_row(const json::value& row, const char* phase, int batch, int tokens) {
  EXPECT_EQ(row.at("phase").as_string(), phase);
  EXPECT_EQ(row.at("batch").to_number<int>(), batch);
  EXPECT_EQ(row.at("tokens").to_number<int>(), tokens);
  for (const char* name :
       {"tokens_per_s", "bytes_per_s", "flop_per_s", "limit_value", "fraction"}) {
    EXPECT_GT(number(row, name), 0) << phase << " " << name;
  }
  const std::set<std::string> limits = {"bandwidth", "bf16", "vnni", "f32"};
  EXPECT_EQ(limits.count(std::string(row.at("limit").as_string())), 1U);
  double share = 0;
  std::set<std::string> operators;
  for (const json::value& op : row.at("operators").as_array()) {
    EXPECT_GT(op.at("calls").to_number<int>(), 0);
    share += number(op, "share");
    operators.insert(std::string(op.at("op").as_string()));
  }
  EXPECT_GT(share, 0);
  EXPECT_LE(share, 1.001) << "operators of one card follow one another";
  EXPECT_EQ(operators.count("matmul_all_reduce"), 1U) << phase;
}

TEST(Bench, HasARowForEveryPhaseAndOneForTheMachine) {
  const json::object report = bench({"--prompt", "16,70", "--chunk", "32", "--decode", "3",
                                     "--batch", "1,5", "--vision", "--threads", "1"});
  const json::array& rows = report.at("rows").as_array();
  ASSERT_EQ(rows.size(), 5U);
  expect_row(rows[0], "prefill", 1, 16);
  expect_row(rows[1], "prefill", 1, 70);
  EXPECT_EQ(rows[1].at("steps").to_number<int>(), 3);
  expect_row(rows[2], "decode", 1, 1);
  expect_row(rows[3], "decode", 5, 5);
  EXPECT_EQ(rows[3].at("steps").to_number<int>(), 3);
  expect_row(rows[4], "vision", 1, 18);
  for (const json::value& row : rows) {
    EXPECT_EQ(row.at("weights").as_string(), "bf16");
    EXPECT_EQ(row.at("tp").to_number<int>(), 1);
    EXPECT_EQ(row.at("threads").to_number<int>(), 1);
  }
  const json::value& machine = report.at("machine");
  EXPECT_EQ(machine.at("phase").as_string(), "machine");
  for (const json::value& threads : machine.at("by_threads").as_array()) {
    EXPECT_GT(number(threads, "read_bytes_per_s"), 0);
    EXPECT_GT(number(threads, "f32_flop_per_s"), 0);
    EXPECT_GE(number(threads, "amx_int8_op_per_s"), 0);
  }
  EXPECT_EQ(report.count("accuracy"), 0U);
}

TEST(Bench, RunsOnSeveralCards) {
  const json::object report =
      bench({"--prompt", "8", "--decode", "2", "--batch", "2", "--tp", "2", "--threads", "1"});
  const json::array& rows = report.at("rows").as_array();
  ASSERT_EQ(rows.size(), 2U);
  expect_row(rows[0], "prefill", 1, 8);
  expect_row(rows[1], "decode", 2, 2);
  EXPECT_EQ(rows[0].at("tp").to_number<int>(), 2);
}

TEST(Bench, AccuracyIsZeroForF32AndSmallForBf16) {
  const Arguments options = {"--prompt", "4", "--decode", "0", "--accuracy"};
  const json::object bf16 = bench(options);
  std::set<std::string> outputs;
  for (const json::value& row : bf16.at("accuracy").as_array()) {
    outputs.insert(std::string(row.at("output").as_string()));
    EXPECT_GT(number(row, "relative_error"), 0);
    EXPECT_LT(number(row, "relative_error"), 0.05);
  }
  EXPECT_THAT(outputs, ::testing::IsSupersetOf({"text.layer.0", "text.layer.2", "logits"}));
  Arguments f32 = options;
  f32.insert(f32.end(), {"--dtype", "f32"});
  const json::object exact = bench(f32);
  for (const json::value& row : exact.at("accuracy").as_array()) {
    EXPECT_EQ(number(row, "relative_error"), 0);
  }
}

TEST(Bench, ComparesAQuantisedKvCacheWithF32) {
  const Arguments options = {"--prompt", "4", "--decode", "3", "--accuracy", "--kv-cache", "q8"};
  const json::object q8 = bench(options);
  for (const json::value& row : q8.at("rows").as_array()) {
    EXPECT_EQ(row.at("kv_cache").as_string(), "q8");
  }
  for (const json::value& row : q8.at("accuracy").as_array()) {
    EXPECT_GT(number(row, "relative_error"), 0);
    EXPECT_LT(number(row, "relative_error"), 0.05);
  }
}

TEST(Bench, TellsPeopleToo) {
  const Outcome outcome = cardloom({"bench", kNano, "--rounds", "1", "--prompt", "8", "--decode",
                                    "2", "--batch", "1", "--threads", "1"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("read GB/s"), HasSubstr("of limit"),
                                 HasSubstr("matmul_all_reduce"), HasSubstr("between operators")));
}

Arguments bad(const TempFolder& folder, const Arguments& more) {
  Arguments arguments = {"bench", folder.path()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

const BadCase kBenchCases[] = {
    {"BatchIsNoNumber",
     2,
     {"--batch", "\"x\"", "no number"},
     [](const TempFolder& folder) {
       return bad(folder, {"--batch", "1,x"});
     }},
    {"BatchListHasAHole",
     2,
     {"--batch", "\"\""},
     [](const TempFolder& folder) {
       return bad(folder, {"--batch", "1,,4"});
     }},
    {"BatchIsZero",
     2,
     {"--batch", "1 to 1024"},
     [](const TempFolder& folder) {
       return bad(folder, {"--batch", "0"});
     }},
    {"BatchBeyondAStep",
     2,
     {"--batch 600", "--chunk 512"},
     [](const TempFolder& folder) {
       return bad(folder, {"--batch", "600"});
     }},
    {"PromptBeyondTheModel",
     2,
     {"--prompt", "context", "1000001"},
     [](const TempFolder& folder) {
       return bad(folder, {"--prompt", "1000000"});
     }},
    {"PromptBeyondTheContext",
     2,
     {"--prompt", "65", "64", "--context"},
     [](const TempFolder& folder) {
       return bad(folder, {"--prompt", "64", "--decode", "0", "--context", "64"});
     }},
    {"NothingToMeasure",
     2,
     {"nothing to measure"},
     [](const TempFolder& folder) {
       return bad(folder, {"--prompt", "0", "--decode", "0"});
     }},
    {"NoRounds",
     2,
     {"--rounds is 0"},
     [](const TempFolder& folder) {
       return bad(folder, {"--rounds", "0"});
     }},
    {"NineCards",
     2,
     {"--tp is 9"},
     [](const TempFolder& folder) {
       return bad(folder, {"--tp", "9"});
     }},
    {"NoSuchDtype",
     2,
     {"--dtype", "q3"},
     [](const TempFolder& folder) {
       return bad(folder, {"--dtype", "q3"});
     }},
    {"NoModel",
     3,
     {"there is no folder"},
     [](const TempFolder& folder) {
       return Arguments{"bench", folder.path() + "/nowhere"};
     }},
    {"NoTower",
     2,
     {"--vision", "takes no pictures"},
     [](const TempFolder& folder) {
       folder.write("config.json", read_text(kSource + "/tests/configs/glm-4-9b-chat.json"));
       return bad(folder, {"--vision"});
     }},
    {"DoesNotFitMemory",
     4,
     {"GiB"},
     [](const TempFolder& folder) {
       folder.replace("config.json", "\"num_layers\": ", "\"num_layers\": 1000, \"was\": ");
       folder.replace("config.json", "\"seq_length\": ", "\"seq_length\": 1000000, \"had\": ");
       return bad(folder, {"--prompt", "900000", "--batch", "500", "--chunk", "4096"});
     }},
};

class BadBench : public ::testing::TestWithParam<BadCase> {};
TEST_P(BadBench, IsTold) { expect_told(GetParam()); }
INSTANTIATE_TEST_SUITE_P(All, BadBench, ::testing::ValuesIn(kBenchCases), name_of);

}  // namespace
}  // namespace cardloom::e2e
