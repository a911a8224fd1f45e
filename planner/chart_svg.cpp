#include <algorithm>
#include <array>
#include <vector>

#include "planner/chart.h"
#include "planner/svg.h"

namespace tandem::planner {
namespace {

// Pixels.
constexpr double kWidth = 960;
constexpr double kTop = 80;
constexpr double kLeft = 88;
constexpr double kRight = 24;
constexpr double kPlotHeight = 200;
constexpr double kLegendPitch = 20;
constexpr double kDigitWidth = 7.5;  ///< of ticks, and then some

constexpr std::array<std::string_view, 3> kDashes{"", "8 4", "2 4"};

/// Lines with one colour have different ones.
std::string_view dashes_of_line(std::size_t number) {
  return kDashes.at((number + number / kLineStyles) % kDashes.size());
}

double panel_height(const Chart& chart) {
  return 28 + kPlotHeight + 56 + kLegendPitch * static_cast<double>(chart.lines.size());
}

/// One chart, its title at `top`.
class Panel {
 public:
  Panel(Svg& svg, const Chart& chart, double top) : svg_(&svg), chart_(&chart), top_(top + 28) {}

  void draw() {
    svg_->text({24, top_ - 12}, chart_->y.title, {14, Anchor::start, "#000000", true});
    y_axis();
    x_axis();
    for (std::size_t i = 0; i < chart_->lines.size(); ++i) line(i);
    for (std::size_t i = 0; i < chart_->lines.size(); ++i) legend(i);
  }

 private:
  [[nodiscard]] Point at(double x, double y) const {
    return {kLeft + chart_->x.share(x) * (kWidth - kLeft - kRight),
            top_ + (1 - chart_->y.share(y)) * kPlotHeight};
  }

  void y_axis() {
    for (const auto& tick : chart_->y.ticks) {
      const auto y = at(chart_->x.first, tick.at).y;
      svg_->line({kLeft, y}, {kWidth - kRight, y}, tick.at == 0 ? "#444444" : "#DDDDDD");
      svg_->text({kLeft - 8, y + 4}, tick.text, {11, Anchor::end, "#555555"});
    }
  }

  void x_axis() {
    const auto bottom = top_ + kPlotHeight;
    for (const auto& tick : chart_->x.ticks) {
      const auto x = at(tick.at, 0).x;
      svg_->line({x, bottom}, {x, bottom + 5}, "#444444");
      // Under its tick, or as near as a long number can be at the edge.
      const auto half_width = kDigitWidth / 2 * static_cast<double>(tick.text.size());
      svg_->text({std::min(x, kWidth - half_width), bottom + 18}, tick.text, {11, Anchor::middle, "#555555"});
    }
    svg_->text({kWidth - kRight, bottom + 36}, chart_->x.title, {12, Anchor::end});
  }

  void line(std::size_t number) {
    const auto style = style_of_line(number);
    std::vector<Point> points;
    for (const auto& point : chart_->lines[number].points) points.push_back(at(point.x, point.y));
    svg_->polyline(points, style.hex, 2, dashes_of_line(number));
    for (std::size_t i = 0; i < points.size(); ++i) {
      svg_->circle(points[i], 3.5, chart_->lines[number].points[i].holds ? style.hex : "#FFFFFF", style.hex);
    }
  }

  void legend(std::size_t number) {
    const auto style = style_of_line(number);
    const auto y = top_ + kPlotHeight + 48 + kLegendPitch * static_cast<double>(number);
    svg_->line({kLeft, y - 4}, {kLeft + 36, y - 4}, style.hex, 2, dashes_of_line(number));
    svg_->circle({kLeft + 18, y - 4}, 3.5, style.hex, style.hex);
    svg_->text({kLeft + 46, y}, fitted(chart_->lines[number].name, kWidth - kLeft - 80, 12), {12});
  }

  Svg* svg_;
  const Chart* chart_;
  double top_;
};

}  // namespace

std::string charts_svg(const std::vector<Chart>& charts, const std::string& title) {
  double height = kTop;
  for (const auto& chart : charts) height += panel_height(chart);
  Svg svg(kWidth, height, title);
  svg.text({24, 36}, fitted(title, kWidth - 48, 18), {18, Anchor::start, "#000000", true});
  if (std::ranges::any_of(charts, has_hollow_points)) {
    svg.text({24, 56}, "a hollow point does not fit", {12, Anchor::start, "#555555"});
  }
  double top = kTop;
  for (const auto& chart : charts) {
    Panel(svg, chart, top).draw();
    top += panel_height(chart);
  }
  return svg.document();
}

}  // namespace tandem::planner
