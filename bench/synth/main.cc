#include <fmt/format.h>

#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "bench/synth/synth_checkpoint.h"
#include "cardloom/base/ascii.h"
#include "cardloom/base/file.h"

namespace {

using namespace cardloom;

constexpr const char* kUsage =
    "usage: cardloom_synth --out DIR [--text-layers 4] [--vision-layers 2] [--seed 1]\n"
    "                      [--config config.json]\n"
    "Writes a checkpoint with the shapes of glm-4v-9b (or of --config), cut to so many layers, "
    "with\n"
    "random weights: 4.8 GB for 4 + 2 layers. --vision-layers 0 makes a text model. The same "
    "options\n"
    "give the same bytes.\n";

struct CommandLine {
  synth::SynthOptions options;
  std::string config;
};

Status bad_usage(std::string message) {
  return make_error(ErrorCode::kInvalidArgument, std::move(message), {}, "cardloom_synth --help");
}

Status set_option(CommandLine& line, std::string_view name, std::string_view value) {
  if (name == "--out") {
    line.options.out = value;
    return {};
  }
  if (name == "--config") {
    line.config = value;
    return {};
  }
  if (name != "--text-layers" && name != "--vision-layers" && name != "--seed") {
    return bad_usage(fmt::format("there is no option {}", name));
  }
  const std::optional<std::int64_t> number = parse_number<std::int64_t>(value);
  if (!number || *number < 0) {
    return bad_usage(fmt::format("{} does not take \"{}\"", name, value));
  }
  if (name == "--text-layers") line.options.text_layers = *number;
  if (name == "--vision-layers") line.options.vision_layers = *number;
  if (name == "--seed") line.options.seed = static_cast<std::uint64_t>(*number);
  return {};
}

Result<CommandLine> parse(int argc, char** argv) {
  CommandLine line;
  for (int index = 1; index < argc; index += 2) {
    if (index + 1 >= argc) return bad_usage(fmt::format("{} needs a value", argv[index])).error();
    if (Status status = set_option(line, argv[index], argv[index + 1]); !status) {
      return status.error();
    }
  }
  if (line.options.out.empty()) return bad_usage("--out is missing").error();
  return line;
}

int run(int argc, char** argv) {
  CommandLine line = parse(argc, argv).value_or_throw();
  constexpr std::int64_t kMaxConfigBytes = std::int64_t{16} << 20;
  const std::string config = line.config.empty()
                                 ? std::string(synth::default_config())
                                 : read_file(line.config, kMaxConfigBytes).value_or_throw();
  line.options.progress = [](std::int64_t done, std::int64_t total) {
    std::fputs(fmt::format("{} of {} MB\n", done / 1'000'000, total / 1'000'000).c_str(), stderr);
  };
  const synth::SynthSummary summary =
      synth::write_checkpoint(config, line.options).value_or_throw();
  std::fputs(fmt::format("{}: {} tensors, {} bytes, in {} shards\n", line.options.out,
                         summary.num_tensors, summary.bytes, summary.num_shards)
                 .c_str(),
             stdout);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--help") == 0) {
    std::fputs(kUsage, stdout);
    return 0;
  }
  try {
    return run(argc, argv);
  } catch (const cardloom::Exception& failure) {
    const cardloom::Error& error = failure.error();
    std::fputs(
        fmt::format("error: {}\n  why: {}\n  try: {}\n", error.message, error.detail, error.remedy)
            .c_str(),
        stderr);
    return error.code == cardloom::ErrorCode::kInvalidArgument ? 2 : 1;
  } catch (const std::exception& failure) {
    std::fputs(fmt::format("error: {}\n", failure.what()).c_str(), stderr);
    return 1;
  }
}
