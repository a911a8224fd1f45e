#include "model/stop_matcher.h"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

namespace tandem::model {
namespace {

/// What a matcher must have emitted of `text`, from the definition: everything before the stop string that is
/// complete first (the longest of several), else everything but the longest end that may begin one.
struct Expected {
  std::string emitted;
  bool stopped = false;

  Expected(const std::string& text, const std::vector<std::string>& stops) {
    for (std::size_t end = 0; end <= text.size(); ++end) {
      std::size_t longest = 0;
      for (const auto& stop : stops) {
        if (!stop.empty() && text.substr(0, end).ends_with(stop)) longest = std::max(longest, stop.size());
      }
      if (longest == 0) continue;
      emitted = text.substr(0, end - longest);
      stopped = true;
      return;
    }
    std::size_t held = 0;
    for (const auto& stop : stops) {
      for (std::size_t n = 1; n < stop.size(); ++n) {
        if (text.ends_with(stop.substr(0, n))) held = std::max(held, n);
      }
    }
    emitted = text.substr(0, text.size() - held);
  }
};

std::string random_text(std::mt19937& random, std::size_t longest) {
  std::string text(random() % (longest + 1), 'a');
  for (auto& c : text) c = static_cast<char>('a' + random() % 2);
  return text;
}

TEST(StopMatcher, AgreesWithTheDefinitionHoweverTheTextIsCut) {
  std::mt19937 random(1);
  std::size_t stopped = 0;
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::string> stops(random() % 4);
    for (auto& stop : stops) stop = random_text(random, 7);
    StopMatcher matcher(stops);
    std::string text;
    std::string emitted;
    for (int piece = 0; piece < 6; ++piece) {
      const auto next = random_text(random, 6);
      text += next;
      emitted += matcher.push(next);
      const Expected expected(text, stops);
      ASSERT_EQ(emitted, expected.emitted) << text;
      ASSERT_EQ(matcher.stopped(), expected.stopped) << text;
    }
    if (matcher.stopped()) {
      EXPECT_EQ(matcher.finish(), "");
      ++stopped;
    } else {
      EXPECT_EQ(emitted + matcher.finish(), text);
    }
  }
  EXPECT_GT(stopped, 1000U);
  EXPECT_LT(stopped, 19000U);
}

TEST(StopMatcher, HoldsBackWholeCharactersOnly) {
  StopMatcher matcher({"né"});
  EXPECT_EQ(matcher.push("an"), "a");
  EXPECT_EQ(matcher.push("è"), "nè");
  EXPECT_EQ(matcher.push("né!"), "");
  EXPECT_TRUE(matcher.stopped());
  EXPECT_EQ(matcher.push("more"), "");
}

TEST(StopMatcher, AnEmptyPieceReleasesNothing) {
  StopMatcher matcher({"stop"});
  EXPECT_EQ(matcher.push("st"), "");
  EXPECT_EQ(matcher.push(""), "");
  EXPECT_EQ(matcher.push("op"), "");
  EXPECT_TRUE(matcher.stopped());
}

TEST(StopMatcher, SaysWhichStringCame) {
  StopMatcher matcher({"abc", "bc", "x"});
  EXPECT_EQ(matcher.push("aab"), "a");
  EXPECT_EQ(matcher.found(), "");
  EXPECT_EQ(matcher.push("cx"), "");
  EXPECT_EQ(matcher.found(), "abc");
}

TEST(StopMatcher, NothingSpansAnInterruption) {
  StopMatcher matcher({"stop"});
  EXPECT_EQ(matcher.push("a st"), "a ");
  EXPECT_EQ(matcher.finish(), "st");
  EXPECT_EQ(matcher.push("op stop"), "op ");
  EXPECT_TRUE(matcher.stopped());
}

TEST(StopMatcher, WithoutStopStringsNothingWaits) {
  StopMatcher matcher({"", ""});
  EXPECT_EQ(matcher.push("all of it"), "all of it");
  EXPECT_FALSE(matcher.stopped());
}

}  // namespace
}  // namespace tandem::model
