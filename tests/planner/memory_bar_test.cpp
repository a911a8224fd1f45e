#include "planner/memory_bar.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <sstream>

#include <gtest/gtest.h>

#include "planner/make_plan.h"
#include "planner/names.h"
#include "tests/planner/subjects.h"

namespace tandem::planner {
namespace {

std::string without_colours(std::string text) {
  for (;;) {
    const auto start = text.find('\x1b');
    if (start == std::string::npos) return text;
    text.erase(start, text.find('m', start) - start + 1);
  }
}

BarPart part(Purpose purpose, std::uint64_t bytes) {
  return {style_of(purpose), bytes};
}

TEST(MemoryBar, IsCutByBytes) {
  const std::vector<BarPart> parts{part(Purpose::weights, 50), part(Purpose::kv, 30),
                                   part(Purpose::driver, 10)};
  EXPECT_EQ(memory_bar(parts, 100, 12, Ink::plain), "[WWWWWKKKD.]");
  EXPECT_EQ(memory_bar(parts, 90, 11, Ink::plain), "[WWWWWKKKD]");
  EXPECT_EQ(memory_bar({}, 100, 7, Ink::plain), "[.....]");
  EXPECT_EQ(memory_bar({}, 0, 7, Ink::plain), "[.....]");
}

TEST(MemoryBar, BeyondTheBudgetLettersAreSmall) {
  const std::vector<BarPart> parts{part(Purpose::weights, 50), part(Purpose::kv, 50)};
  EXPECT_EQ(memory_bar(parts, 70, 12, Ink::plain), "[WWWWWKKkkk]");
  EXPECT_EQ(memory_bar(parts, 0, 12, Ink::plain), "[wwwwwkkkkk]");
}

TEST(MemoryBar, PartsAreProportionalAndNeverOverlap) {
  std::mt19937 random(51);
  for (int round = 0; round < 500; ++round) {
    std::vector<BarPart> parts(planner_test::pick(random, 1, 11));
    double sum = 0;
    for (auto& each : parts) {
      each.bytes = planner_test::pick(random, 0, 1ULL << planner_test::pick(random, 0, 40));
      sum += static_cast<double>(each.bytes);
    }
    const auto whole = static_cast<std::uint64_t>(sum) + planner_test::pick(random, 1, 1ULL << 40);
    const auto length = planner_test::pick(random, 1, 200);
    const auto ends = bar_ends(parts, whole, length);
    std::size_t start = 0;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      ASSERT_GE(ends[i], start);
      ASSERT_LE(ends[i], length);
      const auto exact =
          static_cast<double>(parts[i].bytes) / static_cast<double>(whole) * static_cast<double>(length);
      ASSERT_LE(std::abs(static_cast<double>(ends[i] - start) - exact), 1.0);
      start = ends[i];
    }
    EXPECT_EQ(memory_bar(parts, whole, length + 2, Ink::plain).size(), length + 2);
  }
}

TEST(MemoryBar, ColourChangesNoLetter) {
  const std::vector<BarPart> parts{part(Purpose::weights, 50), part(Purpose::kv, 70)};
  for (const std::uint64_t budget : {100, 200}) {
    const auto coloured = memory_bar(parts, budget, 30, Ink::colour);
    EXPECT_NE(coloured.find("\x1b[48;5;"), std::string::npos);
    EXPECT_EQ(without_colours(coloured), memory_bar(parts, budget, 30, Ink::plain));
  }
}

TEST(MemoryBar, LegendNamesWhatIsThere) {
  const auto subject = planner_test::catalogue_subject("gemma3-27b-qat-q4_0");
  const auto plan = make_plan(subject.input, Budget{}, Workload{}, builtin_machine("default"), {});
  const auto legend = memory_bar_legend(plan, 12, Ink::plain);
  for (const auto& purpose : kPurposeNames) {
    const bool is_there =
        std::ranges::find(plan.arenas, purpose.value, &ArenaPlan::purpose) != plan.arenas.end();
    const auto entry = std::string(1, style_of(purpose.value).letter) + " " + std::string(purpose.text);
    EXPECT_EQ(legend.find(entry) != std::string::npos, is_there) << purpose.text;
  }
  std::istringstream lines(legend);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 80U) << line;
    EXPECT_TRUE(line.starts_with(std::string(12, ' '))) << line;
    EXPECT_NE(line.back(), ' ') << line;
  }
  EXPECT_EQ(without_colours(memory_bar_legend(plan, 12, Ink::colour)), legend);
}

TEST(Palette, PurposesDiffer) {
  std::set<char> letters;
  std::set<int> ansi;
  std::set<std::string_view> hex;
  for (const auto& purpose : kPurposeNames) {
    const auto style = style_of(purpose.value);
    letters.insert(style.letter);
    ansi.insert(style.ansi);
    hex.insert(style.hex);
  }
  EXPECT_EQ(letters.size(), kPurposeNames.size());
  EXPECT_EQ(ansi.size(), kPurposeNames.size());
  EXPECT_EQ(hex.size(), kPurposeNames.size());
}

TEST(Palette, TextStandsOutOnEveryColour) {
  // WCAG 2: relative luminance, contrast of at least 4.5.
  const auto luminance = [](std::string_view hex) {
    const auto channel = [hex](std::size_t at) {
      const auto share = std::stoi(std::string(hex.substr(at, 2)), nullptr, 16) / 255.0;
      return share <= 0.03928 ? share / 12.92 : std::pow((share + 0.055) / 1.055, 2.4);
    };
    return 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
  };
  for (const auto& purpose : kPurposeNames) {
    const auto style = style_of(purpose.value);
    const auto one = luminance(style.hex);
    const auto other = luminance(hex_on(style));
    EXPECT_GE((std::max(one, other) + 0.05) / (std::min(one, other) + 0.05), 4.5) << purpose.text;
  }
  EXPECT_GT(luminance(style_of(Device::cpu).hex), 4 * luminance(style_of(Device::cuda0).hex));
}

}  // namespace
}  // namespace tandem::planner
