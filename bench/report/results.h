#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cardloom/base/json.h"
#include "cardloom/base/result.h"

namespace cardloom::report {

/// One row of one run of `cardloom bench --json`, or of llama.cpp.
struct Row {
  std::string engine;   ///< "cardloom" or "llama.cpp"
  std::string setting;  ///< of llama.cpp
  std::string weights;
  std::string phase;
  std::int64_t tp = 1;
  std::int64_t threads = 1;
  std::int64_t batch = 1;
  std::int64_t tokens = 0;
  double tokens_per_s = 0;
  double bytes_per_s = 0;
  double flop_per_s = 0;
  std::string limit;
  double fraction = 0;
  json::array operators;

  /// "1 x 2".
  [[nodiscard]] std::string layout() const;
};

struct AccuracyLine {
  std::string weights;
  std::string output;
  double relative_error = 0;
};

/// What lies in a folder that performance.sh or peers/run.sh filled.
struct Results {
  std::string machine_text;  ///< machine.txt
  json::object machine;      ///< of the run with the most threads; empty if there is none
  std::vector<Row> rows;     ///< bench-*.json, file by file
  std::vector<Row> peers;    ///< peers.jsonl
  std::vector<AccuracyLine> accuracy;
};

/// Returns kNotFound if the folder cannot be read, kInvalidArgument, naming file and line, for what
/// is no result.
Result<Results> read_results(const std::string& folder);

/// Tables in Markdown.
[[nodiscard]] std::string tables(const Results& results);

struct Plot {
  std::string file;  ///< "speed-batch.svg"
  std::string svg;
};
/// Speed against rows of a prompt, batch and cards; those that there are results for.
[[nodiscard]] std::vector<Plot> plots(const Results& results);

}  // namespace cardloom::report
