#include "daemon/scheduler/scheduler.h"

#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr Limits kTwoSlots{.sequences = 2,
                           .micro_batch = 65,
                           .logit_rows = 8,
                           .max_seq_len = 256,
                           .page_tok = 16,
                           .pages = 32,
                           .max_queued = 3};

/// Runs `step` and samples wherever a token was due; ids at their length are finished.
void run(Scheduler& scheduler, const Step& step) {
  scheduler.completed(step);
  for (const auto& work : step.work) {
    if (work.logit_rows == 0 || !scheduler.holds(work.id)) continue;
    if (scheduler.sampled(work.id) == Verdict::length) scheduler.finish(work.id);
  }
}

TEST(Scheduler, CutsAPromptAtChunkBoundsAndThenDecodes) {
  Scheduler scheduler(kTwoSlots);
  ASSERT_EQ(scheduler.chunk_tok(), 64U);
  ASSERT_TRUE(scheduler.submit({.id = 7, .prompt_tok = 100, .max_new_tok = 2}));

  auto step = scheduler.next();
  EXPECT_THAT(step.work, ElementsAre(Work{7, 0, 0, 64, 0}));
  run(scheduler, step);
  step = scheduler.next();
  EXPECT_THAT(step.work, ElementsAre(Work{7, 0, 64, 36, 1}));
  run(scheduler, step);
  step = scheduler.next();
  EXPECT_THAT(step.work, ElementsAre(Work{7, 0, 100, 1, 1}));
  run(scheduler, step);
  EXPECT_TRUE(scheduler.idle());
  EXPECT_EQ(scheduler.free_pages(), kTwoSlots.pages);
}

TEST(Scheduler, DecodeComesBeforePromptInOneStep) {
  Scheduler scheduler(kTwoSlots);
  scheduler.submit({.id = 1, .prompt_tok = 3, .max_new_tok = 9});
  run(scheduler, scheduler.next());
  scheduler.submit({.id = 2, .prompt_tok = 80, .max_new_tok = 9});
  EXPECT_THAT(scheduler.next().work, ElementsAre(Work{1, 0, 3, 1, 1}, Work{2, 1, 0, 64, 0}));
}

TEST(Scheduler, ABusySequenceIsInOneStepOnly) {
  Scheduler scheduler(kTwoSlots);
  scheduler.submit({.id = 1, .prompt_tok = 3, .max_new_tok = 9});
  const auto first = scheduler.next();
  EXPECT_TRUE(scheduler.next().empty());
  scheduler.submit({.id = 2, .prompt_tok = 4, .max_new_tok = 9});
  EXPECT_THAT(scheduler.next().work, ElementsAre(Work{2, 1, 0, 4, 1}));
  run(scheduler, first);
  EXPECT_THAT(scheduler.next().work, ElementsAre(Work{1, 0, 3, 1, 1}));
}

TEST(Scheduler, RefusesWhatTheQueueCannotHold) {
  Scheduler scheduler(kTwoSlots);
  for (RequestId id = 1; id <= 3; ++id) EXPECT_TRUE(scheduler.submit({.id = id, .prompt_tok = 1}));
  EXPECT_FALSE(scheduler.submit({.id = 4, .prompt_tok = 1}));
  EXPECT_EQ(scheduler.queued(), 3U);
}

TEST(Scheduler, AFullContextEndsASequence) {
  Scheduler scheduler(kTwoSlots);
  scheduler.submit({.id = 1, .prompt_tok = 254, .max_new_tok = 1000});
  for (int chunk = 0; chunk < 3; ++chunk) run(scheduler, scheduler.next());
  const auto last_chunk = scheduler.next();
  EXPECT_EQ(last_chunk.work.at(0).logit_rows, 1U);
  scheduler.completed(last_chunk);
  EXPECT_EQ(scheduler.sampled(1), Verdict::running);  // its row is position 254
  scheduler.completed(scheduler.next());
  EXPECT_EQ(scheduler.sampled(1), Verdict::running);  // position 255, the last
  scheduler.completed(scheduler.next());
  EXPECT_EQ(scheduler.sampled(1), Verdict::length);  // a third token, and nowhere to put it
}

