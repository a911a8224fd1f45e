#pragma once

#include <string>
#include <vector>

#include "planner/palette.h"
#include "planner/questions.h"

namespace tandem::planner {

/// One point of a line; where the plan does not fit, it is drawn hollow.
struct ChartPoint {
  double x = 0;  ///< in the axis' unit
  double y = 0;
  bool holds = false;
};

struct ChartLine {
  std::string name;
  std::vector<ChartPoint> points;  ///< rising in x
};

struct Tick {
  double at = 0;
  std::string text;
};

/// A range that is drawn, with marks; `share` of a value is where it lies, 0 to 1.
struct Axis {
  std::string title;  ///< with the unit: "VRAM, GiB"
  double first = 0;
  double last = 1;
  bool logarithmic = false;
  std::vector<Tick> ticks;

  [[nodiscard]] double share(double value) const noexcept;
};

struct Chart {
  Axis x;
  Axis y;  ///< starts at 0
  std::vector<ChartLine> lines;
};

bool has_hollow_points(const Chart& chart) noexcept;

/// What is drawn of sweeps over one variable, a line for each model: decoding speed, prompt speed (of
/// sequences: the speed of all together) and memory: VRAM and RAM of one model together, of several each in a
/// chart of its own, so that a model is the same line in all.  Each answer is a `sweep` of the same values;
/// there are no charts of other answers.
std::vector<Chart> charts_of(const std::vector<Answer>& sweeps);

/// An axis from 0 to at least `largest` with 3 to 6 marks at 1, 2 or 5 times a power of ten.
Axis axis_from_zero(std::string title, double largest);

/// An axis over `values`, which rise: logarithmic where they are multiples of each other, marks at the
/// values, at most ten of them.
Axis axis_over(std::string title, const std::vector<double>& values);

/// A chart for a terminal of 80 columns, ASCII beside the colours: '*' for the first line's points, 'o' where
/// nothing fits.
std::string chart_text(const Chart& chart, Ink ink);

/// Charts one below the other, SVG of 960 pixels' width.
std::string charts_svg(const std::vector<Chart>& charts, const std::string& title);

}  // namespace tandem::planner
