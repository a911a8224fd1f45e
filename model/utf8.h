#pragma once

#include <cstdint>
#include <string_view>

namespace tandem::model {

/// How the bytes at the front of a text read as UTF-8.
enum class Utf8State : std::uint8_t {
  whole,    ///< a well-formed character
  cut_off,  ///< the text ends inside a character that was well-formed so far
  broken    ///< a maximal subpart of an ill-formed sequence, to be replaced by one U+FFFD
};

struct Utf8Front {
  Utf8State state = Utf8State::broken;
  std::uint32_t bytes = 1;  ///< how long that is, 1 to 4
};

inline constexpr std::string_view kReplacementCharacter = "\uFFFD";

/// Reads the front of `text`, which is not empty (Unicode 15, tables 3-7 and 3-8: the rule by which Python
/// and browsers place U+FFFD).
Utf8Front utf8_front(std::string_view text) noexcept;

}  // namespace tandem::model
