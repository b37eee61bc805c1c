#include "tests/e2e/bad_case.h"

namespace cardloom::e2e {
namespace {

constexpr const char* kShard = "model-00002-of-00003.safetensors";

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
    {"NumberThatCannotBeQuantised",
     3,
     {"vision.transformer.layers.0.mlp.fc2.weight", "must be finite", "--vision-weights"},
     [](const TempFolder& folder) {
       std::string text = read_text(folder.file(kShard));
       for (std::size_t at = text.size() - 3000; at < text.size(); at += 2) {
         text.replace(at, 2, "\xc0\x7f");  // a NaN as bf16, in the shard's last tensors
       }
       write_text(folder.file(kShard), text);
       return run(folder, {"--vision-weights", "q8"});
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

class BadModel : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadModel, IsToldInThreeLinesWithItsExitCode) { expect_told(GetParam()); }

INSTANTIATE_TEST_SUITE_P(Each, BadModel, ::testing::ValuesIn(kModelCases), name_of);

}  // namespace
}  // namespace cardloom::e2e