TEST(Scheduler, CancelFreesAtOnceOrAfterTheStepInFlight) {
  Scheduler scheduler(kTwoSlots);
  for (RequestId id = 1; id <= 3; ++id) scheduler.submit({.id = id, .prompt_tok = 5, .max_new_tok = 5});
  const auto step = scheduler.next();
  EXPECT_TRUE(scheduler.cancel(3));  // queued
  EXPECT_EQ(scheduler.queued(), 0U);
  EXPECT_TRUE(scheduler.cancel(1));  // in flight
  EXPECT_FALSE(scheduler.holds(1));
  EXPECT_FALSE(scheduler.cancel(1));
  EXPECT_EQ(scheduler.running(), 2U);
  scheduler.completed(step);
  EXPECT_EQ(scheduler.running(), 1U);
  scheduler.sampled(2);
  EXPECT_TRUE(scheduler.cancel(2));  // between steps
  EXPECT_TRUE(scheduler.idle());
  EXPECT_EQ(scheduler.free_pages(), kTwoSlots.pages);
}

TEST(Scheduler, APausedSequenceKeepsItsSlotAndGetsNoWork) {
  Scheduler scheduler(kTwoSlots);
  scheduler.submit({.id = 1, .prompt_tok = 5, .max_new_tok = 5});
  run(scheduler, scheduler.next());
  scheduler.pause(1);
  EXPECT_THAT(scheduler.next().work, IsEmpty());
  EXPECT_EQ(scheduler.sequences().at(0).state, State::paused);
  scheduler.resume(1);
  EXPECT_THAT(scheduler.next().work, ElementsAre(Work{1, 0, 5, 1, 1}));
}

TEST(Scheduler, AHeldSequenceHasASlotAndGetsNoWork) {
  Scheduler scheduler(kTwoSlots);
  scheduler.submit({.id = 1, .prompt_tok = 5, .max_new_tok = 5, .held = true});
  scheduler.submit({.id = 2, .prompt_tok = 3, .max_new_tok = 5});
  auto step = scheduler.next();
  EXPECT_THAT(scheduler.admitted(), ElementsAre(1, 2));
  EXPECT_THAT(step.work, ElementsAre(Work{2, 1, 0, 3, 1}));
  EXPECT_EQ(scheduler.sequences().at(0).state, State::prompt);
  run(scheduler, step);
  scheduler.let_go(1);
  scheduler.hold(2);
  step = scheduler.next();
  EXPECT_THAT(scheduler.admitted(), IsEmpty());
  EXPECT_THAT(step.work, ElementsAre(Work{1, 0, 0, 5, 1}));
  run(scheduler, step);
  scheduler.pause(2);
  scheduler.let_go(2);
  EXPECT_THAT(scheduler.next().work, ElementsAre(Work{1, 0, 5, 1, 1})) << "it is paused all the same";
}

TEST(Scheduler, ScoringAPromptAsksForEveryRowInGroups) {
  Scheduler scheduler(kTwoSlots);
  ASSERT_EQ(scheduler.score_chunk_tok(), 7U);
  scheduler.submit({.id = 1, .prompt_tok = 10, .max_new_tok = 0, .score_prompt = true});
  auto step = scheduler.next();
  EXPECT_THAT(step.work, ElementsAre(Work{1, 0, 0, 7, 7}));
  scheduler.completed(step);
  step = scheduler.next();
  EXPECT_THAT(step.work, ElementsAre(Work{1, 0, 7, 3, 3}));
  scheduler.completed(step);
  EXPECT_TRUE(scheduler.next().empty());
  scheduler.finish(1);
  EXPECT_TRUE(scheduler.idle());
}

TEST(Scheduler, ARequestWaitsUntilAllItsPagesAreFree) {
  auto limits = kTwoSlots;
  limits.pages = 16;  // one whole sequence
  Scheduler scheduler(limits);
  scheduler.submit({.id = 1, .prompt_tok = 200, .max_new_tok = 1});
  scheduler.submit({.id = 2, .prompt_tok = 200, .max_new_tok = 1});
  scheduler.submit({.id = 3, .prompt_tok = 1, .max_new_tok = 1});
  EXPECT_EQ(scheduler.next().work.size(), 1U);
  EXPECT_EQ(scheduler.queued(), 2U);  // 3 would fit, but does not overtake 2
}

TEST(Scheduler, ImpossibleLimitsAreRefused) {
  const auto refused = [](auto change) {
    auto limits = kTwoSlots;
    change(limits);
    EXPECT_THROW(Scheduler{limits}, std::invalid_argument);
  };
  refused([](Limits& l) { l.sequences = 0; });
  refused([](Limits& l) { l.micro_batch = 1; });
  refused([](Limits& l) { l.logit_rows = 1; });
  refused([](Limits& l) { l.max_seq_len = 0; });
  refused([](Limits& l) { l.page_tok = 0; });
  refused([](Limits& l) { l.pages = 15; });
}

}  // namespace
}  // namespace tandem::scheduler
