#include "bench/report/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "cardloom/base/ascii.h"

namespace cardloom::report {
namespace {

constexpr double kWidth = 720;
constexpr double kHeight = 420;
constexpr double kLeft = 70;
constexpr double kRight = 560;  // the legend stands beyond
constexpr double kTop = 40;
constexpr double kBottom = 360;

/// Told apart by people who see colours differently. Source: Okabe and Ito 2008.
constexpr const char* kColours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                    "#e69f00", "#56b4e9", "#000000", "#8a8a00"};

const char* colour(std::size_t index) { return kColours[index % std::size(kColours)]; }

std::string text_at(double x, double y, const std::string& text, const char* more) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" {}>{}</text>\n", x, y, more,
                     escape_markup(text));
}

std::string line(double x1, double y1, double x2, double y2, const char* more) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" {}/>\n", x1, y1,
                     x2, y2, more);
}

std::string number_text(double value) {
  return value >= 100 || value == std::floor(value) ? fmt::format("{:.0f}", value)
                                                    : fmt::format("{:.2g}", value);
}

std::string frame(const std::string& title, const std::string& y_label) {
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0f} {:.0f}\" "
      "font-family=\"sans-serif\" font-size=\"12\" role=\"img\">\n<title>{}</title>\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
      kWidth, kHeight, escape_markup(title));
  svg += text_at(kLeft, 22, title, "font-size=\"15\" font-weight=\"bold\"");
  svg += text_at(16, (kTop + kBottom) / 2, y_label,
                 fmt::format("text-anchor=\"middle\" transform=\"rotate(-90 16 {:.1f})\"",
                             (kTop + kBottom) / 2)
                     .c_str());
  return svg;
}

std::string legend(std::size_t place, const std::string& name, const char* fill) {
  const double y = kTop + 8 + 18 * static_cast<double>(place);
  return fmt::format("<rect x=\"{:.0f}\" y=\"{:.1f}\" width=\"12\" height=\"12\" fill=\"{}\"/>\n",
                     kRight + 12, y, fill) +
         text_at(kRight + 30, y + 10, name, "");
}

/// A logarithmic axis over all values that it is shown.
class LogAxis {
 public:
  LogAxis(double from, double to) : from_(from), to_(to) {}

  void show(double value) {
    if (!(value > 0)) return;
    low_ = low_ > 0 ? std::min(low_, value) : value;
    high_ = std::max(high_, value);
  }
  /// Room on both sides, and never a single point.
  void finish(double factor) {
    if (low_ <= 0) low_ = high_ = 1;
    low_ /= factor;
    high_ *= factor;
  }
  [[nodiscard]] double place(double value) const {
    return from_ + (to_ - from_) * std::log(value / low_) / std::log(high_ / low_);
  }
  /// 1, 2 and 5 times the powers of ten.
  [[nodiscard]] std::vector<double> decimal_ticks() const {
    std::vector<double> ticks;
    for (double power = std::pow(10, std::floor(std::log10(low_))); power <= high_; power *= 10) {
      for (const double step : {1.0, 2.0, 5.0}) {
        if (power * step >= low_ && power * step <= high_) ticks.push_back(power * step);
      }
    }
    return ticks;
  }

 private:
  double from_;
  double to_;
  double low_ = 0;
  double high_ = 0;
};

std::string curve(const Series& series, const LogAxis& x, const LogAxis& y, const char* stroke) {
  std::string points;
  std::string marks;
  for (std::size_t index = 0; index < series.x.size(); ++index) {
    if (!(series.x[index] > 0) || !(series.y[index] > 0)) continue;
    const double px = x.place(series.x[index]);
    const double py = y.place(series.y[index]);
    points += fmt::format("{:.1f},{:.1f} ", px, py);
    if (series.dashed) continue;
    marks += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\" fill=\"{}\"/>\n", px, py,
                         stroke);
  }
  return fmt::format(
             "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" {}/>\n", points, stroke,
             series.dashed ? "stroke-width=\"1\" stroke-dasharray=\"5 4\"" : "stroke-width=\"2\"") +
         marks;
}

}  // namespace

