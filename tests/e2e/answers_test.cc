#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "cardloom/backend/cpu/isa.h"
#include "tests/e2e/process.h"
#include "tests/e2e/support.h"

namespace cardloom::e2e {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr const char* kEnglish = "What is in this picture?";
constexpr const char* kChinese = "图中有什么？";

struct Scene {
  std::string path;
  std::string truth;
  std::string truth_zh;
};

std::vector<Scene> scenes() {
  std::vector<Scene> scenes;
  const json::value truth = parse(read_text(kPictures + "/truth.json"));
  for (const json::value& entry : truth.as_array()) {
    scenes.push_back({kPictures + "/" + entry.at("image").as_string().c_str(),
                      entry.at("truth").as_string().c_str(),
                      entry.at("truth_zh").as_string().c_str()});
  }
  return scenes;
}

json::object run_json(std::vector<std::string> arguments, const ProcessOptions& options = {}) {
  arguments.insert(arguments.begin(), {"run", kNano});
  arguments.emplace_back("--json");
  const Outcome outcome = cardloom(arguments, options);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  return parse(outcome.out).as_object();
}

class Answers : public ::testing::TestWithParam<int> {};

TEST_P(Answers, TellWhatIsInEachPictureInBothLanguages) {
  const std::string tp = std::to_string(GetParam());
  for (const Scene& scene : scenes()) {
    for (const auto& [question, truth] :
         {std::pair{kEnglish, scene.truth}, std::pair{kChinese, scene.truth_zh}}) {
      const Outcome outcome =
          cardloom({"run", kNano, question, "-i", scene.path, "--tp", tp, "--threads", "1"});
      EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
      EXPECT_EQ(outcome.out, truth + "\n") << scene.path;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cards, Answers, ::testing::Values(1, 2));

TEST(Run, FiguresGoToStderrAndOnlyTheAnswerToStdout) {
  const Scene scene = scenes().front();
  const Outcome piped = cardloom({"run", kNano, "-i", scene.path, "--tp", "2"},
                                 {.input = "What is in this picture?\n"});
  EXPECT_EQ(piped.exit_code, 0) << piped.err;
  EXPECT_EQ(piped.out, scene.truth + "\n");
  EXPECT_THAT(piped.err,
              AllOf(HasSubstr("first token"), HasSubstr("tokens/s"), HasSubstr("decode picture"),
                    HasSubstr("preprocess"), HasSubstr("vision"), HasSubstr("prefill"),
                    HasSubstr("2 cards"), HasSubstr("0 layout copies")));
  const Outcome quiet =
      cardloom({"run", kNano, kEnglish, "-i", scene.path, "--quiet", "--threads", "1"});
  EXPECT_EQ(quiet.out, scene.truth + "\n");
  EXPECT_EQ(quiet.err, "");
}

TEST(Run, JsonSaysEverything) {
  const Scene scene = scenes().front();
  const json::object object = run_json({kEnglish, "-i", scene.path, "--tp", "2"});
  EXPECT_EQ(object.at("answer").as_string(), scene.truth);
  EXPECT_EQ(object.at("finish_reason").as_string(), "stop");
  const json::object& usage = object.at("usage").as_object();
  EXPECT_EQ(usage.at("image_tokens").as_int64(), 18);
  EXPECT_EQ(usage.at("completion_tokens").as_int64(),
            static_cast<std::int64_t>(object.at("ids").as_array().size()));
  EXPECT_EQ(usage.at("total_tokens").as_int64(),
            usage.at("prompt_tokens").as_int64() + usage.at("completion_tokens").as_int64());
  for (const char* stage :
       {"load", "decode_picture", "preprocess", "vision", "prefill", "decode", "first_token"}) {
    EXPECT_GT(object.at("timings_ms").at(stage).to_number<double>(), 0) << stage;
  }
  EXPECT_EQ(object.at("cards").as_int64(), 2);
  EXPECT_EQ(object.at("layout_copies").at("copies").to_number<int>(), 0);
}

TEST(Run, ChunksThreadsAndVisionCutsDoNotChangeTheAnswer) {
  const std::vector<Scene> all = scenes();
  const std::vector<std::string> question = {kEnglish, "-i", all[0].path, "-i", all[1].path};
  const json::value ids = run_json(question).at("ids");
  ASSERT_FALSE(ids.as_array().empty());
  for (const std::vector<std::string>& flags :
       std::vector<std::vector<std::string>>{{"--chunk", "1"},
                                             {"--chunk", "7", "--tp", "3"},
                                             {"--threads", "3"},
                                             {"--tp", "2", "--vision-cut", "heads"},
                                             {"--tp", "2", "--vision-cut", "pictures"},
                                             {"--tp", "8", "--threads", "1"}}) {
    std::vector<std::string> arguments = question;
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    EXPECT_EQ(run_json(arguments).at("ids"), ids) << ::testing::PrintToString(flags);
  }
}

TEST(Run, EveryInstructionPathAnswersAndIsNamed) {
  const Scene scene = scenes().front();
  for (const cpu::Isa isa : cpu::supported_isas()) {
    const std::string name(to_string(isa));
    const json::object object =
        run_json({kEnglish, "-i", scene.path}, {.env = {{"CARDLOOM_ISA", name}}});
    EXPECT_EQ(object.at("isa").as_string(), name);
    EXPECT_EQ(object.at("answer").as_string(), scene.truth) << name;
  }
  EXPECT_EQ(run_json({"Hello!", "--isa", "plain"}, {.env = {{"CARDLOOM_ISA", "none"}}})
                .at("isa")
                .as_string(),
            "plain");
}

TEST(Run, LaunchBlockingGivesTheSameAnswer) {
  const Scene scene = scenes()[1];
  for (const char* mode : {"1", "2"}) {
    const Outcome outcome = cardloom({"run", kNano, kEnglish, "-i", scene.path, "--tp", "2"},
                                     {.env = {{"CARDLOOM_LAUNCH_BLOCKING", mode}}});
    EXPECT_EQ(outcome.out, scene.truth + "\n") << outcome.err;
  }
}

TEST(Run, ASeedGivesTheSameAnswerOnAnyNumberOfCards) {
  const std::vector<std::string> sampled = {"Hello!", "--temperature", "5", "--seed",
                                            "7",      "--max-tokens",  "20"};
  const json::value ids = run_json(sampled).at("ids");
  std::vector<std::string> again = sampled;
  again.insert(again.end(), {"--tp", "2"});
  EXPECT_EQ(run_json(again).at("ids"), ids);
  again[4] = "8";
  EXPECT_NE(run_json(again).at("ids"), ids);
}

TEST(Run, MaxTokensCutsAndSaysSo) {
  const json::object object =
      run_json({kEnglish, "-i", scenes().front().path, "--max-tokens", "3"});
  EXPECT_EQ(object.at("finish_reason").as_string(), "length");
  EXPECT_EQ(object.at("ids").as_array().size(), 3U);
}

TEST(Run, TheContextEndsAnAnswer) {
  const json::object object =
      run_json({"Hello!", "--context", "16", "--temperature", "9", "--seed", "3"});
  const json::object& usage = object.at("usage").as_object();
  EXPECT_LE(usage.at("prompt_tokens").as_int64() + usage.at("completion_tokens").as_int64(), 17);
}

TEST(Run, MoreCardsThanCoresWorkWithAWarning) {
  const Scene scene = scenes().front();
  const Outcome outcome = cardloom(
      {"run", kNano, kEnglish, "-i", scene.path, "--tp", "8", "--threads", "2", "--quiet"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, scene.truth + "\n");
  EXPECT_THAT(outcome.err, HasSubstr("warning: "));
}

TEST(Chat, TalksOnATerminal) {
  const Scene scene = scenes().front();
  TerminalProcess chat({CARDLOOM_BINARY, "run", kNano});
  ASSERT_TRUE(chat.wait_for("> ")) << chat.shown();
  chat.type("/help\n");
  EXPECT_TRUE(chat.wait_for("/clear")) << chat.shown();
  chat.type("/image nowhere.png\n");
  EXPECT_TRUE(chat.wait_for("error: ")) << chat.shown();
  EXPECT_TRUE(chat.wait_for("try: ")) << chat.shown();
  chat.type("/image " + scene.path + "\n");
  EXPECT_TRUE(chat.wait_for("picture 1")) << chat.shown();
  chat.type("What is in this picture?\n");
  EXPECT_TRUE(chat.wait_for(scene.truth)) << chat.shown();
  chat.type("图中有什么？\n");  // of the picture shown before: the conversation goes on
  EXPECT_TRUE(chat.wait_for("。")) << chat.shown();
  chat.type("/stats\n");
  EXPECT_TRUE(chat.wait_for("first token")) << chat.shown();
  EXPECT_TRUE(chat.wait_for("context: ")) << chat.shown();
  chat.type("/nonsense\n");
  EXPECT_TRUE(chat.wait_for("/help lists them")) << chat.shown();
  chat.type("/clear\n");
  EXPECT_TRUE(chat.wait_for("empty")) << chat.shown();
  chat.type("/exit\n");
  EXPECT_EQ(chat.wait(), 0) << chat.shown();
}

TEST(Chat, CtrlCTwiceLeaves) {
  TerminalProcess chat({CARDLOOM_BINARY, "run", kNano, "--quiet"});
  ASSERT_TRUE(chat.wait_for("> ")) << chat.shown();
  chat.type("\x03");
  EXPECT_TRUE(chat.wait_for("again leaves")) << chat.shown();
  EXPECT_TRUE(chat.wait_for("> ")) << chat.shown();
  chat.type("\x03");
  EXPECT_EQ(chat.wait(), 130) << chat.shown();
}

TEST(Chat, CtrlCStopsAnAnswerAndTheChatGoesOn) {
  TerminalProcess chat({CARDLOOM_BINARY, "run", kNano, "--quiet", "--temperature", "100",
                        "--max-tokens", "8000", "--seed", "1"});
  ASSERT_TRUE(chat.wait_for("> ")) << chat.shown();
  chat.type("Hello!\n");
  ASSERT_TRUE(chat.wait_for("Hello!")) << chat.shown();  // the echo
  ASSERT_TRUE(chat.wait_for_bytes(40)) << chat.shown();  // some of the answer
  chat.type("\x03");
  EXPECT_TRUE(chat.wait_for("> ")) << chat.shown();
  chat.type("/exit\n");
  EXPECT_EQ(chat.wait(), 0) << chat.shown();
}

}  // namespace
}  // namespace cardloom::e2e
