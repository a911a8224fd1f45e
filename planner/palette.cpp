#include "planner/palette.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace tandem::planner {
namespace {

/// Linear light of the two digits of "#RRGGBB" from `at`, 0 to 1 (sRGB).
double channel(std::string_view hex, std::size_t at) noexcept {
  int value = 0;
  std::from_chars(hex.data() + at, hex.data() + at + 2, value, 16);
  const auto share = value / 255.0;
  return share <= 0.03928 ? share / 12.92 : std::pow((share + 0.055) / 1.055, 2.4);
}

/// Black stands out better than white: the two contrasts of WCAG 2 are equal at a luminance of 0.179.
bool is_light(Style style) noexcept {
  const auto luminance =
      0.2126 * channel(style.hex, 1) + 0.7152 * channel(style.hex, 3) + 0.0722 * channel(style.hex, 5);
  return luminance > 0.179;
}

}  // namespace

Style style_of(Purpose purpose) noexcept {
  switch (purpose) {
    case Purpose::weights:
      return {'W', 25, "#0072B2"};
    case Purpose::head:
      return {'H', 74, "#56B4E9"};
    case Purpose::kv:
      return {'K', 214, "#E69F00"};
    case Purpose::kv_staging:
      return {'S', 222, "#F5D58A"};
    case Purpose::activations:
      return {'A', 36, "#009E73"};
    case Purpose::logits:
      return {'L', 115, "#8FD6BE"};
    case Purpose::transfer:
      return {'T', 175, "#CC79A7"};
    case Purpose::checkpoints:
      return {'C', 183, "#DDB8D0"};
    case Purpose::graphs:
      return {'G', 166, "#D55E00"};
    case Purpose::driver:
      return {'D', 240, "#555555"};
    case Purpose::reserve:
      break;
  }
  return {'R', 248, "#AAAAAA"};
}

Style style_of(Device device) noexcept {
  if (device == Device::cpu) return {'.', 186, "#DDCC77"};
  return {'#', 54, "#332288"};
}

Style style_of_free() noexcept {
  return {'.', 255, "#EEEEEE"};
}

Style style_of_level(int level) noexcept {
  constexpr std::array<Style, 10> kLevels{{{'0', 255, "#F7F7F7"},
                                           {'1', 254, "#E4EFE9"},
                                           {'2', 152, "#CDE5DB"},
                                           {'3', 151, "#AFD8C8"},
                                           {'4', 115, "#8CC9B3"},
                                           {'5', 79, "#66B89C"},
                                           {'6', 36, "#3FA585"},
                                           {'7', 29, "#218C6D"},
                                           {'8', 23, "#0D7057"},
                                           {'9', 22, "#00523F"}}};
  return kLevels.at(static_cast<std::size_t>(std::clamp(level, 0, 9)));
}

Style style_of_line(std::size_t number) noexcept {
  constexpr std::array<Style, kLineStyles> kLines{{{'*', 25, "#0072B2"},
                                                   {'+', 166, "#D55E00"},
                                                   {'x', 36, "#009E73"},
                                                   {'#', 175, "#CC79A7"},
                                                   {'@', 214, "#E69F00"},
                                                   {'%', 240, "#555555"}}};
  return kLines.at(number % kLines.size());
}

std::string painted(const std::string& text, Style style, Ink ink) {
  if (ink == Ink::plain || text.empty()) return text;
  const auto* const foreground = is_light(style) ? "16" : "231";
  return "\x1b[48;5;" + std::to_string(style.ansi) + ";38;5;" + foreground + "m" + text + "\x1b[0m";
}

std::string_view hex_on(Style style) noexcept {
  return is_light(style) ? "#000000" : "#FFFFFF";
}

}  // namespace tandem::planner
