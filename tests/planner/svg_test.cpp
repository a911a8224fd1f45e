#include "planner/svg.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace tandem::planner
