#include "model/utf8.h"

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

}  // namespace tandem::model
