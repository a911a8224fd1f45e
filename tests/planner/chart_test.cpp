#include "planner/chart.h"

#include <algorithm>
#include <sstream>

#include <gtest/gtest.h>

#include "planner/sweep.h"
#include "tests/planner/subjects.h"

namespace tandem::planner {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

Chart straight_line() {
  Chart chart{axis_over("x", {0, 5, 10}), axis_from_zero("y, units", 10), {}};
  chart.lines.push_back({"line", {{0, 0, true}, {5, 5, true}, {10, 10, false}}});
  return chart;
}

TEST(AxisFromZero, HasRoundMarks) {
  for (const double largest : {0.003, 0.7, 1.0, 4.2, 17.0, 99.0, 100.0, 1234.0, 5e5}) {
    const auto axis = axis_from_zero("y", largest);
    EXPECT_EQ(axis.first, 0);
    EXPECT_GE(axis.last, largest * 0.999999);
    EXPECT_LE(axis.last, largest * 2);
    EXPECT_GE(axis.ticks.size(), 3U) << largest;
    EXPECT_LE(axis.ticks.size(), 6U) << largest;
    EXPECT_DOUBLE_EQ(axis.ticks.back().at, axis.last);
  }
  EXPECT_EQ(axis_from_zero("y", 0).last, 1);
  EXPECT_EQ(axis_from_zero("y", 17).ticks[1].text, "5");
}

TEST(AxisOver, IsLogarithmicWhereValuesMultiply) {
  const auto axis = axis_over("context, tokens", {4096, 8192, 16384});
  EXPECT_TRUE(axis.logarithmic);
  EXPECT_DOUBLE_EQ(axis.share(8192), 0.5);
  EXPECT_EQ(axis.ticks[1].text, "8k");
  EXPECT_EQ(axis_over("context, tokens", {1 << 16, 1 << 20, 1 << 24}).ticks[1].text, "1m");
  EXPECT_EQ(axis_over("context, tokens", {1000, 1'000'000}).ticks[1].text, "1,000,000");
  EXPECT_FALSE(axis_over("x", {1, 2, 3}).logarithmic);
  EXPECT_FALSE(axis_over("x", {0, 1, 2}).logarithmic);
  EXPECT_FALSE(axis_over("x", {3}).logarithmic);
  EXPECT_DOUBLE_EQ(axis_over("x", {3}).share(3), 0.5);
  EXPECT_DOUBLE_EQ(axis_over("x", {1, 2, 3}).share(2), 0.5);
}

TEST(AxisOver, HasAtMostTenMarks) {
  std::vector<double> values(512);
  std::ranges::generate(values, [i = 0.0]() mutable { return i += 1.5; });
  EXPECT_LE(axis_over("x", values).ticks.size(), 10U);
  EXPECT_EQ(axis_over("x", values).ticks.front().text, "1.5");
}

TEST(ChartText, PutsPointsWhereTheyBelong) {
  const auto lines = lines_of(chart_text(straight_line(), Ink::plain));
  EXPECT_EQ(lines[0], "y, units");
  // 11 rows of 71 columns behind 9 of the axis.
  EXPECT_EQ(lines[1].substr(0, 9), "     10 +");
  EXPECT_EQ(lines[1].find('o'), 79U);
  EXPECT_EQ(lines[6].find('*'), 44U);
  EXPECT_EQ(lines[11], "      0 +*");
  EXPECT_NE(std::ranges::find(lines, "         o does not fit"), lines.end());
}

TEST(ChartText, StaysWithin80Columns) {
  const auto subject = planner_test::catalogue_subject("gemma3-27b-qat-q4_0");
  const Setting setting{
      subject.input, Budget{}, default_workload(subject.hyper), builtin_machine("default"), {}};
  for (const auto* text : {"vram=0:24GiB:1GiB", "context=1:1m:x2", "sequences=1:300:1", "ram=1:1:1"}) {
    const auto charts = charts_of({sweep(setting, parse_sweep(text))});
    ASSERT_EQ(charts.size(), 3U);
    for (const auto& chart : charts) {
      for (const auto& line : lines_of(chart_text(chart, Ink::plain))) EXPECT_LE(line.size(), 80U) << line;
    }
  }
}

TEST(Charts, HaveALineForEachModel) {
  const auto setting_of = [](const char* model) {
    const auto subject = planner_test::catalogue_subject(model);
    return Setting{subject.input, Budget{}, default_workload(subject.hyper), builtin_machine("default"), {}};
  };
  const auto values = parse_sweep("vram=8GiB:24GiB:8GiB");
  const auto one = sweep(setting_of("gemma3-27b-qat-q4_0"), values);
  const auto other = sweep(setting_of("gemma4-12b-qat-q4_0"), values);
  const auto charts = charts_of({one, other});
  EXPECT_EQ(charts[0].lines.size(), 2U);
  ASSERT_EQ(charts.size(), 4U);
  for (const auto& chart : charts) {
    EXPECT_EQ(chart.lines[0].name, one.model);
    EXPECT_EQ(chart.lines[1].name, other.model);
  }
  EXPECT_DOUBLE_EQ(charts[2].lines[1].points[0].y * 1e9, static_cast<double>(other.rows[0].plan->vram_bytes));
  EXPECT_DOUBLE_EQ(charts[3].lines[0].points[2].y * 1e9, static_cast<double>(one.rows[2].plan->ram_bytes));
  EXPECT_EQ(charts[0].lines[1].points[0].y, other.rows[0].plan->predicted.decode_tok_per_s);
  EXPECT_DOUBLE_EQ(charts[0].lines[1].points[2].x, 24);
  const auto sequences = sweep(setting_of("gemma4-12b-qat-q4_0"), parse_sweep("sequences=1:8:x2"));
  EXPECT_EQ(charts_of({sequences})[1].lines[0].points[3].y,
            sequences.rows[3].plan->predicted.throughput_tok_per_s);
  EXPECT_TRUE(charts_of({}).empty());
  EXPECT_TRUE(charts_of({max_context(setting_of("gemma4-12b-qat-q4_0"))}).empty());
}

}  // namespace
}  // namespace tandem::planner
