#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tandem::planner {

/// `text` as XML content or attribute value: & < > " ' escaped.  Control characters, which XML has no place
/// for, become spaces.
std::string xml_escaped(std::string_view text);

/// A position or length in pixels with two decimals.
std::string pixels(double number);

/// `text`, or as much of its beginning as `width` pixels hold at `size_px`, with "..." behind it.  UTF-8 is
/// not cut within a character.
std::string fitted(std::string_view text, double width, double size_px);

enum class Anchor { start, middle, end };

/// How text looks beside where it stands.
struct TextStyle {
  double size_px = 12;
  Anchor anchor = Anchor::start;
  std::string_view fill = "#222222";
  bool bold = false;
};

struct Point {
  double x = 0;
  double y = 0;
};

/// A picture in SVG 1.1, element by element.  No scripts, no fonts or files from elsewhere; white behind it.
class Svg {
 public:
  Svg(double width, double height, std::string_view title);

  /// `tip` is shown where the pointer rests on it; empty for none.
  void rectangle(Point corner, double width, double height, std::string_view fill, std::string_view tip = {});
  void line(Point from, Point to, std::string_view stroke, double width = 1, std::string_view dashes = {});
  void polyline(const std::vector<Point>& points, std::string_view stroke, double width,
                std::string_view dashes);
  void circle(Point centre, double radius, std::string_view fill, std::string_view stroke);
  void text(Point at, std::string_view content, const TextStyle& style);

  /// The whole document, ends with a newline.
  [[nodiscard]] std::string document() const;

 private:
  std::string body_;
};

}  // namespace tandem::planner
