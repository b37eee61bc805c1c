#include "apps/bench_serve_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "apps/text.h"
#include "cardloom/base/ascii.h"

namespace cardloom::app {
namespace {

std::vector<double> gaps_of(const RequestOutcome& outcome) {
  std::vector<double> gaps;
  for (std::size_t index = 1; index < outcome.tokens.size(); ++index) {
    gaps.push_back(outcome.tokens[index] - outcome.tokens[index - 1]);
  }
  return gaps;
}

double mean_of(const std::vector<double>& values) {
  if (values.empty()) return 0;
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

bool is_good(const RequestOutcome& outcome, const ServiceLevel& level) {
  return outcome.ok() && !outcome.tokens.empty() &&
         outcome.tokens.front() - outcome.sent <= level.first_token_s &&
         mean_of(gaps_of(outcome)) <= level.token_gap_s;
}

std::string ms(double seconds) { return fmt::format("{:.1f}", seconds * 1e3); }

std::vector<std::string> row_of(const char* name, const Quantiles& q) {
  return {name, ms(q.p50), ms(q.p90), ms(q.p99), ms(q.mean)};
}

json::object json_of(const Quantiles& q) {
  const auto rounded = [](double seconds) { return std::round(seconds * 1e6) / 1e3; };
  return {{"p50_ms", rounded(q.p50)},
          {"p90_ms", rounded(q.p90)},
          {"p99_ms", rounded(q.p99)},
          {"mean_ms", rounded(q.mean)}};
}

// Plots: 640 x 220 with room for labels.
constexpr double kWidth = 640;
constexpr double kHeight = 220;
constexpr double kLeft = 60;
constexpr double kBottom = 30;
constexpr double kTop = 24;  // the label of y stands above the highest tick

/// The next number up whose quarters are round: axes have four parts.
double round_end(double most) {
  const double unit = std::pow(10, std::floor(std::log10(most)));
  for (const double part : {1.0, 1.2, 1.6, 2.0, 2.4, 3.2, 4.0, 6.0, 8.0}) {
    if (part * unit >= most * (1 - 1e-9)) return part * unit;
  }
  return 10 * unit;
}

std::string axes(const std::string& x_label, const std::string& y_label, double x_most,
                 double y_most) {
  std::string svg;
  for (int tick = 0; tick <= 4; ++tick) {
    const double part = tick / 4.0;
    const double x = kLeft + part * (kWidth - kLeft - 10);
    const double y = kHeight - kBottom - part * (kHeight - kBottom - kTop);
    svg += fmt::format(R"(<line x1="{0:.0f}" y1="{1:.1f}" x2="{2:.0f}" y2="{1:.1f}" class="grid"/>)"
                       R"(<text x="{3:.0f}" y="{4:.1f}" text-anchor="end">{5:.4g}</text>)"
                       R"(<text x="{6:.1f}" y="{7:.0f}" text-anchor="{9}">{8:.4g}</text>)",
                       kLeft, y, kWidth - 10, kLeft - 6, y + 4, part * y_most, x,
                       kHeight - kBottom + 16, part * x_most, tick < 4 ? "middle" : "end");
  }
  svg += fmt::format(R"(<text x="{:.0f}" y="{:.0f}" text-anchor="end">{}</text>)", kWidth - 10,
                     kHeight - 2, x_label);
  return svg + fmt::format(R"(<text x="4" y="12">{}</text>)", y_label);
}

std::string plot(const std::vector<std::pair<double, double>>& points, const std::string& x_label,
                 const std::string& y_label) {
  double x_most = 1e-9;
  double y_most = 1e-9;
  for (const auto& [x, y] : points) {
    x_most = std::max(x_most, x);
    y_most = std::max(y_most, y);
  }
  x_most = round_end(x_most);
  y_most = round_end(y_most);
  std::string line;
  for (const auto& [x, y] : points) {
    line += fmt::format("{:.1f},{:.1f} ", kLeft + x / x_most * (kWidth - kLeft - 10),
                        kHeight - kBottom - y / y_most * (kHeight - kBottom - kTop));
  }
  return fmt::format(R"(<svg viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{} over {}">{})"
                     R"(<polyline points="{}"/></svg>)",
                     kWidth, kHeight, y_label, x_label, axes(x_label, y_label, x_most, y_most),
                     line);
}

/// How many of `values` are at most so large, at 200 points.
std::string spread_plot(std::vector<double> values, const std::string& label) {
  std::sort(values.begin(), values.end());
  std::vector<std::pair<double, double>> points;
  constexpr std::size_t kPoints = 200;
  for (std::size_t point = 0; point <= kPoints && !values.empty(); ++point) {
    const double part = static_cast<double>(point) / kPoints;
    const auto index = static_cast<std::size_t>(part * static_cast<double>(values.size() - 1));
    points.emplace_back(values[index] * 1e3, part * 100);
  }
  return plot(points, label + ", ms", "% of them at most");
}

std::string rate_plot(const std::vector<RequestOutcome>& outcomes, double seconds) {
  constexpr std::size_t kSlices = 60;
  const double slice = std::max(seconds, 1e-3) / kSlices;
  std::vector<double> counts(kSlices + 1);
  for (const RequestOutcome& outcome : outcomes) {
    for (const double at : outcome.tokens) {
      ++counts[std::min(kSlices, static_cast<std::size_t>(std::max(0.0, at) / slice))];
    }
  }
  std::vector<std::pair<double, double>> points;
  for (std::size_t index = 0; index <= kSlices; ++index) {
    points.emplace_back(static_cast<double>(index) * slice, counts[index] / slice);
  }
  return plot(points, "seconds", "events a second");
}

std::vector<std::vector<std::string>> quantile_rows(const LoadReport& report) {
  std::vector<std::vector<std::string>> rows = {{"ms", "p50", "p90", "p99", "mean"},
                                                row_of("first token", report.first_token),
                                                row_of("between tokens", report.token_gap),
                                                row_of("whole reply", report.reply)};
  if (report.refused > 0) rows.push_back(row_of("refusal", report.refusal));
  return rows;
}

std::string summary(const LoadReport& report, const ServiceLevel& level) {
  return fmt::format(
      "{} requests in {:.1f} s: {} complete, {} refused, {} failed\n"
      "{:.1f} replies/s, {:.0f} tokens/s, {:.1f} good replies/s (first token within {:.0f} ms, "
      "{:.0f}"
      " ms between tokens)\n",
      report.requests, report.seconds, report.complete, report.refused, report.failed,
      report.requests_per_s, report.tokens_per_s, report.good_per_s, level.first_token_s * 1e3,
      level.token_gap_s * 1e3);
}

}  // namespace

Quantiles quantiles_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const auto at = [&](double part) {  // the nearest rank
    const double rank = std::ceil(part * static_cast<double>(values.size()));
    return values[static_cast<std::size_t>(std::max(1.0, rank)) - 1];
  };
  return {at(0.5), at(0.9), at(0.99), mean_of(values)};
}

