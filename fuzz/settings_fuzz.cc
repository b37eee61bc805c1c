// Input: a settings file. It is read, or its first fault told with its line.
#include <cstdint>
#include <string>

#include "apps/config_file.h"
#include "apps/failure.h"
#include "fuzz/require.h"

namespace {

using namespace cardloom::app;  // NOLINT: a fuzz target's only scope

OptionInfo option(const char* name, OptionInfo::Kind kind, const char* value_name = "") {
  OptionInfo info;
  info.name = name;
  info.kind = kind;
  info.value_name = value_name;
  return info;
}

/// One option of each kind, in two commands, one below the other.
CommandInfo make_root() {
  using Kind = OptionInfo::Kind;
  OptionInfo images = option("image", Kind::kText, "FILE");
  images.is_list = true;
  CommandInfo below;
  below.path = "bench serve";
  below.name = "serve";
  below.options = {option("config", Kind::kText, "FILE"), option("rate", Kind::kNumber, "N")};
  CommandInfo bench;
  bench.path = bench.name = "bench";
  bench.options = {option("config", Kind::kText, "FILE"), images,
                   option("tp", Kind::kInteger, "N"),     option("api-key", Kind::kText, "KEY"),
                   option("strict", Kind::kFlag),         option("seed", Kind::kUnsigned, "N"),
                   option("prompt", Kind::kText, "N,..")};
  bench.commands = {below};
  CommandInfo root;
  root.name = "cardloom";
  root.commands = {bench};
  return root;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const CommandInfo root = make_root();
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    for (const FileValue& value : parse_config(text, "file", root).values) {
      require(value.type != FileValue::Type::kOther && value.line > 0);
      const CommandInfo* command = root.find_command(value.table);
      const OptionInfo* option =
          command == nullptr ? nullptr : find_setting(*command, value.key, false);
      require(value.table == "common" || option != nullptr);
      if (option != nullptr) (void)arguments_of(*option, value);
    }
  } catch (const Failure& failure) {
    require(failure.exit_code() == kExitUsage && !failure.error().message.empty());
    require(!three_lines(failure.error()).empty());
  }
  return 0;
}
