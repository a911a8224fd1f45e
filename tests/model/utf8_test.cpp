#include "model/utf8.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <unordered_set>

#include <gtest/gtest.h>

namespace tandem::model {
namespace {

std::string encode(char32_t point) {
  const auto tail = [&](unsigned shift) { return static_cast<char>(0x80 | ((point >> shift) & 0x3F)); };
  if (point < 0x80) return {static_cast<char>(point)};
  if (point < 0x800) return {static_cast<char>(0xC0 | (point >> 6)), tail(0)};
  if (point < 0x10000) return {static_cast<char>(0xE0 | (point >> 12)), tail(6), tail(0)};
  return {static_cast<char>(0xF0 | (point >> 18)), tail(12), tail(6), tail(0)};
}

/// Every well-formed character, and every way to begin one.
struct Characters {
  std::unordered_set<std::string> whole;
  std::unordered_set<std::string> begun;

  Characters() {
    for (char32_t point = 0; point <= 0x10FFFF; ++point) {
      if (point >= 0xD800 && point <= 0xDFFF) continue;
      const auto character = encode(point);
      for (std::size_t n = 1; n < character.size(); ++n) begun.insert(character.substr(0, n));
      whole.insert(character);
    }
  }
};

TEST(Utf8Front, AgreesWithTheListOfAllCharacters) {
  const Characters characters;
  constexpr std::array<unsigned char, 22> kBytes = {0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0,
                                                    0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xED,
                                                    0xEF, 0xF0, 0xF3, 0xF4, 0xF5, 0xFF};
  std::size_t checked = 0;
  for (std::size_t n = 1; n <= 4; ++n) {
    std::string text(n, '\0');
    for (std::size_t number = 0; number < static_cast<std::size_t>(std::pow(kBytes.size(), n)); ++number) {
      auto rest = number;
      for (auto& byte : text) {
        byte = static_cast<char>(kBytes[rest % kBytes.size()]);
        rest /= kBytes.size();
      }
      std::uint32_t whole = 0;
      std::uint32_t begun = 0;
      for (std::uint32_t length = 1; length <= n; ++length) {
        if (characters.whole.contains(text.substr(0, length))) whole = length;
        if (characters.begun.contains(text.substr(0, length))) begun = length;
      }
      const auto front = utf8_front(text);
      if (whole > 0) {
        ASSERT_EQ(front.state, Utf8State::whole) << testing::PrintToString(text);
        ASSERT_EQ(front.bytes, whole);
      } else if (begun == n) {
        ASSERT_EQ(front.state, Utf8State::cut_off) << testing::PrintToString(text);
        ASSERT_EQ(front.bytes, n);
      } else {
        ASSERT_EQ(front.state, Utf8State::broken) << testing::PrintToString(text);
        ASSERT_EQ(front.bytes, std::max(begun, 1U));
      }
      ++checked;
    }
  }
  EXPECT_EQ(checked, 22U + 22U * 22U + 22U * 22U * 22U + 22U * 22U * 22U * 22U);
}

TEST(Utf8Front, EveryCharacterIsWhole) {
  for (char32_t point = 0; point <= 0x10FFFF; ++point) {
    if (point >= 0xD800 && point <= 0xDFFF) continue;
    const auto character = encode(point);
    const auto front = utf8_front(character + "x");
    ASSERT_EQ(front.state, Utf8State::whole) << std::hex << static_cast<std::uint32_t>(point);
    ASSERT_EQ(front.bytes, character.size());
  }
}

}  // namespace
}  // namespace tandem::model
