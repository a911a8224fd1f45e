#include "planner/svg.h"

#include <gtest/gtest.h>

#include "planner/make_plan.h"
#include "planner/plan_svg.h"
#include "tests/planner/subjects.h"

namespace tandem::planner {
namespace {

TEST(Svg, EscapesWhatXmlMeansOtherwise) {
  EXPECT_EQ(xml_escaped("a<b> & \"c\" 'd'"), "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;");
  EXPECT_EQ(xml_escaped(std::string_view("x\0y\x1b\nz\x7f", 7)), "x y  z ");
  EXPECT_EQ(xml_escaped("\xc3\xa9"), "\xc3\xa9");
}

TEST(Svg, WritesPixelsWithTwoDecimals) {
  EXPECT_EQ(pixels(1.0 / 3), "0.33");
  EXPECT_EQ(pixels(960), "960.00");
}

TEST(Svg, NestsEveryElement) {
  Svg svg(10, 20, "<title>");
  svg.rectangle({1, 2}, 3, 4, "#FFFFFF", "a & b");
  svg.text({0, 0}, "</svg>", {});
  const auto document = svg.document();
  EXPECT_NE(document.find("<title>&lt;title&gt;</title>"), std::string::npos);
  EXPECT_NE(document.find("<title>a &amp; b</title></rect>"), std::string::npos);
  EXPECT_NE(document.find(">&lt;/svg&gt;</text>"), std::string::npos);
  EXPECT_EQ(document.find("</svg>"), document.size() - 7);
}

TEST(Svg, CutsWhatDoesNotFit) {
  EXPECT_EQ(fitted("short", 100, 10), "short");
  EXPECT_EQ(fitted("abcdefghijklmnopqrst", 70, 10), "abcdefg...");
  EXPECT_EQ(fitted("abcdef\xc3\xa9ghijklmnopqrst", 70, 10), "abcdef...");
  EXPECT_EQ(fitted("abc", 1, 10), "...");
}

TEST(PlanSvg, NamesCannotBecomeMarkup) {
  const auto subject = planner_test::seven_layer_subject();
  auto plan = make_plan(subject.input, Budget{}, Workload{}, builtin_machine("default"), {});
  plan.model.name = "</title><script>alert(\"1\")</script>&" + std::string(300, 'x');
  plan.machine = "<b>";
  const auto picture = plan_svg(plan);
  EXPECT_EQ(picture.find("<script"), std::string::npos);
  EXPECT_EQ(picture.find("<b>"), std::string::npos);
  EXPECT_EQ(picture.find(std::string(100, 'x')), picture.rfind(std::string(100, 'x')) - 200)
      << "only in the title";
}

}  // namespace
}  // namespace tandem::planner
