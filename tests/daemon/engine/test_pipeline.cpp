// The overlap of stages, on a fake clock: every lane has a clock of its own, and what it computes takes a
// given time after both the lane and the rows are there.  Threads decide nothing then.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "daemon/engine/engine.h"
#include "daemon/engine/pipeline.h"
#include "model/gguf.h"
#include "tests/daemon/engine/recording_sink.h"
#include "tests/support/fixture.h"

namespace tandem::engine {
namespace {

using namespace std::chrono_literals;

struct Span {
  std::uint64_t start = 0;
  std::uint64_t end = 0;
};

/// When each micro-batch, by its number, was in each segment.
class Timetable {
 public:
  void begin(const Rows& rows, std::uint64_t now) {
    const std::lock_guard lock(mutex_);
    numbers_[&rows] = spans_.size();
    ready_.push_back(now);
    spans_.emplace_back();
  }
  std::uint64_t ready(const Rows& rows) {
    const std::lock_guard lock(mutex_);
    return ready_[numbers_.at(&rows)];
  }
  void ran(const Rows& rows, Span span) {
    const std::lock_guard lock(mutex_);
    const auto number = numbers_.at(&rows);
    ready_[number] = span.end;
    spans_[number].push_back(span);
  }
  [[nodiscard]] const std::vector<std::vector<Span>>& spans() const { return spans_; }

 private:
  std::mutex mutex_;
  std::map<const Rows*, std::size_t> numbers_;  ///< the newest rows at an address
  std::vector<std::uint64_t> ready_;            ///< when they left the last segment
  std::vector<std::vector<Span>> spans_;
};

/// Takes `duration` for each micro-batch, and fails where told to.
class TimedLane final : public DeviceLane {
 public:
  TimedLane(Timetable& timetable, std::uint64_t duration) : timetable_(timetable), duration_(duration) {}

  void fail_at(std::uint64_t run) { failing_run_ = run; }

  void run(std::size_t, const Rows& rows, std::size_t) override {
    if (++runs_ == failing_run_) throw std::runtime_error("planted failure");
    const auto start = std::max(free_at_, timetable_.ready(rows));
    free_at_ = start + duration_;
    timetable_.ran(rows, {start, free_at_});
  }

 private:
  Timetable& timetable_;
  const std::uint64_t duration_;
  std::uint64_t free_at_ = 0;
  std::uint64_t runs_ = 0;
  std::uint64_t failing_run_ = 0;
};

/// Two lanes, one segment each; every token is the same.
class TimedExecutor final : public Executor {
 public:
  TimedExecutor(std::uint32_t vocab, std::uint64_t first_us, std::uint64_t second_us)
      : first_(timetable_, first_us),
        second_(timetable_, second_us),
        logits_(vocab),
        pipeline_(std::vector<DeviceLane*>{&first_, &second_}) {
    logits_[kToken] = 1;
  }

  [[nodiscard]] std::uint32_t vocab() const noexcept override {
    return static_cast<std::uint32_t>(logits_.size());
  }
  void begin(const Rows& rows) override {
    timetable_.begin(rows, now_);
    on_the_way_.push_back(&rows);
    pipeline_.begin(rows, {0, 2});
  }
  BytesRead finish() override {
    const auto& rows = *on_the_way_.front();
    on_the_way_.pop_front();
    pipeline_.finish();
    now_ = timetable_.ready(rows);
    return {};
  }
  [[nodiscard]] std::span<float> logits(std::uint32_t) noexcept override {
    std::ranges::fill(logits_, 0.0F);
    logits_[kToken] = 1;
    return logits_;
  }

  [[nodiscard]] const Timetable& timetable() const { return timetable_; }
  TimedLane& first() { return first_; }
  TimedLane& second() { return second_; }

 private:
  static constexpr std::size_t kToken = 100;

  Timetable timetable_;
  TimedLane first_;
  TimedLane second_;
  std::vector<float> logits_;
  std::deque<const Rows*> on_the_way_;
  std::uint64_t now_ = 0;
  Pipeline pipeline_;
};

constexpr scheduler::Limits kPipelineLimits{.sequences = 2,
                                            .micro_batch = 8,
                                            .logit_rows = 8,
                                            .max_seq_len = 256,
                                            .page_tok = 8,
                                            .pages = 64,
                                            .max_queued = 256,
                                            .steps = 2};

EngineRequest greedy(std::size_t prompt_tok, std::uint64_t max_new_tok) {
  EngineRequest request;
  request.prompt.assign(prompt_tok, 100);
  request.max_new_tok = max_new_tok;
  request.sampling.temperature = 0;
  return request;
}

struct Durations {
  std::uint64_t first_us;
  std::uint64_t second_us;
};

class Overlap : public testing::TestWithParam<Durations> {
 protected:
  /// All but the first and the last `edge` micro-batches: both stages of neighbours are at work at once.
  void expect_overlap(std::size_t edge) {
    const auto& spans = executor_.timetable().spans();
    ASSERT_GT(spans.size(), 2 * edge + 10);
    for (auto n = edge; n + edge + 1 < spans.size(); ++n) {
      ASSERT_EQ(spans[n].size(), 2U);
      EXPECT_LT(spans[n][1].start, spans[n + 1][0].end) << n;
      EXPECT_LT(spans[n + 1][0].start, spans[n][1].end) << n;
    }
  }

