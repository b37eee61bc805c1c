#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "tests/e2e/process.h"
#include "tests/e2e/support.h"

/// Whatever is wrong is told in three lines, with the right exit code, and nothing crashes.
namespace cardloom::e2e {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

using Arguments = std::vector<std::string>;

struct BadCase {
  const char* name;
  int exit_code;
  Arguments words;  ///< all of them in the three lines
  /// Breaks what is to be broken in a copy of the tiny checkpoint and says what to type.
  std::function<Arguments(const TempFolder&)> make;
  ProcessOptions options{};
};

void expect_three_lines(const Outcome& outcome, const Arguments& words) {
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 3) << outcome.err;
  EXPECT_THAT(outcome.err, StartsWith("error: "));
  EXPECT_THAT(outcome.err, HasSubstr("\n  why: "));
  EXPECT_THAT(outcome.err, HasSubstr("\n  try: "));
  for (const std::string& word : words) EXPECT_THAT(outcome.err, HasSubstr(word));
}

class BadInput : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadInput, IsToldInThreeLinesWithItsExitCode) {
  const TempFolder folder;
  folder.copy_tiny();
  const Outcome outcome = cardloom(GetParam().make(folder), GetParam().options);
  EXPECT_EQ(outcome.exit_code, GetParam().exit_code) << outcome.err;
  expect_three_lines(outcome, GetParam().words);
}

