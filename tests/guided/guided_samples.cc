// guided_samples SCHEMA.json COUNT [SEED]: texts that the grammar of a schema lets a model write,
// by random walks over the demo model's tokens; one a line, each as a JSON string. With COUNT 0
// reads such lines, and prints for each whether the grammar takes it: true or false.
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <iostream>

#include "cardloom/base/file.h"
#include "cardloom/grammar/test_support.h"

namespace {

using namespace cardloom;  // NOLINT(google-build-using-namespace): a program of one file

int run(int argc, char** argv) {
  if (argc < 3)
    throw_error(ErrorCode::kInvalidArgument, "usage: guided_samples SCHEMA COUNT [SEED]");
  const std::string text = read_file(argv[1], 1 << 20).value_or_throw();
  const json::value schema = parse_json(text, argv[1]).value_or_throw();
  const auto tokenizer =
      load_tokenizer(std::string(CARDLOOM_SOURCE_DIR) + "/demo/glm-4v-nano").value_or_throw();
  const std::int32_t stop_id = *tokenizer->special_id("<|endoftext|>");
  GrammarCompiler compiler(*tokenizer, tokenizer->vocab_size(), {stop_id});
  const auto grammar = compiler.json_schema(schema).value_or_throw();
  const int count = std::stoi(argv[2]);
  for (std::string line; count == 0 && std::getline(std::cin, line);) {
    const json::value instance = parse_json(line, "line").value_or_throw();
    const bool taken = grammar_test::accepts(compiler, grammar, *tokenizer, stop_id,
                                             std::string_view(instance.as_string()));
    std::puts(taken ? "true" : "false");
  }
  grammar_test::Sampler sampler(*tokenizer, stop_id,
                                argc > 3 ? static_cast<std::uint64_t>(std::stoull(argv[3])) : 1);
  for (int i = 0; i < count; ++i) {
    const auto sample = sampler.sample(compiler, grammar, 5 + 7 * (i % 9));
    if (sample) std::puts(json::serialize(json::string(*sample)).c_str());
  }
  return testing::Test::HasFailure() ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 1;
  }
}