  const std::unique_ptr<model::Tokenizer> tokenizer_ =
      model::Tokenizer::from_header(model::read_header(test_support::reference_path("gemma4_4l.gguf")));
  TimedExecutor executor_{tokenizer_->size(), GetParam().first_us, GetParam().second_us};
};

TEST_P(Overlap, OfTwoSequencesThatDecode) {
  {
    Engine engine(executor_, *tokenizer_, kPipelineLimits);
    const auto one = std::make_shared<RecordingSink>(), other = std::make_shared<RecordingSink>();
    engine.submit(greedy(1, 40), one);
    engine.submit(greedy(1, 40), other);
    one->wait_finished();
    other->wait_finished();
    ASSERT_TRUE(engine.wait_idle(60s));
  }
  expect_overlap(4);
}

TEST_P(Overlap, OfTheChunksOfOneLongPrompt) {
  {
    Engine engine(executor_, *tokenizer_, kPipelineLimits);
    const auto sink = std::make_shared<RecordingSink>();
    engine.submit(greedy(200, 1), sink);
    EXPECT_EQ(sink->wait_finished().usage.prompt_tok, 200U);
  }
  expect_overlap(1);
}

INSTANTIATE_TEST_SUITE_P(AnyShorterStage, Overlap,
                         testing::Values(Durations{5, 5}, Durations{3, 8}, Durations{8, 3}),
                         [](const auto& of) { return "case" + std::to_string(of.index); });

class FailingLane : public testing::TestWithParam<std::uint64_t> {};

TEST_P(FailingLane, EndsTheRequestsOfThatStepAndTheRestIsServed) {
  const auto tokenizer =
      model::Tokenizer::from_header(model::read_header(test_support::reference_path("gemma4_4l.gguf")));
  for (const bool first : {true, false}) {
    TimedExecutor executor(tokenizer->size(), 1, 1);
    (first ? executor.first() : executor.second()).fail_at(GetParam());
    Engine engine(executor, *tokenizer, kPipelineLimits);
    std::vector<std::shared_ptr<RecordingSink>> sinks;
    for (int i = 0; i < 6; ++i) {
      sinks.push_back(std::make_shared<RecordingSink>());
      engine.submit(greedy(i % 2 == 0 ? 60 : 3, 10), sinks.back());
    }
    std::size_t failed = 0;
    for (const auto& sink : sinks) {
      const auto finished = sink->wait_finished();
      if (finished.reason != FinishReason::error) continue;
      EXPECT_EQ(finished.error, "planted failure");
      ++failed;
    }
    EXPECT_GE(failed, 1U);
    EXPECT_LE(failed, 2U);
    ASSERT_TRUE(engine.wait_idle(60s));
    const auto again = std::make_shared<RecordingSink>();
    engine.submit(greedy(20, 5), again);
    EXPECT_EQ(again->wait_finished().reason, FinishReason::length);
    engine.shutdown();
    EXPECT_EQ(engine.stats().free_pages, kPipelineLimits.pages);
    EXPECT_EQ(engine.stats().running, 0U);
  }
}

/// Writes down what passes it, and fails at times.
class NotingLane final : public DeviceLane {
 public:
  explicit NotingLane(std::uint32_t seed) : random_(seed) {}

  void run(std::size_t segment, const Rows& rows, std::size_t) override {
    if (random_() % 32 == 0) throw std::runtime_error("planted failure");
    const std::lock_guard lock(mutex());
    passed()[&rows].push_back(segment);
  }

  static std::mutex& mutex() {
    static std::mutex one;
    return one;
  }
  static std::map<const Rows*, std::vector<std::size_t>>& passed() {
    static std::map<const Rows*, std::vector<std::size_t>> all;
    return all;
  }

 private:
  std::mt19937 random_;
};

TEST(Routes, OfAnyKindComeBackInTheOrderInWhichTheyBegan) {
  // Five segments one way, one or two another way; who wants logits may not stop who began before.
  NotingLane first(1), second(2);
  Pipeline pipeline({&first, &second, &first, &second, &first, &second, &first, &first});
  constexpr Route kRoutes[] = {{0, 5}, {5, 7}, {7, 8}};
  std::mt19937 random(3);
  std::deque<std::pair<Rows, Route>> on_the_way;
  std::size_t failed = 0;
  for (int i = 0; i < 2000; ++i) {
    if (on_the_way.size() < Pipeline::kDepth && random() % 2 == 0) {
      auto& [rows, route] = on_the_way.emplace_back();
      if (random() % 3 != 0) rows.wanted = {0};
      route = kRoutes[random() % std::size(kRoutes)];
      pipeline.begin(rows, route);
    } else if (!on_the_way.empty()) {
      const auto& [rows, route] = on_the_way.front();
      std::vector<std::size_t> expected(route.end - route.first);
      std::iota(expected.begin(), expected.end(), route.first);
      try {
        pipeline.finish();
        const std::lock_guard lock(NotingLane::mutex());
        ASSERT_EQ(NotingLane::passed()[&rows], expected);
      } catch (const std::runtime_error&) {
        ++failed;
      }
      const std::lock_guard lock(NotingLane::mutex());
      NotingLane::passed().erase(&rows);
      on_the_way.pop_front();
    }
  }
  while (!on_the_way.empty()) {
    try {
      pipeline.finish();
    } catch (const std::runtime_error&) {
      ++failed;
    }
    on_the_way.pop_front();
  }
  EXPECT_GT(failed, 20U);
}

INSTANTIATE_TEST_SUITE_P(AtAnyRun, FailingLane, testing::Range<std::uint64_t>(1, 12));

}  // namespace
}  // namespace tandem::engine