/// `cardloom run FOLDER hello` and more.
Arguments run(const TempFolder& folder, const Arguments& more = {}) {
  Arguments arguments = {"run", folder.path(), "hello", "--max-tokens", "2"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

Arguments run_picture(const TempFolder& folder, const std::string& bytes,
                      const Arguments& more = {}) {
  Arguments arguments = run(folder, {"-i", folder.write("picture", bytes)});
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

Arguments run_chat(const TempFolder& folder, const std::string& chat) {
  return {"tokenize", folder.path(), "--chat", folder.write("chat.json", chat)};
}

constexpr const char* kShard = "model-00002-of-00003.safetensors";

std::string wide_png() { return read_text(kTiny + "/images/wide.png"); }

/// A PNG whose header claims another size; sizes are 4 bytes at 16 and 20, big endian. The checksum
/// is not mended: whoever judges the size before the data must not care.
std::string png_of_size(std::uint32_t width, std::uint32_t height) {
  std::string png = wide_png();
  for (int byte = 0; byte < 4; ++byte) {
    png[static_cast<std::size_t>(16 + byte)] = static_cast<char>(width >> (24 - 8 * byte));
    png[static_cast<std::size_t>(20 + byte)] = static_cast<char>(height >> (24 - 8 * byte));
  }
  return png;
}

const BadCase kModelCases[] = {
    {"NoFolder",
     3,
     {"no-such-model"},
     [](const TempFolder&) {
       return Arguments{"run", "no-such-model", "hello"};
     }},
    {"EmptyFolder",
     3,
     {"config.json"},
     [](const TempFolder& folder) {
       std::filesystem::create_directory(folder.file("empty"));
       return Arguments{"run", folder.file("empty"), "hello"};
     }},
    {"MissingShard",
     3,
     {kShard},
     [](const TempFolder& folder) {
       std::filesystem::remove(folder.file(kShard));
       return run(folder);
     }},
    {"TruncatedShard",
     3,
     {kShard},
     [](const TempFolder& folder) {
       std::filesystem::resize_file(folder.file(kShard), 100'000);
       return run(folder);
     }},
    {"EmptyShard",
     3,
     {kShard},
     [](const TempFolder& folder) {
       std::filesystem::resize_file(folder.file(kShard), 0);
       return run(folder);
     }},
    {"HeaderPointsOutsideTheFile",
     3,
     {"word_embeddings"},
     [](const TempFolder& folder) {
       folder.replace("model-00001-of-00003.safetensors", "\"data_offsets\":[0,57344]",
                      "\"data_offsets\":[8,99999]");
       return run(folder);
     }},
    {"HeaderLongerThanTheFile",
     3,
     {kShard},
     [](const TempFolder& folder) {
       std::string text = read_text(folder.file(kShard));
       text[4] = '\x7f';
       write_text(folder.file(kShard), text);
       return run(folder);
     }},
    {"WrongShape",
     3,
     {"[448, 64]", "[32, 896]"},
     [](const TempFolder& folder) {
       folder.replace("model-00001-of-00003.safetensors", "[448,64]", "[32,896]");
       return run(folder);
     }},
    {"WrongDtype",
     3,
     {"word_embeddings", "I16"},
     [](const TempFolder& folder) {
       folder.replace("model-00001-of-00003.safetensors", "\"dtype\":\"BF16\",\"shape\":[448",
                      "\"dtype\":\"I16\" ,\"shape\":[448");
       return run(folder);
     }},
    {"IndexNamesNoTensor",
     3,
     {"output_layer"},
     [](const TempFolder& folder) {
       folder.replace("model.safetensors.index.json", "transformer.output_layer.weight",
                      "transformer.output_layer.heavy");
       return run(folder);
     }},
    {"IndexLeadsOutOfTheFolder",
     3,
     {"model.safetensors.index.json"},
     [](const TempFolder& folder) {
       folder.replace("model.safetensors.index.json", kShard, "../../etc/passwd");
       return run(folder);
     }},
    {"ConfigWithoutAField",
     3,
     {"config.json", "hidden_size"},
     [](const TempFolder& folder) {
       folder.replace("config.json", "\n  \"hidden_size\"", "\n  \"hidden_sighs\"");
       return run(folder);
     }},
    {"ConfigIsNoJson",
     3,
     {"config.json", "JSON"},
     [](const TempFolder& folder) {
       folder.write("config.json", "{\"model_type\": ");
       return run(folder);
     }},
    {"ConfigWithAnAbsurdNumber",
     3,
     {"config.json", "padded_vocab_size"},
     [](const TempFolder& folder) {
       folder.replace("config.json", "\"padded_vocab_size\": 448",
                      "\"padded_vocab_size\": 4480000000000000");
       return run(folder);
     }},
    {"UnknownArchitecture",
     3,
     {"llama"},
     [](const TempFolder& folder) {
       folder.replace("config.json", "\"model_type\": \"chatglm\"", "\"model_type\": \"llama\"");
       return run(folder);
     }},
    {"TokenizerWithAGap",
     3,
     {"tokenizer.model", "1"},
     [](const TempFolder& folder) {
       folder.replace("tokenizer.model", "AQ== 1\n", "");
       return run(folder);
     }},
    {"NoTokenizer",
     3,
     {"tokenizer.model"},
     [](const TempFolder& folder) {
       std::filesystem::remove(folder.file("tokenizer.model"));
       return run(folder);
     }},
    {"TokenizerConfigDamaged",
     3,
     {"tokenizer_config.json"},
     [](const TempFolder& folder) {
       std::filesystem::resize_file(folder.file("tokenizer_config.json"), 100);
       return run(folder);
     }},
};

const BadCase kPictureCases[] = {
    {"NoSuchPicture",
     2,
     {"nowhere.png"},
     [](const TempFolder& folder) {
       return run(folder, {"-i", "nowhere.png"});
     }},
    {"PictureIsAFolder",
     2,
     {"images"},
     [](const TempFolder& folder) {
       return run(folder, {"-i", kTiny + "/images"});
     }},
    {"EmptyPicture",
     2,
     {"picture"},
     [](const TempFolder& folder) { return run_picture(folder, ""); }},
    {"NotAPicture",
     2,
     {"not a picture"},
     [](const TempFolder& folder) { return run_picture(folder, "\x1b[31mhello"); }},
    {"TruncatedPicture",
     2,
     {"picture", "PNG"},
     [](const TempFolder& folder) { return run_picture(folder, wide_png().substr(0, 1000)); }},
    {"BrokenPicture",
     2,
     {"picture", "PNG"},
     [](const TempFolder& folder) {
       std::string png = wide_png();
       png.replace(png.size() / 2, 64, std::string(64, '\xff'));
       return run_picture(folder, png);
     }},
    {"HugePicture",
     2,
     {"picture", "40000"},
     [](const TempFolder& folder) { return run_picture(folder, png_of_size(40'000, 40'000)); }},
    {"PictureOverTheGivenLimit",
     2,
     {"12460", "1000"},
     [](const TempFolder& folder) {
       return run_picture(folder, wide_png(), {"--max-image-pixels", "1000"});
     }},
    {"ZeroSizedPicture",
     2,
     {"picture"},
     [](const TempFolder& folder) { return run_picture(folder, png_of_size(0, 89)); }},
    {"Gif",
     2,
     {"GIF"},
     [](const TempFolder& folder) {
       return run_picture(folder, std::string("GIF89a\x01\0\x01\0\0\0\0;", 14));
     }},
    {"PictureForATextModel",
     2,
     {"takes no pictures"},
     [](const TempFolder& folder) {
       folder.replace("config.json", "\"vision_config\"", "\"no_vision_config\"");
       folder.replace("config.json", "\"boi_token_id\"", "\"no_boi\"");
       folder.replace("config.json", "\"eoi_token_id\"", "\"no_eoi\"");
       return run_picture(folder, wide_png());
     }},
};

const BadCase kPromptCases[] = {
    {"PromptTooLong",
     2,
     {"rows", "2048"},
     [](const TempFolder& folder) {
       Arguments arguments = run(folder);
       arguments[2] = std::string(3000, '7');
       return arguments;
     }},
    {"PromptTooLongForTheContextAskedFor",
     2,
     {"context", "8"},
     [](const TempFolder& folder) {
       return run(folder, {"--context", "8"});
     }},
    {"NoPrompt",
     2,
     {"no prompt"},
     [](const TempFolder& folder) {
       return Arguments{"run", folder.path()};
     }},
    {"IdOutOfRange",
     2,
     {"448", "vocabulary"},
     [](const TempFolder& folder) {
       return Arguments{"generate", folder.path(), "--ids", "1 2 448", "--max-tokens", "1"};
     }},
    {"NegativeId",
     2,
     {"-1"},
     [](const TempFolder& folder) {
       return Arguments{"generate", folder.path(), "--ids=1 -1", "--max-tokens", "1"};
     }},
    {"IdsAreNoNumbers",
     2,
     {"two"},
     [](const TempFolder& folder) {
       return Arguments{"generate", folder.path(), "--ids", "1 two 3", "--max-tokens", "1"};
     }},
    {"IdBeyond32Bits",
     2,
     {"99999999999"},
     [](const TempFolder& folder) {
       return Arguments{"generate", folder.path(), "--ids", "99999999999", "--max-tokens", "1"};
     }},
    {"NoIds",
     2,
     {"no token ids"},
     [](const TempFolder& folder) {
       return Arguments{"generate", folder.path(), "--ids", " , ", "--max-tokens", "1"};
     }},
    {"PictureWithoutAPlaceInTheIds",
     2,
     {"0 pictures", "1 picture"},
     [](const TempFolder& folder) {
       return Arguments{"generate",     folder.path(), "--ids", "1 2",
                        "--max-tokens", "1",           "-i",    kTiny + "/images/wide.png"};
     }},
    {"ChatIsNoJson",
     2,
     {"chat.json", "JSON"},
     [](const TempFolder& folder) { return run_chat(folder, "[{]"); }},
    {"ChatWithoutARole",
     2,
     {"chat.json", "role"},
     [](const TempFolder& folder) { return run_chat(folder, "[{\"content\": \"hello\"}]"); }},
    {"ChatWithAnUnknownRole",
     2,
     {"wizard"},
     [](const TempFolder& folder) {
       return run_chat(folder, "[{\"role\": \"wizard\", \"content\": \"hello\"}]");
     }},
    {"NoChatFile",
     2,
     {"nowhere.json"},
     [](const TempFolder& folder) {
       return Arguments{"logits", folder.path(), "--chat", "nowhere.json", "--out", "x"};
     }},
    {"IdsAndChat",
     2,
     {"--ids", "--chat"},
     [](const TempFolder& folder) {
       return Arguments{"logits", folder.path(), "--ids", "1", "--chat", "c", "--out", "x"};
     }},
    {"NoQuestions",
     2,
     {"questions.jsonl"},
     [](const TempFolder& folder) {
       return Arguments{"eval", folder.path(), folder.path()};
     }},
    {"QuestionWithoutAnswer",
     2,
     {"line 2", "answer"},
     [](const TempFolder& folder) {
       folder.write("questions.jsonl",
                    "{\"question\": \"a\", \"answer\": \"b\"}\n{\"question\": \"a\"}\n");
       return Arguments{"eval", folder.path(), folder.path()};
     }},
};

const BadCase kFlagCases[] = {
    {"NoCommand", 2, {"no command", "inspect"}, [](const TempFolder&) { return Arguments{}; }},
    {"UnknownCommand",
     2,
     {"runn", "try: cardloom run"},
     [](const TempFolder&) { return Arguments{"runn"}; }},
    {"NoModel", 2, {"MODEL"}, [](const TempFolder&) { return Arguments{"run"}; }},
    {"UnknownFlag",
     2,
     {"--temprature", "try: --temperature"},
     [](const TempFolder& folder) {
       return run(folder, {"--temprature", "1"});
     }},
    {"FlagWithoutValue",
     2,
     {"--tp"},
     [](const TempFolder& folder) { return run(folder, {"--tp"}); }},
    {"Tp0",
     2,
     {"--tp is 0", "1 to 8"},
     [](const TempFolder& folder) {
       return run(folder, {"--tp", "0"});
     }},
    {"Tp9",
     2,
     {"--tp is 9", "1 to 8"},
     [](const TempFolder& folder) {
       return run(folder, {"--tp", "9"});
     }},
    {"TpNegative",
     2,
     {"--tp is -3", "1 to 8"},
     [](const TempFolder& folder) { return run(folder, {"--tp=-3"}); }},
    {"TpIsNoNumber",
     2,
     {"--tp", "two"},
     [](const TempFolder& folder) {
       return run(folder, {"--tp", "two"});
     }},
    {"TpOverflows",
     2,
     {"--tp", "99999999999999999999"},
     [](const TempFolder& folder) {
       return run(folder, {"--tp", "99999999999999999999"});
     }},
    {"Chunk0",
     2,
     {"--chunk is 0"},
     [](const TempFolder& folder) {
       return run(folder, {"--chunk", "0"});
     }},
    {"MaxTokens0",
     2,
     {"--max-tokens is 0"},
     [](const TempFolder& folder) {
       return Arguments{"run", folder.path(), "hello", "--max-tokens", "0"};
     }},
    {"UnknownDtype",
     2,
     {"--dtype", "int3", "f32"},
     [](const TempFolder& folder) {
       return run(folder, {"--dtype", "int3"});
     }},
    {"UnknownIsa",
     2,
     {"avx1024", "plain"},
     [](const TempFolder& folder) {
       return run(folder, {"--isa", "avx1024"});
     }},
    {"UnknownIsaInTheEnvironment",
     2,
     {"sse9", "plain"},
     [](const TempFolder& folder) { return run(folder); },
     {.env = {{"CARDLOOM_ISA", "sse9"}}}},
    {"UnknownLaunchBlocking",
     2,
     {"CARDLOOM_LAUNCH_BLOCKING=7"},
     [](const TempFolder& folder) { return run(folder); },
     {.env = {{"CARDLOOM_LAUNCH_BLOCKING", "7"}}}},
    {"UnknownVisionCut",
     2,
     {"--vision-cut", "pictures"},
     [](const TempFolder& folder) {
       return run(folder, {"--vision-cut", "half"});
     }},
    {"TemperatureNegative",
     2,
     {"temperature", "-1"},
     [](const TempFolder& folder) { return run(folder, {"--temperature=-1"}); }},
    {"TopPAboveOne",
     2,
     {"top_p", "1.5"},
     [](const TempFolder& folder) {
       return run(folder, {"--temperature", "1", "--top-p", "1.5"});
     }},
    {"ContextBeyondTheModel",
     2,
     {"--context is 3000", "2048"},
     [](const TempFolder& folder) {
       return run(folder, {"--context", "3000"});
     }},
    {"ContextBeyondMemory",
     4,
     {"--context 1000000000000", "KV cache"},
     [](const TempFolder& folder) {
       return run(folder, {"--context", "1000000000000"});
     }},
    {"NoRoomForTheProcess",
     4,
     {"memory"},
     [](const TempFolder& folder) {
       return run(folder, {"--threads", "1"});
     },
     {.address_space_bytes = std::size_t{150} << 20}},
    {"OutputFolderMissing",
     1,
     {"no/such"},
     [](const TempFolder& folder) {
       return Arguments{"preprocess", folder.path(), kTiny + "/images/wide.png", "--out",
                        folder.file("no/such/file")};
     }},
};

std::string name_of(const ::testing::TestParamInfo<BadCase>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Model, BadInput, ::testing::ValuesIn(kModelCases), name_of);
INSTANTIATE_TEST_SUITE_P(Picture, BadInput, ::testing::ValuesIn(kPictureCases), name_of);
INSTANTIATE_TEST_SUITE_P(Prompt, BadInput, ::testing::ValuesIn(kPromptCases), name_of);
INSTANTIATE_TEST_SUITE_P(Flag, BadInput, ::testing::ValuesIn(kFlagCases), name_of);

TEST(BadOutput, AFullDiskIsAFailure) {
  const Outcome outcome =
      cardloom({"tokenize", kTiny + "/ckpt", "hello"}, {.out_path = "/dev/full"});
  EXPECT_EQ(outcome.exit_code, 1);
  expect_three_lines(outcome, {"stdout"});
}

/// A terminal must not be at the mercy of a file's name or contents.
TEST(BadText, ControlCharactersDoNotReachTheTerminal) {
  const Outcome outcome = cardloom({"run", "evil\x1b[2J\nname", "hello"});
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_EQ(outcome.err.find('\x1b'), std::string::npos);
  expect_three_lines(outcome, {"evil?[2J name"});
}

}  // namespace
}  // namespace cardloom::e2e
