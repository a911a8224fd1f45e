#include "model/utf8_ranges.h"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

#include "model/utf8.h"

namespace tandem::model {
namespace {

bool is_in(const std::vector<ByteRanges>& all, const std::string& text, int& times) {
  times = 0;
  for (const auto& ranges : all) {
    bool fits = ranges.size() == text.size();
    for (std::size_t i = 0; fits && i < text.size(); ++i) {
      const auto byte = static_cast<std::uint8_t>(text[i]);
      fits = byte >= ranges[i].first && byte <= ranges[i].last;
    }
    times += fits ? 1 : 0;
  }
  return times > 0;
}

bool is_surrogate(char32_t code) {
  return code >= 0xD800 && code <= 0xDFFF;
}

TEST(Utf8Ranges, HoldEveryCodePointOfTheRangeOnceAndNoOther) {
  std::mt19937 random(3);
  std::vector<CodeRange> ranges = {{0, 0x10FFFF},    {0, 0},           {0x7F, 0x80},
                                   {0xD7FF, 0xE000}, {0xD800, 0xDFFF}, {0xFFFF, 0x10000}};
  for (int i = 0; i < 40; ++i) {
    const char32_t a = random() % (i % 2 == 0 ? 0x110000 : 0x1000);
    const char32_t b = random() % (i % 2 == 0 ? 0x110000 : 0x1000);
    ranges.push_back({std::min(a, b), std::max(a, b)});
  }
  for (const auto& range : ranges) {
    const auto all = utf8_ranges(range);
    for (char32_t code = 0; code <= 0x10FFFF; code += code < 0x1100 ? 1 : 61) {
      if (is_surrogate(code)) continue;
      std::string text;
      append_utf8(code, text);
      int times = 0;
      ASSERT_EQ(is_in(all, text, times), code >= range.first && code <= range.last) << std::uint32_t{code};
      ASSERT_LE(times, 1) << std::uint32_t{code};
    }
  }
  EXPECT_TRUE(utf8_ranges({0xD800, 0xDFFF}).empty());
}

TEST(Utf8Ranges, EveryByteSequenceIsWellFormed) {
  for (const auto& ranges : utf8_ranges({0, 0x10FFFF})) {
    for (const bool last : {false, true}) {
      std::string text;
      for (const auto& bytes : ranges) text += static_cast<char>(last ? bytes.last : bytes.first);
      const auto front = utf8_front(text);
      EXPECT_EQ(front.state, Utf8State::whole);
      EXPECT_EQ(front.bytes, text.size());
    }
  }
}

TEST(Utf8Ranges, ComplementIsEverythingElse) {
  const std::vector<CodeRange> ranges = {{'b', 'd'}, {'a', 'b'}, {'x', 'x'}, {0x10FFFF, 0x10FFFF}};
  const auto others = complement(ranges);
  const auto contains = [](const std::vector<CodeRange>& all, char32_t code) {
    return std::ranges::any_of(all, [&](const auto& r) { return code >= r.first && code <= r.last; });
  };
  for (char32_t code = 0; code <= 0x10FFFF; ++code) {
    ASSERT_NE(contains(ranges, code), contains(others, code)) << std::uint32_t{code};
  }
  EXPECT_TRUE(complement({{0, 0x10FFFF}}).empty());
}

}  // namespace
}  // namespace tandem::model
