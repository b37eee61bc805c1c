// cardloom_report DIR: from the results that performance.sh and peers/run.sh left in DIR, tables in
// DIR/tables.md (also on stdout) and plots in DIR/*.svg.
#include <cstdio>
#include <exception>
#include <fstream>
#include <string>

#include "bench/report/results.h"

namespace {

bool write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) std::fprintf(stderr, "error: cannot write %s\n", path.c_str());
  return static_cast<bool>(file);
}

int run(const std::string& folder) {
  const auto results = cardloom::report::read_results(folder);
  if (!results) {
    std::fprintf(stderr, "error: %s\n  why: %s\n", results.error().message.c_str(),
                 results.error().detail.c_str());
    return 1;
  }
  const std::string text = cardloom::report::tables(*results);
  bool good = write_file(folder + "/tables.md", text);
  for (const cardloom::report::Plot& plot : cardloom::report::plots(*results)) {
    good = write_file(folder + "/" + plot.file, plot.svg) && good;
  }
  std::fputs(text.c_str(), stdout);
  return good ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: cardloom_report DIR\n", stderr);
    return 2;
  }
  try {
    return run(argv[1]);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "error: %s\n", failure.what());
    return 1;
  }
}
