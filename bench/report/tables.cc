#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "bench/report/chart.h"
#include "bench/report/results.h"

namespace cardloom::report {
namespace {

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

std::string giga(double value) {
  return fmt::format("{:.{}f}", value * 1e-9, value < 1e11 ? 1 : 0);
}
std::string percent(double fraction) { return fmt::format("{:.0f} %", 100 * fraction); }

/// 0: not measured.
std::string speed_text(double value) { return value > 0 ? fmt::format("{:.1f}", value) : "-"; }

/// "prefill 512", "decode 16", "vision".
std::string what(const Row& row) {
  if (row.phase == "decode") return fmt::format("decode {}", row.batch);
  return row.phase == "prefill" ? fmt::format("prefill {}", row.tokens) : row.phase;
}

std::string machine_table(const Results& results) {
  std::string text = "## Machine\n\n";
  if (!results.machine_text.empty()) text += "```\n" + results.machine_text + "```\n\n";
  const json::value* threads = results.machine.if_contains("by_threads");
  if (threads == nullptr || !threads->is_array()) return text;
  text +=
      "| threads | read GB/s | f32 GFLOP/s | bf16 dot GFLOP/s | VNNI GOP/s | AMX bf16 GFLOP/s | "
      "AMX int8 GOP/s |\n|---|---|---|---|---|---|---|\n";
  for (const json::value& row : threads->as_array()) {
    if (!row.is_object()) continue;
    const auto figure = [&](const char* name) {
      const json::value* value = row.as_object().if_contains(name);
      return value != nullptr && value->is_number() ? value->to_number<double>() : 0.0;
    };
    text += fmt::format("| {:.0f} | {} | {} | {} | {} | {} | {} |\n", figure("threads"),
                        giga(figure("read_bytes_per_s")), giga(figure("f32_flop_per_s")),
                        giga(figure("bf16_dot_flop_per_s")), giga(figure("vnni_op_per_s")),
                        giga(figure("amx_bf16_flop_per_s")), giga(figure("amx_int8_op_per_s")));
  }
  if (const json::value* trip = results.machine.if_contains("round_trip_ns");
      trip != nullptr && trip->is_number()) {
    text += fmt::format("\nCore to core and back: {:.0f} ns.\n", trip->to_number<double>());
  }
  return text;
}

std::string speed_table(const std::vector<Row>& rows) {
  std::string text =
      "\n## Speed\n\n| weights | cards x threads | what | tokens/s | GB/s | GFLOP/s | limit | of "
      "it "
      "|\n|---|---|---|---|---|---|---|---|\n";
  for (const Row& row : rows) {
    text += fmt::format("| {} | {} | {} | {:.1f} | {} | {} | {} | {} |\n", row.weights,
                        row.layout(), what(row), row.tokens_per_s, giga(row.bytes_per_s),
                        giga(row.flop_per_s), row.limit, percent(row.fraction));
  }
  return text;
}

/// Cards of one thread against one card of as many threads, and against one card of one.
std::string cards_table(const std::vector<Row>& rows) {
  std::map<std::tuple<std::string, std::string, std::int64_t, std::int64_t>, double> speed;
  for (const Row& row : rows) {
    speed[{row.weights, what(row), row.tp, row.threads}] = row.tokens_per_s;
  }
  std::string text;
  for (const Row& row : rows) {
    if (row.tp == 1) continue;
    const auto one = speed.find({row.weights, what(row), 1, row.tp * row.threads});
    const auto single = speed.find({row.weights, what(row), 1, row.threads});
    const auto ratio = [&](const auto& found) {
      return found == speed.end() || found->second <= 0
                 ? std::string("-")
                 : fmt::format("{:.2f}", row.tokens_per_s / found->second);
    };
    text += fmt::format("| {} | {} | {} | {} | {} |\n", row.weights, row.layout(), what(row),
                        ratio(one), ratio(single));
  }
  if (text.empty()) return {};
  return "\n## Cards\n\nTokens/s of several cards by those of one card with as many threads in "
         "all, "
         "and of one card with as many threads as each has.\n\n| weights | cards x threads | what "
         "| "
         "against 1 card, all threads | against 1 card |\n|---|---|---|---|---|\n" +
         text;
}

std::string peers_table(const std::vector<Row>& peers) {
  using Key = std::tuple<std::string, std::string>;
  std::map<Key, std::vector<double>> ours;
  std::map<Key, std::vector<double>> fractions;
  std::map<Key, std::map<std::string, std::vector<double>>> theirs;
  std::vector<Key> order;
  for (const Row& row : peers) {
    const Key key(row.weights, what(row));
    if (std::find(order.begin(), order.end(), key) == order.end()) order.push_back(key);
    if (row.engine == "llama.cpp") {
      theirs[key][row.setting].push_back(row.tokens_per_s);
    } else {
      ours[key].push_back(row.tokens_per_s);
      fractions[key].push_back(row.fraction);
    }
  }
  std::string text;
  for (const Key& key : order) {
    double best = 0;
    for (const auto& [setting, speeds] : theirs[key]) best = std::max(best, median(speeds));
    const double own = median(ours[key]);
    const double fraction = median(fractions[key]);
    text += fmt::format("| {} | {} | {} | {} | {} | {} | {} |\n", std::get<0>(key),
                        std::get<1>(key), speed_text(own), speed_text(best),
                        own > 0 && best > 0 ? fmt::format("{:.2f}", own / best) : "-",
                        own > 0 ? percent(fraction) : "-",
                        own > 0 ? percent(fraction * best / own) : "-");
  }
  if (text.empty()) return {};
  return "\n## Beside llama.cpp\n\nThe text model alone, runs in turn, medians; llama.cpp with its "
         "fastest setting for each row; both by the same limit.\n\n| weights | what | Cardloom "
         "tokens/s | llama.cpp tokens/s | ratio | Cardloom of limit | llama.cpp of limit "
         "|\n|---|---|---|---|---|---|---|\n" +
         text;
}

/// Shares of the operators that take 1 % or more, for one card with all threads.
std::string operators_table(const std::vector<Row>& rows) {
  std::string text;
  for (const Row& row : rows) {
    if (row.tp != 1 || row.operators.empty()) continue;
    std::vector<std::pair<double, std::string>> shares;
    for (const json::value& entry : row.operators) {
      const double share = entry.at("share").to_number<double>();
      if (share >= 0.01) shares.emplace_back(share, entry.at("op").as_string());
    }
    std::sort(shares.rbegin(), shares.rend());
    std::string list;
    for (const auto& [share, name] : shares) {
      list += fmt::format("{}{} {}", list.empty() ? "" : ", ", name, percent(share));
    }
    text += fmt::format("| {} | {} | {} | {} |\n", row.weights, row.layout(), what(row), list);
  }
  if (text.empty()) return {};
  return "\n## Where the time goes\n\n| weights | cards x threads | what | operators "
         "|\n|---|---|---|---|\n" +
         text;
}

std::string accuracy_table(const std::vector<AccuracyLine>& lines) {
  if (lines.empty()) return {};
  std::vector<std::string> formats;
  std::vector<std::string> outputs;
  std::map<std::pair<std::string, std::string>, double> errors;
  for (const AccuracyLine& line : lines) {
    if (std::find(formats.begin(), formats.end(), line.weights) == formats.end()) {
      formats.push_back(line.weights);
    }
    if (std::find(outputs.begin(), outputs.end(), line.output) == outputs.end()) {
      outputs.push_back(line.output);
    }
    errors[{line.weights, line.output}] = line.relative_error;
  }
  std::string text = "\n## Error against f32\n\nRelative error of layers' outputs.\n\n| output |";
  std::string rule = "\n|---|";
  for (const std::string& format : formats) {
    text += fmt::format(" {} |", format);
    rule += "---|";
  }
  text += rule + "\n";
  for (const std::string& output : outputs) {
    text += fmt::format("| {} |", output);
    for (const std::string& format : formats) {
      text += fmt::format(" {:.1e} |", errors[{format, output}]);
    }
    text += "\n";
  }
  return text;
}

/// Speed and its limit over a number of each row, one curve a format, for one card with the most
/// threads.
template <class X>
Chart curves(const Results& results, const std::string& phase, const X& x_of) {
  std::int64_t most = 0;
  for (const Row& row : results.rows) {
    if (row.tp == 1) most = std::max(most, row.threads);
  }
  Chart chart;
  chart.y_label = "tokens/s";
  std::map<std::string, std::map<double, const Row*>> by_format;
  for (const Row& row : results.rows) {
    if (row.phase == phase && row.tp == 1 && row.threads == most) {
      by_format[row.weights][x_of(row)] = &row;
    }
  }
  for (const auto& [format, points] : by_format) {
    Series speed{.name = format, .x = {}, .y = {}};
    Series limit{.name = {}, .x = {}, .y = {}, .dashed = true};
    for (const auto& [x, row] : points) {
      speed.x.push_back(x);
      speed.y.push_back(row->tokens_per_s);
      limit.x.push_back(x);
      limit.y.push_back(row->fraction > 0 ? row->tokens_per_s / row->fraction : 0);
    }
    chart.series.push_back(std::move(speed));
    chart.series.push_back(std::move(limit));
  }
  return chart;
}

BarChart cards_chart(const Results& results, const std::string& wanted) {
  BarChart chart{.title = wanted + " tokens/s by cards x threads",
                 .y_label = "tokens/s",
                 .names = {},
                 .groups = {}};
  for (const Row& row : results.rows) {
    if (what(row) != wanted) continue;
    auto name = std::find(chart.names.begin(), chart.names.end(), row.layout());
    if (name == chart.names.end()) name = chart.names.insert(name, row.layout());
    const auto bar = static_cast<std::size_t>(name - chart.names.begin());
    auto group = std::find_if(chart.groups.begin(), chart.groups.end(),
                              [&](const BarGroup& each) { return each.label == row.weights; });
    if (group == chart.groups.end()) {
      group = chart.groups.insert(group, BarGroup{.label = row.weights, .values = {}});
    }
    group->values.resize(std::max(group->values.size(), bar + 1), 0.0);
    group->values[bar] = row.tokens_per_s;
  }
  return chart;
}

}  // namespace

std::string tables(const Results& results) {
  return machine_table(results) + (results.rows.empty() ? "" : speed_table(results.rows)) +
         cards_table(results.rows) + peers_table(results.peers) + operators_table(results.rows) +
         accuracy_table(results.accuracy);
}

std::vector<Plot> plots(const Results& results) {
  std::vector<Plot> all;
  Chart rows = curves(results, "prefill", [](const Row& row) { return double(row.tokens); });
  rows.title = "Prefill: tokens/s against rows of the prompt (M)";
  rows.x_label = "M";
  if (!rows.series.empty()) all.push_back({"speed-m.svg", line_chart(rows)});
  Chart batch = curves(results, "decode", [](const Row& row) { return double(row.batch); });
  batch.title = "Decode: tokens/s against sequences in a batch";
  batch.x_label = "batch";
  if (!batch.series.empty()) all.push_back({"speed-batch.svg", line_chart(batch)});
  for (const char* wanted : {"prefill 512", "decode 1", "decode 16"}) {
    const BarChart cards = cards_chart(results, wanted);
    if (cards.groups.empty()) continue;
    std::string name = std::string("speed-tp-") + wanted + ".svg";
    std::replace(name.begin(), name.end(), ' ', '-');
    all.push_back({std::move(name), bar_chart(cards)});
  }
  return all;
}

}  // namespace cardloom::report