std::string line_chart(const Chart& chart) {
  LogAxis x(kLeft, kRight);
  LogAxis y(kBottom, kTop);
  std::vector<double> x_ticks;
  for (const Series& series : chart.series) {
    for (std::size_t index = 0; index < series.x.size(); ++index) {
      x.show(series.x[index]);
      y.show(series.y[index]);
      if (series.x[index] > 0) x_ticks.push_back(series.x[index]);
    }
  }
  x.finish(1.15);
  y.finish(1.3);
  std::sort(x_ticks.begin(), x_ticks.end());
  x_ticks.erase(std::unique(x_ticks.begin(), x_ticks.end()), x_ticks.end());

  std::string svg = frame(chart.title, chart.y_label);
  for (const double tick : y.decimal_ticks()) {
    svg += line(kLeft, y.place(tick), kRight, y.place(tick), "stroke=\"#dddddd\"");
    svg += text_at(kLeft - 6, y.place(tick) + 4, number_text(tick), "text-anchor=\"end\"");
  }
  for (const double tick : x_ticks) {
    svg += line(x.place(tick), kBottom, x.place(tick), kBottom + 5, "stroke=\"#444444\"");
    svg += text_at(x.place(tick), kBottom + 18, number_text(tick), "text-anchor=\"middle\"");
  }
  svg += line(kLeft, kBottom, kRight, kBottom, "stroke=\"#444444\"");
  svg += text_at((kLeft + kRight) / 2, kBottom + 42, chart.x_label, "text-anchor=\"middle\"");
  std::size_t solid = 0;
  for (const Series& series : chart.series) {
    if (!series.dashed) svg += legend(solid, series.name, colour(solid));
    if (!series.dashed) ++solid;
    svg += curve(series, x, y, colour(solid == 0 ? 0 : solid - 1));
  }
  if (std::any_of(chart.series.begin(), chart.series.end(),
                  [](const Series& series) { return series.dashed; })) {
    svg += text_at(kRight + 12, kTop + 30 + 18 * static_cast<double>(solid), "dashed: its limit",
                   "fill=\"#444444\"");
  }
  return svg + "</svg>\n";
}

std::string bar_chart(const BarChart& chart) {
  double most = 0;
  for (const BarGroup& group : chart.groups) {
    for (const double value : group.values) most = std::max(most, value);
  }
  if (!(most > 0)) most = 1;
  const double unit = std::pow(10, std::floor(std::log10(most)));
  const double step = most / unit > 5 ? unit * 2 : most / unit > 2 ? unit : unit / 2;
  const auto height = [&](double value) { return (kBottom - kTop) * value / (most * 1.1); };

  std::string svg = frame(chart.title, chart.y_label);
  for (double tick = 0; tick <= most * 1.1; tick += step) {
    svg +=
        line(kLeft, kBottom - height(tick), kRight, kBottom - height(tick), "stroke=\"#dddddd\"");
    svg += text_at(kLeft - 6, kBottom - height(tick) + 4, number_text(tick), "text-anchor=\"end\"");
  }
  const double group_width =
      (kRight - kLeft) / std::max<double>(1, static_cast<double>(chart.groups.size()));
  const double bar_width =
      0.8 * group_width / std::max<double>(1, static_cast<double>(chart.names.size()));
  for (std::size_t place = 0; place < chart.groups.size(); ++place) {
    const BarGroup& group = chart.groups[place];
    const double begin = kLeft + group_width * (static_cast<double>(place) + 0.1);
    for (std::size_t bar = 0; bar < group.values.size(); ++bar) {
      const double x = begin + bar_width * static_cast<double>(bar);
      const double tall = height(group.values[bar]);
      svg += fmt::format(
          "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"{}\"/>\n", x,
          kBottom - tall, bar_width * 0.92, tall, colour(bar));
      if (group.values[bar] <= 0) continue;
      svg += text_at(x + bar_width * 0.46, kBottom - tall - 4,
                     group.values[bar] < 10 ? fmt::format("{:.2f}", group.values[bar])
                                            : fmt::format("{:.0f}", group.values[bar]),
                     "text-anchor=\"middle\" font-size=\"10\"");
    }
    svg += text_at(begin + 0.4 * group_width, kBottom + 18, group.label, "text-anchor=\"middle\"");
  }
  svg += line(kLeft, kBottom, kRight, kBottom, "stroke=\"#444444\"");
  for (std::size_t bar = 0; bar < chart.names.size(); ++bar) {
    svg += legend(bar, chart.names[bar], colour(bar));
  }
  return svg + "</svg>\n";
}

}  // namespace cardloom::report
