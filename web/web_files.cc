#include "web/web_files.h"

#include <algorithm>

namespace cardloom {

const WebFile* find_web_file(std::string_view path) {
  if (path.empty()) path = "index.html";
  const auto files = web_files();
  const auto found = std::lower_bound(
      files.begin(), files.end(), path,
      [](const WebFile& file, std::string_view wanted) { return file.path < wanted; });
  return found != files.end() && found->path == path ? &*found : nullptr;
}

}  // namespace cardloom
