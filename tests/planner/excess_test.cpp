#include "planner/excess.h"

#include <array>
#include <cmath>
#include <limits>
#include <random>

#include <gtest/gtest.h>

#include "tests/planner/subjects.h"

namespace tandem::planner {
namespace {

using planner_test::pick;

Excess excess_of(const std::array<double, Excess::kBounds>& parts) {
  Excess excess;
  for (std::size_t b = 0; b < parts.size(); ++b) excess.set(b, parts[b]);
  return excess;
}

TEST(Excess, RoundsDownAndIsNeverNegative) {
  EXPECT_EQ(excess_of({7.9, 0, 0, 0}).first(), 7U);
  EXPECT_EQ(excess_of({-3, 5, 5, 5}).first(), 0U);
  EXPECT_EQ(excess_of({std::numeric_limits<double>::quiet_NaN(), 0, 0, 0}), Excess());
}

TEST(Excess, MayBeAllThatMayBeButNotMore) {
  const auto most = static_cast<double>(Excess::kMost);
  for (std::size_t b = 0; b < Excess::kBounds; ++b) {
    std::array<double, Excess::kBounds> parts{most, most, most, most};
    EXPECT_TRUE(excess_of(parts).may_do());
    parts[b] = most + 0.5;
    EXPECT_TRUE(excess_of(parts).may_do());
    parts[b] = most + 1;
    EXPECT_FALSE(excess_of(parts).may_do());
    parts[b] = std::numeric_limits<double>::infinity();
    EXPECT_FALSE(excess_of(parts).may_do());
  }
}

/// As four sums kept apart would be.
TEST(Excess, AddsUpEachBoundByItself) {
  std::mt19937 random(101);
  int too_many = 0;
  for (int round = 0; round < 2000; ++round) {
    Excess sum;
    std::array<std::uint64_t, Excess::kBounds> apart{};
    while (sum.may_do() && pick(random, 0, 30) != 0) {
      std::array<double, Excess::kBounds> parts;
      for (auto& part : parts) part = static_cast<double>(pick(random, 0, pick(random, 0, 40'000)));
      sum = sum + excess_of(parts);
      bool may_do = true;
      for (std::size_t b = 0; b < parts.size(); ++b) {
        apart[b] += static_cast<std::uint64_t>(parts[b]);
        may_do = may_do && apart[b] <= Excess::kMost;
      }
      ASSERT_EQ(sum.may_do(), may_do);
      if (may_do) {
        ASSERT_EQ(sum.first(), apart[0]);
      }
      too_many += may_do ? 0 : 1;
    }
  }
  EXPECT_GT(too_many, 1000);
}

}  // namespace
}  // namespace tandem::planner