LoadReport make_load_report(const std::vector<RequestOutcome>& outcomes,
                            const ServiceLevel& level) {
  LoadReport report;
  std::vector<double> first;
  std::vector<double> gaps;
  std::vector<double> replies;
  std::vector<double> refusals;
  std::int64_t good = 0;
  for (const RequestOutcome& outcome : outcomes) {
    ++report.requests;
    report.seconds = std::max(report.seconds, outcome.end);
    if (outcome.ok()) {
      ++report.complete;
      report.tokens += outcome.completion_tokens;
      if (!outcome.tokens.empty()) first.push_back(outcome.tokens.front() - outcome.sent);
      replies.push_back(outcome.end - outcome.sent);
      const std::vector<double> own = gaps_of(outcome);
      gaps.insert(gaps.end(), own.begin(), own.end());
      good += is_good(outcome, level) ? 1 : 0;
    } else if (outcome.status == 429 || outcome.status == 503) {
      ++report.refused;
      refusals.push_back(outcome.end - outcome.sent);
    } else {
      ++report.failed;
      if (report.first_error.empty()) {
        report.first_error = fmt::format("status {}: {}", outcome.status, outcome.error);
      }
    }
  }
  report.first_token = quantiles_of(std::move(first));
  report.token_gap = quantiles_of(std::move(gaps));
  report.reply = quantiles_of(std::move(replies));
  report.refusal = quantiles_of(std::move(refusals));
  if (report.seconds <= 0) return report;
  report.requests_per_s = static_cast<double>(report.complete) / report.seconds;
  report.tokens_per_s = static_cast<double>(report.tokens) / report.seconds;
  report.good_per_s = static_cast<double>(good) / report.seconds;
  return report;
}

