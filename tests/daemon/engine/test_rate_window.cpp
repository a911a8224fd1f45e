#include <gtest/gtest.h>

#include "daemon/engine/rate_window.h"

namespace tandem::engine {
namespace {

constexpr std::uint64_t kSecond = 1'000'000;

TEST(RateWindow, IsZeroWithoutWork) {
  const RateWindow window;
  EXPECT_EQ(window.rates(5 * kSecond).generated_tok_per_s, 0.0);
}

TEST(RateWindow, CountsWhatTheLastTwoSecondsDid) {
  RateWindow window;
  for (std::uint64_t i = 0; i < 100; ++i) {  // ten a second, each half of its tenth
    window.begin(i * kSecond / 10);
    window.end(i * kSecond / 10 + kSecond / 20, 5, 200'000'000);
    window.generated();
  }
  const auto rates = window.rates(10 * kSecond);
  EXPECT_NEAR(rates.generated_tok_per_s, 10.0, 0.2);
  EXPECT_NEAR(rates.prompt_tok_per_s, 50.0, 1.0);
  EXPECT_NEAR(rates.gb_per_s, 2.0, 0.04);
}

TEST(RateWindow, FadesWhenWorkEnds) {
  RateWindow window;
  window.begin(0);
  window.end(kSecond, 100, 0);
  EXPECT_DOUBLE_EQ(window.rates(kSecond).prompt_tok_per_s, 100.0);
  EXPECT_DOUBLE_EQ(window.rates(2 * kSecond).prompt_tok_per_s, 50.0);
  EXPECT_EQ(window.rates(3 * kSecond).prompt_tok_per_s, 0.0);
}

TEST(RateWindow, ALongMicroBatchCountsInFullAndOverItsWholeTime) {
  RateWindow window;
  window.begin(0);
  window.end(10 * kSecond, 500, 70'000'000'000);
  EXPECT_DOUBLE_EQ(window.rates(10 * kSecond).prompt_tok_per_s, 50.0);
  EXPECT_DOUBLE_EQ(window.rates(10 * kSecond).gb_per_s, 7.0);
}

TEST(RateWindow, HoldsStillWhileAMicroBatchIsComputed) {
  RateWindow window;
  window.begin(0);
  window.end(10 * kSecond, 500, 0);
  window.begin(10 * kSecond);
  EXPECT_DOUBLE_EQ(window.rates(19 * kSecond).prompt_tok_per_s, 50.0);
  window.end(20 * kSecond, 250, 0);
  EXPECT_DOUBLE_EQ(window.rates(20 * kSecond).prompt_tok_per_s, 25.0);
}

}  // namespace
}  // namespace tandem::engine
