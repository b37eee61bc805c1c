#include "bench/report/results.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "cardloom/base/error.h"
#include "cardloom/base/file.h"

namespace cardloom::report {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMaxFileBytes = std::int64_t{64} << 20;

std::string text_of(const json::object& object, const char* name) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

double number_of(const json::object& object, const char* name, double otherwise = 0) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_number() ? value->to_number<double>() : otherwise;
}

std::int64_t count_of(const json::object& object, const char* name, std::int64_t otherwise) {
  return static_cast<std::int64_t>(number_of(object, name, static_cast<double>(otherwise)));
}

Row row_of(const json::object& object, std::string engine) {
  Row row;
  row.engine = std::move(engine);
  row.setting = text_of(object, "setting");
  row.weights = text_of(object, "weights");
  row.phase = text_of(object, "phase");
  row.tp = count_of(object, "tp", 1);
  row.threads = count_of(object, "threads", 1);
  row.batch = count_of(object, "batch", 1);
  row.tokens = count_of(object, "tokens", 0);
  row.tokens_per_s = number_of(object, "tokens_per_s");
  row.bytes_per_s = number_of(object, "bytes_per_s");
  row.flop_per_s = number_of(object, "flop_per_s");
  row.limit = text_of(object, "limit");
  row.fraction = number_of(object, "fraction");
  const json::value* operators = object.if_contains("operators");
  if (operators != nullptr && operators->is_array()) row.operators = operators->as_array();
  return row;
}

void add_rows(const json::object& document, std::vector<Row>& rows) {
  const json::value* list = document.if_contains("rows");
  if (list == nullptr || !list->is_array()) return;
  for (const json::value& row : list->as_array()) {
    if (row.is_object()) rows.push_back(row_of(row.as_object(), "cardloom"));
  }
}

void add_document(const json::object& document, Results& results) {
  add_rows(document, results.rows);
  const json::value* machine = document.if_contains("machine");
  if (machine == nullptr || !machine->is_object()) return;
  if (count_of(machine->as_object(), "cpus", 0) >= count_of(results.machine, "cpus", 0)) {
    results.machine = machine->as_object();
  }
}

void add_accuracy(const json::object& document, Results& results) {
  const json::value* list = document.if_contains("accuracy");
  if (list == nullptr || !list->is_array()) return;
  std::vector<Row> rows;
  add_rows(document, rows);
  for (const json::value& line : list->as_array()) {
    if (!line.is_object()) continue;
    results.accuracy.push_back({rows.empty() ? std::string("?") : rows.front().weights,
                                text_of(line.as_object(), "output"),
                                number_of(line.as_object(), "relative_error")});
  }
}

Result<json::object> parse_object(std::string_view text, const std::string& what) {
  Result<json::value> value = parse_json(text, what);
  if (!value) return value.error();
  if (value->is_object()) return std::move(value->as_object());
  return make_error(ErrorCode::kInvalidArgument, fmt::format("{} is no JSON object", what));
}

Status add_peers(const std::string& text, const std::string& path, Results& results) {
  std::int64_t number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    ++number;
    if (line.empty()) continue;
    Result<json::object> object = parse_object(line, fmt::format("{} line {}", path, number));
    if (!object) return object.error();
    const json::value* document = object->if_contains("doc");
    if (document == nullptr) {
      results.peers.push_back(row_of(*object, text_of(*object, "engine")));
    } else if (document->is_object()) {
      const std::size_t before = results.peers.size();
      add_rows(document->as_object(), results.peers);
      // By the name that llama.cpp's rows have: q4, where the format says q4:32.
      for (std::size_t index = before; index < results.peers.size(); ++index) {
        results.peers[index].weights = text_of(*object, "weights");
      }
    }
  }
  return {};
}

Status add_file(const fs::path& path, Results& results) {
  const std::string name = path.filename().string();
  const bool bench = name.starts_with("bench-") && name.ends_with(".json");
  const bool accuracy = name.starts_with("accuracy-") && name.ends_with(".json");
  if (!bench && !accuracy && name != "peers.jsonl" && name != "machine.txt") return {};
  Result<std::string> text = read_file(path.string(), kMaxFileBytes);
  if (!text) return text.error();
  if (name == "machine.txt") {
    results.machine_text = *std::move(text);
    return {};
  }
  if (name == "peers.jsonl") return add_peers(*text, path.string(), results);
  Result<json::object> document = parse_object(*text, path.string());
  if (!document) return document.error();
  if (accuracy) add_accuracy(*document, results);
  if (bench) add_document(*document, results);
  return {};
}

}  // namespace

std::string Row::layout() const { return fmt::format("{} x {}", tp, threads); }

Result<Results> read_results(const std::string& folder) {
  std::error_code failure;
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder, failure)) paths.push_back(entry.path());
  if (failure) {
    return make_error(ErrorCode::kNotFound, fmt::format("cannot read the folder {}", folder),
                      failure.message());
  }
  std::sort(paths.begin(), paths.end());
  Results results;
  for (const fs::path& path : paths) {
    if (Status status = add_file(path, results); !status) return status.error();
  }
  return results;
}

}  // namespace cardloom::report
