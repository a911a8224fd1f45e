#pragma once

#include <string>
#include <string_view>

#include "planner/plan.h"

namespace tandem::planner {

/// Whether text may carry ANSI escape sequences.
enum class Ink { plain, colour };

/// How one meaning looks in every picture.  Colours are told apart by people with any colour vision (Okabe
/// and Ito's and Tol's sets, and tints of them), letters without any colour.
struct Style {
  char letter = '?';
  int ansi = 0;          ///< of the terminal's 256 colours
  std::string_view hex;  ///< "#0072B2"
};

Style style_of(Purpose purpose) noexcept;
/// The CPU is light, a GPU dark.
Style style_of(Device device) noexcept;
/// What is not used.
Style style_of_free() noexcept;
/// `level` 0 to 9 of one hue that darkens.
Style style_of_level(int level) noexcept;
/// Line `number` of a chart; they repeat after so many.
inline constexpr std::size_t kLineStyles = 6;
Style style_of_line(std::size_t number) noexcept;

/// `text` on the style's colour, in black or white, whichever is easier to read on it.
std::string painted(const std::string& text, Style style, Ink ink);

/// Black or white, whichever is easier to read on the style's colour: "#000000".
std::string_view hex_on(Style style) noexcept;

}  // namespace tandem::planner
