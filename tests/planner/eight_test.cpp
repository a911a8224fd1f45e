#include "planner/eight.h"

#include <algorithm>
#include <array>
#include <random>

#include <gtest/gtest.h>

namespace tandem::planner {
namespace {

TEST(Eight, ComputesAsEightNumbersByThemselves) {
  std::mt19937 random(102);
  std::uniform_real_distribution<double> any(-100, 100);
  for (int round = 0; round < 100; ++round) {
    Eight a;
    Eight b;
    std::array<double, Eight::kCount> sums;
    for (std::size_t i = 0; i < sums.size(); ++i) {
      a.set(i, any(random));
      b.set(i, any(random));
      sums[i] = a[i] + b[i];
    }
    for (std::size_t i = 0; i < sums.size(); ++i) {
      ASSERT_EQ((a + b)[i], sums[i]);
      ASSERT_EQ((a - b)[i], a[i] - b[i]);
      ASSERT_EQ((a * b)[i], a[i] * b[i]);
      ASSERT_EQ((a * Eight(3))[i], a[i] * 3);
    }
    ASSERT_EQ((a + b).least(), *std::ranges::min_element(sums));
    ASSERT_EQ((a + b).most(), *std::ranges::max_element(sums));
  }
}

}  // namespace
}  // namespace tandem::planner
