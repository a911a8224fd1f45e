#include "ipc/posted_wake.h"

#include <atomic>
#include <memory>
#include <thread>

#include <boost/asio/executor_work_guard.hpp>
#include <gtest/gtest.h>

namespace tandem::ipc {
namespace {

TEST(PostedWake, RunsOnceForAllCallsBeforeIt) {
  const auto io = std::make_shared<boost::asio::io_context>();
  int runs = 0;
  const auto wake = posted_wake(io, [&runs] { ++runs; });
  for (int i = 0; i < 5; ++i) wake();
  EXPECT_EQ(runs, 0) << "it runs where the context does";
  io->run();
  EXPECT_EQ(runs, 1);
  wake();
  io->restart();
  io->run();
  EXPECT_EQ(runs, 2);
}

TEST(PostedWake, MayBeCalledFromItself) {
  const auto io = std::make_shared<boost::asio::io_context>();
  int runs = 0;
  Wake wake;
  wake = posted_wake(io, [&] {
    if (++runs < 3) wake();
  });
  wake();
  io->run();
  EXPECT_EQ(runs, 3);
}

TEST(PostedWake, IsNeverLost) {
  constexpr int kCalls = 20'000;
  const auto io = std::make_shared<boost::asio::io_context>();
  auto work = boost::asio::make_work_guard(*io);
  std::atomic<int> called{0};
  int seen = 0;
  const auto wake = posted_wake(io, [&] {
    seen = called;
    if (seen == 2 * kCalls) work.reset();
  });
  const auto call = [&] {
    for (int i = 0; i < kCalls; ++i) {
      ++called;
      wake();
    }
  };
  std::thread one(call), other(call);
  io->run();
  one.join();
  other.join();
  EXPECT_EQ(seen, 2 * kCalls);
}

TEST(PostedWake, LeavesNothingBehindWhereTheContextEndsFirst) {
  const auto held = std::make_shared<int>(0);
  auto io = std::make_shared<boost::asio::io_context>();
  auto wake = posted_wake(io, [held] {});
  wake();
  io.reset();
  wake = nullptr;
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace tandem::ipc
