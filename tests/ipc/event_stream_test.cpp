#include "ipc/event_stream.h"

#include <atomic>
#include <thread>

#include <gtest/gtest.h>

namespace tandem::ipc {
namespace {

TextDelta text(const std::string& value) {
  return {value, {}, {}};
}

std::string text_of(const StreamEvent& event) {
  return std::get<TextDelta>(event).text;
}

TEST(EventStream, DrainsEverythingInOrderOnce) {
  EventStream stream(8);
  stream.push(text("a"));
  stream.push(text("b"));
  stream.push(Finished{FinishReason::length, {}, {}});
  const auto events = stream.drain();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(text_of(events[0]), "a");
  EXPECT_EQ(text_of(events[1]), "b");
  EXPECT_EQ(std::get<Finished>(events[2]).reason, FinishReason::length);
  EXPECT_TRUE(stream.drain().empty());
}

TEST(EventStream, HasRoomUntilCapacityIsReached) {
  EventStream stream(2);
  EXPECT_TRUE(stream.has_room());
  stream.push(text("a"));
  EXPECT_TRUE(stream.has_room());
  stream.push(text("b"));
  EXPECT_FALSE(stream.has_room());
  stream.drain();
  EXPECT_TRUE(stream.has_room());
}

TEST(EventStream, TakesTheEndAlsoWhenFull) {
  EventStream stream(1);
  stream.push(text("a"));
  stream.push(Finished{});
  EXPECT_EQ(stream.drain().size(), 2u);
}

TEST(EventStream, UnreadProgressIsReplaced) {
  EventStream stream(8);
  int wakes = 0;
  stream.on_push([&] { ++wakes; });
  stream.push(PromptProgress{1, 9});
  stream.push(PromptProgress{5, 9});
  stream.push(text("a"));
  stream.push(PromptProgress{9, 9});
  const auto events = stream.drain();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(std::get<PromptProgress>(events[0]).done_tok, 5u);
  EXPECT_EQ(text_of(events[1]), "a");
  EXPECT_EQ(std::get<PromptProgress>(events[2]).done_tok, 9u);
  EXPECT_EQ(wakes, 3) << "a replaced event has a reader on its way already";
}

TEST(EventStream, WakesTheEngineOnlyIfItWasRefused) {
  EventStream stream(1);
  int resumes = 0;
  stream.on_drain([&] { ++resumes; });
  stream.push(text("a"));
  stream.drain();
  EXPECT_EQ(resumes, 0);
  stream.push(text("b"));
  EXPECT_FALSE(stream.has_room());
  stream.drain();
  EXPECT_EQ(resumes, 1);
  stream.drain();
  EXPECT_EQ(resumes, 1);
}

TEST(EventStream, AbandonedItHoldsNothingAndAlwaysHasRoom) {
  EventStream stream(1);
  int resumes = 0;
  stream.on_drain([&] { ++resumes; });
  stream.push(text("a"));
  EXPECT_FALSE(stream.has_room());
  stream.abandon();
  EXPECT_EQ(resumes, 1);
  EXPECT_TRUE(stream.has_room());
  stream.push(text("b"));
  stream.push(Finished{});
  EXPECT_TRUE(stream.drain().empty());
}

TEST(EventStream, CallbacksMayCallBack) {
  EventStream stream(1);
  std::size_t seen = 0;
  stream.on_push([&] { seen += stream.drain().size(); });
  stream.on_drain([&] { stream.push(Finished{}); });
  stream.push(text("a"));
  EXPECT_EQ(seen, 1u);
}

TEST(EventStream, HasSpareDeltasWithRoomAsLongAsTheReaderDrains) {
  EventStream stream(8);
  for (std::size_t i = 0; i < 3 * EventStream::kSpareDeltas; ++i) {
    auto delta = stream.spare();
    ASSERT_TRUE(delta.text.empty() && delta.tokens.empty());
    ASSERT_GE(delta.text.capacity(), EventStream::kRoomForText) << i;
    delta.text = "x";
    stream.push(std::move(delta));
    if (i % 8 == 7) {
      ASSERT_EQ(stream.drain().size(), 8u);
    }
  }
  for (std::size_t i = 0; i < 2 * EventStream::kSpareDeltas; ++i) stream.push(stream.spare());
  EXPECT_EQ(stream.drain().size(), 2 * EventStream::kSpareDeltas) << "a reader that lags loses nothing";
}

TEST(EventStream, HasSpareDeltasForAllThatItMayHoldByDefault) {
  EventStream stream(Limits{}.queued_events, 2);
  while (stream.has_room()) {
    auto delta = stream.spare();
    ASSERT_GE(delta.text.capacity(), EventStream::kRoomForText);
    auto scores = stream.spare_scores();
    ASSERT_EQ(scores.top.size(), 2U);
    stream.push(std::move(delta));
  }
}

TEST(EventStream, ATextTakesTheRoomOfTheCallThatItMightHaveBeen) {
  EventStream stream(8, std::nullopt, EventStream::Calls::maybe);
  for (int round = 0; round < 3; ++round) {
    for (const auto bytes : {EventStream::kRoomForText, EventStream::kRoomForText + 1,
                             EventStream::kRoomForShortArguments, EventStream::kRoomForArguments}) {
      auto delta = stream.spare(bytes);
      ASSERT_GE(delta.text.capacity(), bytes);
      delta.text.assign(bytes, 'x');
      stream.push(std::move(delta));
    }
    EXPECT_EQ(stream.drain().size(), 4U);
  }
}

TEST(EventStream, HasSpareScoresWithRoomWhereTokensAreScored) {
  constexpr std::uint32_t kAlternatives = 3;
  EventStream stream(8, kAlternatives);
  for (std::size_t i = 0; i < 3 * EventStream::kSpareDeltas; ++i) {
    auto delta = stream.spare();
    ASSERT_GE(delta.scores.capacity(), 1U) << i;
    auto scores = stream.spare_scores();
    ASSERT_EQ(scores.top.size(), kAlternatives) << i;
    ASSERT_GE(scores.chosen.text.capacity(), EventStream::kRoomForToken) << i;
    for (const auto& token : scores.top) ASSERT_GE(token.text.capacity(), EventStream::kRoomForToken) << i;
    delta.scores.push_back(std::move(scores));
    stream.push(std::move(delta));
    if (i % 8 == 7) {
      ASSERT_EQ(stream.drain().size(), 8u);
    }
  }
  EventStream unscored(8);
  EXPECT_TRUE(unscored.spare_scores().top.empty());
}

/// An engine that honours has_room never has more than `capacity` events waiting, and every event arrives.
TEST(EventStream, TwoThreadsLoseNothingWithinTheBound) {
  constexpr std::size_t kCapacity = 4;
  constexpr int kEvents = 20'000;
  EventStream stream(kCapacity);
  std::atomic<int> pushed_wakes{0};
  std::atomic<int> room_wakes{0};
  stream.on_push([&] {
    ++pushed_wakes;
    pushed_wakes.notify_all();
  });
  stream.on_drain([&] {
    ++room_wakes;
    room_wakes.notify_all();
  });
  std::thread engine([&] {
    for (int i = 0; i < kEvents; ++i) {
      for (int seen = room_wakes; !stream.has_room(); seen = room_wakes) room_wakes.wait(seen);
      stream.push(text(std::to_string(i)));
    }
    stream.push(Finished{});
  });
  int next = 0;
  bool finished = false;
  while (!finished) {
    const int seen = pushed_wakes;
    const auto events = stream.drain();
    EXPECT_LE(events.size(), kCapacity + 1);
    for (const StreamEvent& event : events) {
      finished = std::holds_alternative<Finished>(event);
      if (!finished) {
        EXPECT_EQ(text_of(event), std::to_string(next++));
      }
    }
    if (events.empty()) pushed_wakes.wait(seen);
  }
  engine.join();
  EXPECT_EQ(next, kEvents);
}

TEST(EventStream, SpareCallsHaveRoomAgainOnceItWasRead) {
  EventStream stream(8, std::nullopt, EventStream::Calls::maybe);
  for (int round = 0; round < 3; ++round) {
    for (std::size_t i = 0; i < EventStream::kSpareCalls; ++i) {
      const auto bytes = i == 1 ? EventStream::kRoomForArguments : EventStream::kRoomForShortArguments;
      auto call = stream.spare_call(bytes);
      EXPECT_EQ(call.arguments, "");
      EXPECT_GE(call.name.capacity(), EventStream::kRoomForName);
      EXPECT_GE(call.arguments.capacity(), bytes);
      auto delta = stream.spare();
      delta.calls.push_back(std::move(call));
      stream.push(std::move(delta));
    }
    EXPECT_EQ(stream.drain().size(), EventStream::kSpareCalls);
  }
  EventStream without(8);
  EXPECT_EQ(without.spare_call(1).arguments, "");
}

}  // namespace
}  // namespace tandem::ipc
