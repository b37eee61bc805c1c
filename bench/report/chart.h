#pragma once

#include <string>
#include <vector>

namespace cardloom::report {

/// One line of a chart: points in the order they are joined.
struct Series {
  std::string name;
  std::vector<double> x;
  std::vector<double> y;
  bool dashed = false;  ///< a limit: drawn thin, in the colour of the series before it
};

struct Chart {
  std::string title;
  std::string x_label;
  std::string y_label;
  std::vector<Series> series;
};

/// An SVG with both axes logarithmic. Points that are not positive are left out.
[[nodiscard]] std::string line_chart(const Chart& chart);

/// A group of bars: one for each of the chart's names.
struct BarGroup {
  std::string label;
  std::vector<double> values;
};
struct BarChart {
  std::string title;
  std::string y_label;
  std::vector<std::string> names;  ///< of the bars of a group
  std::vector<BarGroup> groups;
};
/// An SVG of groups of bars from 0.
[[nodiscard]] std::string bar_chart(const BarChart& chart);

}  // namespace cardloom::report
