#include "planner/chart.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "planner/size_text.h"

namespace tandem::planner {
namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024;
constexpr double kGB = 1e9;

/// Without decimals that say nothing: "6", "6.5", "1,500", "0.25".
std::string short_number(double value) {
  if (value == std::floor(value) && value < 1e15) return grouped(static_cast<std::uint64_t>(value));
  auto text = three_digits(value);
  while (text.ends_with('0')) text.pop_back();
  if (text.ends_with('.')) text.pop_back();
  return text;
}

/// "256k" for a multiple of 1024, "1m" for one of 1024 * 1024, as they are typed.
std::string count_text(double value) {
  const auto count = static_cast<std::uint64_t>(value);
  if (count == 0 || count % 1024 != 0) return grouped(count);
  const auto thousands = count / 1024;
  return thousands % 1024 == 0 ? grouped(thousands / 1024) + "m" : grouped(thousands) + "k";
}

/// Steps of the same factor, and more than one.
bool multiplies(const std::vector<double>& values) {
  if (values.size() < 3 || values.front() <= 0) return false;
  const auto factor = values[1] / values[0];
  for (std::size_t i = 2; i < values.size(); ++i) {
    if (std::abs(values[i] / values[i - 1] - factor) > 1e-9 * factor) return false;
  }
  return factor > 1;
}

double x_of(const Answer& sweep, const AnswerRow& row) {
  const auto value = static_cast<double>(row.value.value_or(0));
  return sweep.unit == "bytes" ? value / kGiB : value;
}

template <typename Y>
ChartLine line_of(const Answer& sweep, std::string name, Y y_of_plan) {
  ChartLine line{std::move(name), {}};
  for (const auto& row : sweep.rows) {
    if (row.plan) line.points.push_back({x_of(sweep, row), y_of_plan(*row.plan), row.holds});
  }
  return line;
}

std::string x_title(const Answer& sweep) {
  if (sweep.question == "sweep vram") return "VRAM budget, GiB";
  if (sweep.question == "sweep ram") return "RAM budget, GiB";
  if (sweep.question == "sweep context") return "context, tokens";
  return "sequences";
}

Axis x_axis(const Answer& sweep) {
  std::vector<double> values(sweep.rows.size());
  std::ranges::transform(sweep.rows, values.begin(), [&sweep](const auto& row) { return x_of(sweep, row); });
  return axis_over(x_title(sweep), values);
}

Chart chart_of(const Axis& x, std::string y_title, std::vector<ChartLine> lines) {
  double largest = 0;
  for (const auto& line : lines) {
    for (const auto& point : line.points) largest = std::max(largest, point.y);
  }
  return {x, axis_from_zero(std::move(y_title), largest), std::move(lines)};
}

}  // namespace

double Axis::share(double value) const noexcept {
  if (last <= first) return 0.5;
  if (logarithmic) return std::log(value / first) / std::log(last / first);
  return (value - first) / (last - first);
}

bool has_hollow_points(const Chart& chart) noexcept {
  return std::ranges::any_of(chart.lines, [](const ChartLine& line) {
    return std::ranges::any_of(line.points, [](const ChartPoint& point) { return !point.holds; });
  });
}

Axis axis_from_zero(std::string title, double largest) {
  if (!(largest > 0)) largest = 1;
  const auto power = std::pow(10, std::floor(std::log10(largest / 3)));
  auto step = power;
  for (const double factor : {1.0, 2.0, 5.0, 10.0}) {
    step = factor * power;
    if (largest / step <= 5) break;
  }
  Axis axis{std::move(title), 0, std::ceil(largest / step) * step, false, {}};
  const auto steps = static_cast<int>(std::lround(axis.last / step));
  for (int i = 0; i <= steps; ++i) axis.ticks.push_back({i * step, short_number(i * step)});
  return axis;
}

Axis axis_over(std::string title, const std::vector<double>& values) {
  constexpr std::size_t kMostTicks = 10;
  if (values.empty()) return {std::move(title), 0, 1, false, {}};
  Axis axis{std::move(title), values.front(), values.back(), multiplies(values), {}};
  const bool counts = axis.title.ends_with("tokens");
  const auto stride = (values.size() + kMostTicks - 1) / kMostTicks;
  for (std::size_t i = 0; i < values.size(); i += stride) {
    axis.ticks.push_back({values[i], counts ? count_text(values[i]) : short_number(values[i])});
  }
  return axis;
}

std::vector<Chart> charts_of(const std::vector<Answer>& sweeps) {
  if (sweeps.empty() || !sweeps.front().question.starts_with("sweep")) return {};
  const auto x = x_axis(sweeps.front());
  const bool counts_sequences = sweeps.front().unit == "sequences";
  std::vector<ChartLine> decode;
  std::vector<ChartLine> second;
  std::vector<ChartLine> vram;
  std::vector<ChartLine> ram;
  const bool one_model = sweeps.size() == 1;
  for (const auto& sweep : sweeps) {
    decode.push_back(
        line_of(sweep, sweep.model, [](const Plan& plan) { return plan.predicted.decode_tok_per_s; }));
    second.push_back(line_of(sweep, sweep.model, [counts_sequences](const Plan& plan) {
      return counts_sequences ? plan.predicted.throughput_tok_per_s : plan.predicted.prefill_tok_per_s;
    }));
    vram.push_back(line_of(sweep, one_model ? "VRAM" : sweep.model,
                           [](const Plan& plan) { return static_cast<double>(plan.vram_bytes) / kGB; }));
    ram.push_back(line_of(sweep, one_model ? "RAM" : sweep.model,
                          [](const Plan& plan) { return static_cast<double>(plan.ram_bytes) / kGB; }));
  }
  std::vector<Chart> charts{
      chart_of(x, "decode, tok/s", std::move(decode)),
      chart_of(x, counts_sequences ? "all sequences, tok/s" : "prompt, tok/s", std::move(second))};
  if (one_model) {
    vram.push_back(std::move(ram.front()));
    charts.push_back(chart_of(x, "memory used, GB", std::move(vram)));
  } else {
    charts.push_back(chart_of(x, "VRAM used, GB", std::move(vram)));
    charts.push_back(chart_of(x, "RAM used, GB", std::move(ram)));
  }
  return charts;
}

}  // namespace tandem::planner
