#include "model/rope.h"

#include <cmath>

#include <gtest/gtest.h>

namespace tandem::model {
namespace {

TEST(Rope, FrequenciesFollowTheFormulaInDouble) {
  const auto inv_freq = rope_inv_freq(1e4, 256, 1.0, {});
  ASSERT_EQ(inv_freq.size(), 128U);
  EXPECT_EQ(inv_freq[0], 1.0);
  for (std::size_t i = 0; i < inv_freq.size(); ++i) {
    const long double expected = std::exp(-2.0L * static_cast<long double>(i) / 256.0L * std::log(1e4L));
    EXPECT_NEAR(inv_freq[i] / static_cast<double>(expected), 1.0, 1e-15) << i;
  }
}

TEST(Rope, LinearFactorDividesEveryFrequency) {
  const auto plain = rope_inv_freq(1e6, 128, 1.0, {});
  const auto scaled = rope_inv_freq(1e6, 128, 8.0, {});
  for (std::size_t i = 0; i < plain.size(); ++i) EXPECT_EQ(scaled[i] * 8.0, plain[i]) << i;
}

TEST(Rope, DivisorsDivideAndLargeOnesStopARotation) {
  const std::vector<float> divisors{1.0f, 2.0f, 0.99e20f, 1e20f, 1e30f, INFINITY};
  const auto plain = rope_inv_freq(1e6, 12, 1.0, {});
  const auto divided = rope_inv_freq(1e6, 12, 1.0, divisors);
  EXPECT_EQ(divided[0], plain[0]);
  EXPECT_EQ(divided[1], plain[1] / 2.0);
  EXPECT_GT(divided[2], 0.0);
  EXPECT_EQ(divided[3], 0.0);
  EXPECT_EQ(divided[4], 0.0);
  EXPECT_EQ(divided[5], 0.0);
}

TEST(Rope, ProportionalRotatesAQuarterOfTheHead) {
  const auto divisors = proportional_rope_divisors(512);
  ASSERT_EQ(divisors.size(), 256U);
  for (std::size_t i = 0; i < divisors.size(); ++i) EXPECT_EQ(divisors[i], i < 64 ? 1.0f : 1e30f) << i;
}

}  // namespace
}  // namespace tandem::model
