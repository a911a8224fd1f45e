#include "daemon/calibration/pace.h"

#include <thread>

#include <gtest/gtest.h>

namespace tandem::calibration {
namespace {

TEST(Pace, NothingBeginsOnceTheTimeIsUsedUp) {
  std::vector<std::string> begun;
  std::vector<double> shares;
  Pace pace({0.01, 1, 1, 0}, [&](const std::string& what, double share) {
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

TEST(Pace, TheFirstRunCountsIfItIsAsLongAsASample) {
  Pace pace({10, 1, 3, 0.002}, {});
  int runs = 0;
  const auto seconds = pace.median_s([&] {
    ++runs;
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
  });
  EXPECT_GE(seconds, 0.003);
  EXPECT_EQ(runs, 3);
}

TEST(Pace, AShorterFirstRunDoesNotCount) {
  Pace pace({10, 1, 1, 0.2}, {});
  std::vector<int> milliseconds{40, 20, 230};
  std::size_t runs = 0;
  const auto seconds =
      pace.median_s([&] { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds.at(runs++))); });
  EXPECT_EQ(runs, 3U);
  EXPECT_GE(seconds, 0.125);
}

TEST(Pace, ShortWorkIsRepeatedUntilASampleIsLongEnough) {
  Pace pace({1, 1, 1, 0.02}, {});
  int runs = 0;
  pace.median_s([&] { ++runs; });
  EXPECT_GT(runs, 2);
}

TEST(Pace, ARunThatTheHostHeldUpIsNotAllOfASample) {
  Pace pace({10, 1, 1, 0.08}, {});
  std::vector<int> milliseconds{0, 1, 1, 30, 1, 60};
  std::size_t runs = 0;
  const auto seconds =
      pace.median_s([&] { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds.at(runs++))); });
  EXPECT_EQ(runs, 6U);
  EXPECT_LT(seconds, 0.015);
}

/// Whether the first run is held up, or others are.
TEST(Pace, ShortWorkHasSamplesOfManyRuns) {
  for (const std::vector<int>& milliseconds : {std::vector{300, 1, 1, 1, 200, 1}, {0, 300, 200, 1, 1, 1}}) {
    Pace pace({10, 1, 1, 0.002}, {});
    std::size_t runs = 0;
    const auto samples = pace.samples_s(
        [&] { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds.at(runs++))); }, 5);
    EXPECT_EQ(runs, 6U);
    ASSERT_EQ(samples.size(), 1U);
    EXPECT_LT(samples.front(), 0.15);
  }
}

TEST(Pace, TheMedianIsWhatCounts) {
  Pace pace({1, 1, 3, 0}, {});
  int runs = 0;
  const auto seconds = pace.median_s([&] {
    const int milliseconds[] = {0, 30, 5};
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds[runs++]));
  });
  EXPECT_GE(seconds, 0.005);
}

/// Sleeps for the milliseconds of one list after the other.
double slept_s(Pace& pace, const std::vector<int>& milliseconds) {
  std::size_t runs = 0;
  return pace.median_s(
      [&] { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds.at(runs++))); });
}

TEST(Pace, WhatComesUpAgainIsTheMedianOfAllRounds) {
  Pace pace({10, 3, 1, 0}, [](const std::string&, double) {});
  for (const int milliseconds : {30, 0, 5}) {
    pace.begin("sleep");
    const auto first_s = slept_s(pace, {milliseconds});
    const auto second_s = slept_s(pace, {40});
    EXPECT_GE(second_s, 0.04);
    if (milliseconds == 30) {
      EXPECT_GE(first_s, 0.03);
    } else {
      EXPECT_GE(first_s, 0.005);
      EXPECT_LT(first_s, 0.03);
    }
  }
  pace.begin("something else");
  EXPECT_LT(slept_s(pace, {0}), 0.005);
}

TEST(Pace, ProgressTakesNoneOfTheTime) {
  Pace pace({0.5, 1, 1, 0},
            [](const std::string&, double) { std::this_thread::sleep_for(std::chrono::milliseconds(600)); });
  EXPECT_TRUE(pace.begin("one"));
  EXPECT_TRUE(pace.begin("two"));
  EXPECT_TRUE(pace.has(0.25));
  EXPECT_FALSE(pace.has(0.5));
}

TEST(Pace, BegunAnewHasAllItsTimeAndNoSamples) {
  Pace pace({0.5, 1, 1, 0}, [](const std::string&, double) {});
  pace.begin("sleep");
  slept_s(pace, {600});
  EXPECT_FALSE(pace.begin("sleep"));
  pace.begin_anew();
  EXPECT_TRUE(pace.begin("sleep"));
  EXPECT_LT(slept_s(pace, {0}), 0.3);
}

TEST(Median, IsInTheMiddle) {
  EXPECT_EQ(median({3}), 3);
  EXPECT_EQ(median({9, 1, 3}), 3);
  EXPECT_EQ(median({9, 1, 3, 5}), 4);
}

}  // namespace
}  // namespace tandem::calibration
