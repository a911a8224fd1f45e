#include "ipc/sign_of_life.h"

#include <gtest/gtest.h>

namespace tandem::ipc {
namespace {

TEST(SignOfLife, IsDueAfterAPeriodOfSilence) {
  const SignOfLife::Clock::time_point start;
  const auto after = [start](int ms) { return start + std::chrono::milliseconds(ms); };
  SignOfLife silence(start);
  EXPECT_FALSE(silence.due(start));
  EXPECT_FALSE(silence.due(after(14'999)));
  EXPECT_TRUE(silence.due(after(15'000)));
  EXPECT_FALSE(silence.due(after(15'001)));
  silence.heard(after(20'000));
  EXPECT_FALSE(silence.due(after(34'999)));
  EXPECT_TRUE(silence.due(after(400'000)));
  EXPECT_FALSE(silence.due(after(414'000)));
}

}  // namespace
}  // namespace tandem::ipc
