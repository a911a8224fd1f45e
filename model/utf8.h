#pragma once

#include <cstdint>
#include <string>
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

/// The code point of a whole character.
char32_t decode_utf8(std::string_view character) noexcept;

/// Appends the encoding of a code point up to 10FFFF.
void append_utf8(char32_t code, std::string& out);

}  // namespace tandem::model
