#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/process.h"
#include "tests/e2e/support.h"

/// check, inspect, eval, version, --help.
namespace cardloom::e2e {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

json::value json_of(const std::vector<std::string>& arguments) {
  const Outcome outcome = cardloom(arguments);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  return parse(outcome.out);
}

TEST(Check, FindsTheSameBitsOnAnyNumberOfCards) {
  for (const char* tp : {"2", "3", "8"}) {
    const json::value report = json_of({"check", kNano, "--tp", tp, "--json", "--threads", "1"});
    EXPECT_EQ(report.at("verdict").as_string(), "same");
    const json::value& operators = report.at("operators");
    EXPECT_GT(operators.at("compared").as_int64(), 100);
    EXPECT_GT(operators.at("added_up").as_int64(), 20);
    EXPECT_EQ(operators.at("different").as_int64(), 0);
    EXPECT_EQ(operators.at("unmatched").as_int64(), 0);
    EXPECT_TRUE(report.at("logits").at("compared").as_bool());
    EXPECT_TRUE(report.at("tokens").at("same").as_bool());
    EXPECT_EQ(report.at("layout_copies").at("copies").to_number<int>(), 0);
    bool strided = false;
    for (const json::value& row : report.at("layouts").as_array()) {
      strided = strided || (row.at("op").as_string() == "matmul_all_reduce" &&
                            row.at("layout").as_string() == "strided rows");
    }
    EXPECT_TRUE(strided) << "the layout that the project began with was not met";
  }
}

TEST(Check, TellsPeopleToo) {
  const Outcome outcome = cardloom({"check", kTiny + "/ckpt", "-i", kTiny + "/images/wide.png",
                                    "--prompt", "hello", "--dtype", "f32"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("verdict: the same bits on 1 card and on 2"),
                                 HasSubstr("matmul_all_reduce"), HasSubstr("0 layout copies")));
}

TEST(Inspect, PlansTheRealModelFromItsConfigAlone) {
  const TempFolder folder;
  folder.write("config.json", read_text(kSource + "/tests/configs/glm-4v-9b.json"));
  const json::value report = json_of({"inspect", folder.path(), "--tp", "4", "--json"});
  EXPECT_EQ(report.at("architecture").as_string(), "glm-4v");
  EXPECT_EQ(report.at("parameters").as_int64(), 13906320896);
  EXPECT_TRUE(report.at("tensors").is_null());
  EXPECT_EQ(report.at("cards").as_array().size(), 4U);
  const Outcome text = cardloom({"inspect", folder.path()});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out,
              AllOf(HasSubstr("13,906,320,896"), HasSubstr("40 layers"), HasSubstr("KV of a token"),
                    HasSubstr("40.0 KiB"), HasSubstr("verdict: config good, weights not here")));
}

TEST(Inspect, ChecksNamesAgainstAnIndexWithoutShards) {
  const TempFolder folder;
  folder.write("config.json", read_text(kSource + "/tests/configs/glm-4-9b-chat.json"));
  folder.write("model.safetensors.index.json",
               read_text(kSource + "/tests/configs/glm-4-9b-chat.index.json"));
  const json::value report = json_of({"inspect", folder.path(), "--context", "8192", "--json"});
  EXPECT_EQ(report.at("architecture").as_string(), "glm-4");
  EXPECT_EQ(report.at("tensors_expected").as_int64(), 283 - 0);
  EXPECT_FALSE(report.at("missing_shards").as_array().empty());
  EXPECT_TRUE(report.at("problem").is_null());
  EXPECT_EQ(report.at("context").as_int64(), 8192);
}

TEST(Inspect, ApprovesTheDemonstrationModel) {
  const Outcome outcome = cardloom({"inspect", kNano, "--tp", "3"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("1,858,480 parameters"), HasSubstr("card 2"),
                                 HasSubstr("names, shapes and dtypes good"), HasSubstr("fits")));
}

TEST(Inspect, NamesTheFirstTensorThatIsWrong) {
  const TempFolder folder;
  folder.copy_tiny();
  folder.replace("config.json", "\"ffn_hidden_size\": 112", "\"ffn_hidden_size\": 113");
  const Outcome outcome = cardloom({"inspect", folder.path(), "--json"});
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.err, HasSubstr("dense_h_to_4h"));
  EXPECT_FALSE(parse(outcome.out).at("problem").is_null());
}

TEST(Eval, LimitAndWrongAnswersAreReported) {
  const TempFolder folder;
  folder.write("questions.jsonl",
               "{\"question\": \"Hello!\", \"answer\": \"No such answer\"}\n\n"
               "{\"question\": \"Hello!\", \"answer\": \"Neither\"}\n");
  const json::value all = json_of({"eval", kNano, folder.path(), "--json"});
  EXPECT_EQ(all.at("of").as_int64(), 2);
  EXPECT_EQ(all.at("right").as_int64(), 0);
  const json::value one = json_of({"eval", kNano, folder.path(), "--json", "--limit", "1"});
  EXPECT_EQ(one.at("of").as_int64(), 1);
  const json::value& wrong = one.at("wrong").as_array().at(0);
  EXPECT_EQ(wrong.at("answer").as_string(), "No such answer");
  EXPECT_FALSE(wrong.at("got").as_string().empty());
}

TEST(Help, EveryCommandHasExamplesAndExitCodes) {
  for (const char* command : {"run", "logits", "generate", "tokenize", "preprocess", "inspect",
                              "check", "eval", "bench", "version"}) {
    const Outcome outcome = cardloom({command, "--help"});
    EXPECT_EQ(outcome.exit_code, 0);
    EXPECT_EQ(outcome.err, "");
    EXPECT_THAT(outcome.out, AllOf(HasSubstr("Examples:"), HasSubstr("--tp"),
                                   HasSubstr("Exit codes:"), HasSubstr("cardloom ")));
  }
  const Outcome outcome = cardloom({"--help"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("inspect"), HasSubstr("CARDLOOM_ISA")));
}

TEST(Version, NamesTheInstructionPathAndTheCores) {
  const Outcome outcome = cardloom({"version"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.out,
              AllOf(HasSubstr("cardloom "), HasSubstr("instruction path"), HasSubstr("core")));
  const json::value report = json_of({"version", "--json", "--isa", "plain"});
  EXPECT_EQ(report.at("isa").as_string(), "plain");
  EXPECT_GE(report.at("cores").to_number<int>(), 1);
}

}  // namespace
}  // namespace cardloom::e2e
