#include "tests/e2e/bad_case.h"

namespace cardloom::e2e {
namespace {

Arguments run_picture(const TempFolder& folder, const std::string& bytes,
                      const Arguments& more = {}) {
  Arguments arguments = run(folder, {"-i", folder.write("picture", bytes)});
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

Arguments run_chat(const TempFolder& folder, const std::string& chat) {
  return {"tokenize", folder.path(), "--chat", folder.write("chat.json", chat)};
}

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
    {"PictureByUrl",
     2,
     {"https://example.com/cat.jpg", "save the picture"},
     [](const TempFolder& folder) {
       return run(folder, {"-i", "https://example.com/cat.jpg"});
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
     {"context holds 5"},
     [](const TempFolder& folder) {
       return run(folder, {"--context", "5"});
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
     {"--tp is \"99999999999999999999\"", "an integer of 64 bits"},
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
    {"KvCacheUnknown",
     2,
     {"--kv-cache is \"q4\"", "--kv-cache q8"},
     [](const TempFolder& folder) {
       return run(folder, {"--kv-cache", "q4"});
     }},
    {"KvCacheOfAnotherDtype",
     2,
     {"the KV cache is q8, but the model computes in f32", "compute in bf16"},
     [](const TempFolder& folder) {
       return run(folder, {"--dtype", "f32", "--kv-cache", "q8"});
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
    {"OutputFolderMissing",
     1,
     {"no/such"},
     [](const TempFolder& folder) {
       return Arguments{"preprocess", folder.path(), kTiny + "/images/wide.png", "--out",
                        folder.file("no/such/file")};
     }},
};

class BadInput : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadInput, IsToldInThreeLinesWithItsExitCode) { expect_told(GetParam()); }

INSTANTIATE_TEST_SUITE_P(Picture, BadInput, ::testing::ValuesIn(kPictureCases), name_of);
INSTANTIATE_TEST_SUITE_P(Prompt, BadInput, ::testing::ValuesIn(kPromptCases), name_of);
INSTANTIATE_TEST_SUITE_P(Flag, BadInput, ::testing::ValuesIn(kFlagCases), name_of);

/// Wherever memory runs out: in a tensor, in a container, in a thread's stack.
TEST(Memory, RunsOutWithoutACrash) {
#ifdef CARDLOOM_SANITIZED
  GTEST_SKIP() << "a sanitizer reserves more address space than any limit";
#endif
  int num_refused = 0;
  // Below 40 MiB the system cannot map the shared libraries: no word of ours is said yet.
  for (std::size_t mib = 40; mib <= 160; mib += 10) {
    const Outcome outcome =
        cardloom({"run", kNano, "Hello!", "--tp", "2", "--threads", "1", "--max-tokens", "2", "-q"},
                 {.address_space_bytes = mib << 20});
    if (outcome.exit_code == 0) continue;
    ++num_refused;
    EXPECT_EQ(outcome.exit_code, 4) << mib << " MiB: " << outcome.err;
    expect_three_lines(outcome, {});
  }
  EXPECT_GT(num_refused, 3);
}

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
