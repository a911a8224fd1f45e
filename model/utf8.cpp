#include "model/utf8.h"

#include <array>
#include <cstddef>

namespace tandem::model {
namespace {

/// What may follow a lead byte: how long the character is, and the range of its second byte, which excludes
/// overlong forms, surrogates and values beyond U+10FFFF.
struct Lead {
  std::uint32_t bytes;
  std::uint8_t second_min;
  std::uint8_t second_max;
};

Lead lead_of(std::uint8_t byte) noexcept {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

}  // namespace

Utf8Front utf8_front(std::string_view text) noexcept {
  const auto lead = lead_of(static_cast<std::uint8_t>(text[0]));
  if (lead.bytes == 0) return {Utf8State::broken, 1};
  for (std::uint32_t i = 1; i < lead.bytes; ++i) {
    if (i == text.size()) return {Utf8State::cut_off, i};
    const auto byte = static_cast<std::uint8_t>(text[i]);
    const auto min = i == 1 ? lead.second_min : std::uint8_t{0x80};
    const auto max = i == 1 ? lead.second_max : std::uint8_t{0xBF};
    if (byte < min || byte > max) return {Utf8State::broken, i};
  }
  return {Utf8State::whole, lead.bytes};
}

char32_t decode_utf8(std::string_view character) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(character[i]); };
  constexpr std::array<std::uint8_t, 5> kLeadBits = {0, 0x7F, 0x1F, 0x0F, 0x07};
  char32_t code = byte(0) & kLeadBits[character.size()];
  for (std::size_t i = 1; i < character.size(); ++i) code = code << 6 | (byte(i) & 0x3FU);
  return code;
}

void append_utf8(char32_t code, std::string& out) {
  const auto lead = [&](unsigned mark, int shift) { out += static_cast<char>(mark | code >> shift); };
  const auto trail = [&](int shift) { out += static_cast<char>(0x80U | (code >> shift & 0x3FU)); };
  if (code < 0x80) return lead(0, 0);
  if (code < 0x800) {
    lead(0xC0, 6);
    return trail(0);
  }
  if (code < 0x10000) {
    lead(0xE0, 12);
    trail(6);
    return trail(0);
  }
  lead(0xF0, 18);
  trail(12);
  trail(6);
  trail(0);
}

}  // namespace tandem::model
