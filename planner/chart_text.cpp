#include <algorithm>
#include <cmath>
#include <vector>

#include "planner/chart.h"
#include "planner/columns.h"

namespace tandem::planner {
namespace {

constexpr std::size_t kAxisColumns = 9;  // marks of the y axis, and the axis
constexpr std::size_t kPlotColumns = kColumns - kAxisColumns;
constexpr std::size_t kPlotRows = 11;
constexpr char kHollow = 'o';

std::size_t place_of(double share, std::size_t places) {
  const auto last = static_cast<double>(places - 1);
  return static_cast<std::size_t>(std::lround(std::clamp(share, 0.0, 1.0) * last));
}

/// What stands at a place of the plot: a line's number and its sign; nothing where it is blank.
struct Mark {
  std::size_t line = 0;
  char sign = ' ';
};

using Plot = std::vector<std::vector<Mark>>;  // (kPlotRows, kPlotColumns), the top row first

Plot plot_of(const Chart& chart) {
  Plot plot(kPlotRows, std::vector<Mark>(kPlotColumns));
  for (std::size_t line = chart.lines.size(); line-- > 0;) {
    for (const auto& point : chart.lines[line].points) {
      const auto row = kPlotRows - 1 - place_of(chart.y.share(point.y), kPlotRows);
      const auto sign = point.holds ? style_of_line(line).letter : kHollow;
      plot[row][place_of(chart.x.share(point.x), kPlotColumns)] = {line, sign};
    }
  }
  return plot;
}

std::string painted_mark(Mark mark, Ink ink) {
  const std::string sign(1, mark.sign);
  return mark.sign == ' ' ? sign : painted(sign, style_of_line(mark.line), ink);
}

/// The text of the y mark that is nearest to `row`, if it is in that row.
std::string y_label(const Axis& y, std::size_t row) {
  for (const auto& tick : y.ticks) {
    if (kPlotRows - 1 - place_of(y.share(tick.at), kPlotRows) == row) return tick.text;
  }
  return "";
}

/// Marks below the axis, as many as have room; each ends where its value is, the first one starts there.
std::string x_labels(const Axis& x) {
  std::string text(kPlotColumns, ' ');
  std::size_t free_from = 0;
  for (const auto& tick : x.ticks) {
    const auto at = place_of(x.share(tick.at), kPlotColumns);
    const auto half = tick.text.size() / 2;
    const auto first =
        std::min(at < half ? 0 : at - half, kPlotColumns - std::min(kPlotColumns, tick.text.size()));
    if (first < free_from || first + tick.text.size() > kPlotColumns) continue;
    text.replace(first, tick.text.size(), tick.text);
    free_from = first + tick.text.size() + 2;
  }
  return text.substr(0, text.find_last_not_of(' ') + 1);
}

}  // namespace

std::string chart_text(const Chart& chart, Ink ink) {
  auto text = chart.y.title + "\n";
  const auto plot = plot_of(chart);
  for (std::size_t row = 0; row < kPlotRows; ++row) {
    const auto label = y_label(chart.y, row);
    text += padded_left(label, kAxisColumns - 2) + (label.empty() ? " |" : " +");
    for (const auto mark : plot[row]) text += painted_mark(mark, ink);
    text.erase(text.find_last_not_of(' ') + 1);
    text += '\n';
  }
  text += std::string(kAxisColumns - 1, ' ') + "+" + std::string(kPlotColumns, '-') + "\n";
  text += std::string(kAxisColumns, ' ') + x_labels(chart.x) + "\n";
  text += padded_left(chart.x.title, kColumns) + "\n";
  for (std::size_t line = 0; line < chart.lines.size(); ++line) {
    text += std::string(kAxisColumns, ' ') + painted_mark({line, style_of_line(line).letter}, ink) + " " +
            chart.lines[line].name + "\n";
  }
  return text + (has_hollow_points(chart) ? std::string(kAxisColumns, ' ') + "o does not fit\n" : "");
}

}  // namespace tandem::planner
