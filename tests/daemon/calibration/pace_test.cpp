#include "daemon/calibration/pace.h"

#include <thread>

#include <gtest/gtest.h>

namespace tandem::calibration {
namespace {

TEST(Pace, NothingBeginsOnceTheTimeIsUsedUp) {
  std::vector<std::string> begun;
  std::vector<double> shares;
  Pace pace({0.01, 1, 0}, [&](const std::string& what, double share) {
    begun.push_back(what);
    shares.push_back(share);
  });
  EXPECT_TRUE(pace.begin("one"));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(pace.begin("two"));
  EXPECT_EQ(begun, std::vector<std::string>{"one"});
  EXPECT_GE(shares.at(0), 0);
  EXPECT_LT(shares.at(0), 1);
}

TEST(Pace, EachSampleRunsAfterOneThatDoesNotCount) {
  const Pace pace({1, 3, 0}, {});
  int runs = 0;
  EXPECT_GE(pace.median_s([&] { ++runs; }), 0);
  EXPECT_EQ(runs, 4);
}

TEST(Pace, ShortWorkIsRepeatedUntilASampleIsLongEnough) {
  const Pace pace({1, 1, 0.02}, {});
  int runs = 0;
  pace.median_s([&] { ++runs; });
  EXPECT_GT(runs, 2);
}

TEST(Pace, TheMedianIsWhatCounts) {
  const Pace pace({1, 3, 0}, {});
  int runs = 0;
  // Samples of about 0, 30 and 5 ms: neither the mean nor an end is between 4 and 25.
  const auto seconds = pace.median_s([&] {
    const int milliseconds[] = {0, 0, 30, 5};
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds[runs++]));
  });
  EXPECT_GE(seconds, 0.005);
}

}  // namespace
}  // namespace tandem::calibration
