#include "planner/svg.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace tandem::planner {
namespace {

std::string attribute(std::string_view name, std::string_view value) {
  return " " + std::string(name) + "=\"" + xml_escaped(value) + "\"";
}

std::string attribute(std::string_view name, double number) {
  return attribute(name, pixels(number));
}

std::string_view name_of_anchor(Anchor anchor) {
  switch (anchor) {
    case Anchor::start:
      return "start";
    case Anchor::middle:
      return "middle";
    case Anchor::end:
      break;
  }
  return "end";
}

}  // namespace

std::string xml_escaped(std::string_view text) {
  std::string escaped;
  escaped.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
    }
  }
  return escaped;
}

std::string pixels(double number) {
  std::array<char, 64> text{};
  const auto length = std::snprintf(text.data(), text.size(), "%.2f", number);
  return {text.data(), static_cast<std::size_t>(length)};
}

std::string fitted(std::string_view text, double width, double size_px) {
  constexpr double kLetterWidth = 0.68;  // of the size, for a wide sans serif
  const auto letters = static_cast<std::size_t>(std::max(0.0, width / (kLetterWidth * size_px)));
  if (text.size() <= letters) return std::string(text);
  auto end = letters < 3 ? 0 : letters - 3;
  const auto continues = [text](std::size_t at) {
    return (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U;
  };
  while (end > 0 && continues(end)) --end;
  return std::string(text.substr(0, end)) + "...";
}

Svg::Svg(double width, double height, std::string_view title) {
  body_ = "<svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\"" + attribute("width", width) +
          attribute("height", height) + attribute("viewBox", "0 0 " + pixels(width) + " " + pixels(height)) +
          " font-family=\"DejaVu Sans, Verdana, sans-serif\">\n<title>" + xml_escaped(title) + "</title>\n";
  rectangle({0, 0}, width, height, "#FFFFFF");
}

void Svg::rectangle(Point corner, double width, double height, std::string_view fill, std::string_view tip) {
  body_ += "<rect" + attribute("x", corner.x) + attribute("y", corner.y) + attribute("width", width) +
           attribute("height", height) + attribute("fill", fill);
  if (tip.empty()) {
    body_ += "/>\n";
  } else {
    body_ += "><title>" + xml_escaped(tip) + "</title></rect>\n";
  }
}

void Svg::line(Point from, Point to, std::string_view stroke, double width, std::string_view dashes) {
  polyline({from, to}, stroke, width, dashes);
}

void Svg::polyline(const std::vector<Point>& points, std::string_view stroke, double width,
                   std::string_view dashes) {
  std::string list;
  for (const auto& point : points)
    list += (list.empty() ? "" : " ") + pixels(point.x) + "," + pixels(point.y);
  body_ += "<polyline fill=\"none\"" + attribute("points", list) + attribute("stroke", stroke) +
           attribute("stroke-width", width);
  if (!dashes.empty()) body_ += attribute("stroke-dasharray", dashes);
  body_ += "/>\n";
}

void Svg::circle(Point centre, double radius, std::string_view fill, std::string_view stroke) {
  body_ += "<circle" + attribute("cx", centre.x) + attribute("cy", centre.y) + attribute("r", radius) +
           attribute("fill", fill) + attribute("stroke", stroke) + attribute("stroke-width", 2) + "/>\n";
}

void Svg::text(Point at, std::string_view content, const TextStyle& style) {
  body_ += "<text" + attribute("x", at.x) + attribute("y", at.y) + attribute("font-size", style.size_px) +
           attribute("fill", style.fill) + attribute("text-anchor", name_of_anchor(style.anchor));
  if (style.bold) body_ += " font-weight=\"bold\"";
  body_ += ">" + xml_escaped(content) + "</text>\n";
}

std::string Svg::document() const {
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + body_ + "</svg>\n";
}

}  // namespace tandem::planner
