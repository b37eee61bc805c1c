// Input: a body. The count that is made before it is parsed may not miss what the parser would make
// of it: otherwise a small body could take the server's memory.
#include <cstdint>
#include <string_view>

#include "cardloom/base/json.h"
#include "cardloom/server/json_size.h"
#include "fuzz/require.h"

namespace {

using namespace cardloom;  // NOLINT: a fuzz target's only scope

/// Values, and the names of objects' entries.
std::int64_t count(const json::value& value) {
  std::int64_t total = 1;
  if (const json::array* list = value.if_array()) {
    for (const json::value& element : *list) total += count(element);
  } else if (const json::object* object = value.if_object()) {
    for (const auto& entry : *object) total += 1 + count(entry.value());
  }
  return total;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  // A larger limit never refuses what a smaller one lets pass.
  const bool over_8 = server::has_more_json_values(text, 8);
  require(over_8 || !server::has_more_json_values(text, 9));
  const auto parsed = parse_json(text, "body");
  if (!parsed) return 0;
  const std::int64_t total = count(*parsed);
  if (total > 1) require(server::has_more_json_values(text, total - 2));
  require(!server::has_more_json_values(text, 2 * total));
  return 0;
}