std::string to_text(const LoadReport& report, const ServiceLevel& level) {
  std::string text = summary(report, level) + table(quantile_rows(report));
  if (!report.first_error.empty()) text += "first failure: " + report.first_error + "\n";
  return text;
}

json::object to_json(const LoadReport& report, const ServiceLevel& level) {
  const auto rounded = [](double value) { return std::round(value * 1e3) / 1e3; };
  return {{"requests", report.requests},
          {"complete", report.complete},
          {"refused", report.refused},
          {"failed", report.failed},
          {"tokens", report.tokens},
          {"seconds", rounded(report.seconds)},
          {"requests_per_s", rounded(report.requests_per_s)},
          {"tokens_per_s", rounded(report.tokens_per_s)},
          {"good_per_s", rounded(report.good_per_s)},
          {"service_level", json::object{{"first_token_ms", level.first_token_s * 1e3},
                                         {"token_gap_ms", level.token_gap_s * 1e3}}},
          {"first_token", json_of(report.first_token)},
          {"token_gap", json_of(report.token_gap)},
          {"reply", json_of(report.reply)},
          {"refusal", json_of(report.refusal)},
          {"first_error", report.first_error}};
}

std::string to_html(const LoadReport& report, const ServiceLevel& level,
                    const std::vector<RequestOutcome>& outcomes, const std::string& title) {
  std::vector<double> first;
  std::vector<double> gaps;
  for (const RequestOutcome& outcome : outcomes) {
    if (!outcome.ok() || outcome.tokens.empty()) continue;
    first.push_back(outcome.tokens.front() - outcome.sent);
    const std::vector<double> own = gaps_of(outcome);
    gaps.insert(gaps.end(), own.begin(), own.end());
  }
  std::string rows;
  for (const std::vector<std::string>& row : quantile_rows(report)) {
    rows += "<tr>";
    for (const std::string& cell : row) rows += "<td>" + escape_markup(cell) + "</td>";
    rows += "</tr>";
  }
  return fmt::format(
      R"(<!doctype html><html lang="en"><meta charset="utf-8"><title>{0}</title><style>
body{{font:15px/1.5 system-ui,sans-serif;max-width:720px;margin:2rem auto;padding:0 1rem;color:#222}}
table{{border-collapse:collapse}}td{{padding:.2rem .8rem;border-bottom:1px solid #ddd;text-align:right}}
td:first-child{{text-align:left}}svg{{width:100%;font:11px system-ui,sans-serif;fill:#555}}
polyline{{fill:none;stroke:#2a6fdb;stroke-width:2}}.grid{{stroke:#e3e3e3}}pre{{white-space:pre-wrap}}
</style><h1>{0}</h1><pre>{1}</pre><table>{2}</table>
<h2>First token</h2>{3}<h2>Between tokens</h2>{4}<h2>Over the run</h2>{5}</html>
)",
      escape_markup(title), escape_markup(summary(report, level)), rows,
      spread_plot(first, "first token"), spread_plot(gaps, "between tokens"),
      rate_plot(outcomes, report.seconds));
}

}  // namespace cardloom::app
