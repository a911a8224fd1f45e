#include <chrono>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "daemon/engine/engine.h"
#include "model/gguf.h"
#include "tests/daemon/engine/history_executor.h"
#include "tests/daemon/engine/recording_sink.h"
#include "tests/support/fixture.h"

namespace tandem::engine {
namespace {

using namespace std::chrono_literals;

constexpr scheduler::Limits kNarrowLimits{.sequences = 4,
                                          .micro_batch = 12,
                                          .logit_rows = 8,
                                          .max_seq_len = 96,
                                          .page_tok = 16,
                                          .pages = 15,
                                          .max_queued = 256};

EngineRequest random_request(std::mt19937& random, std::uint32_t vocab) {
  const auto below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); };
  EngineRequest request;
  request.prompt.resize(1 + below(90));
  for (auto& token : request.prompt) token = static_cast<model::TokenId>(below(vocab));
  request.max_new_tok = below(20);
  request.sampling.seed = random();
  request.echo = below(4) == 0;
  if (below(3) == 0) request.logprobs = below(6);
  if (below(5) == 0) request.stop = {"a"};
  return request;
}

/// Four clients submit, read and cancel at random moments; some read slowly.
class Client {
 public:
  Client(Engine& engine, std::uint32_t vocab, unsigned seed)
      : engine_(engine), vocab_(vocab), random_(seed) {}

  void run(int requests) {
    for (int i = 0; i < requests; ++i) {
      const bool slow = random_() % 5 == 0;
      auto sink = slow ? std::make_shared<RecordingSink>(1) : std::make_shared<RecordingSink>();
      const auto id = engine_.submit(random_request(random_, vocab_), sink);
      sinks_.push_back(sink);
      if (slow || random_() % 2 == 0) {
        for (auto spins = random_() % 200; spins > 0; --spins) std::this_thread::yield();
        engine_.cancel(id);
      }
      if (random_() % 3 == 0) static_cast<void>(engine_.requests());
      engine_.resume(id);
    }
    for (const auto& sink : sinks_) sink->wait_finished();
  }

  [[nodiscard]] const std::vector<std::shared_ptr<RecordingSink>>& sinks() const { return sinks_; }

 private:
  Engine& engine_;
  const std::uint32_t vocab_;
  std::mt19937 random_;
  std::vector<std::shared_ptr<RecordingSink>> sinks_;
};

/// Steps that may be on their way at once.
class EngineRandom : public testing::TestWithParam<std::uint32_t> {};

TEST_P(EngineRandom, TwoHundredRequestsWithCancelsLeaveNothingBehind) {
  auto limits = kNarrowLimits;
  limits.steps = GetParam();
  const auto tokenizer =
      model::Tokenizer::from_header(model::read_header(test_support::reference_path("gemma4_4l.gguf")));
  HistoryExecutor executor(tokenizer->size(), kNarrowLimits.page_tok);
  Engine engine(executor, *tokenizer, limits);
  std::vector<Client> clients;
  for (unsigned i = 0; i < 4; ++i) clients.emplace_back(engine, tokenizer->size(), i + 1);
  std::vector<std::thread> threads;
  for (auto& client : clients) threads.emplace_back([&client] { client.run(50); });
  for (auto& thread : threads) thread.join();

  ASSERT_TRUE(engine.wait_idle(60s));
  const auto stats = engine.stats();
  EXPECT_EQ(stats.submitted, 200U);
  EXPECT_EQ(stats.queued + stats.running, 0U);
  EXPECT_EQ(stats.free_pages, kNarrowLimits.pages);
  EXPECT_EQ(stats.finished_error, 0U);
  EXPECT_GT(stats.finished_cancelled, 0U);
  EXPECT_GT(stats.finished_length, 0U);
  EXPECT_EQ(stats.finished_stop + stats.finished_length + stats.finished_cancelled, 200U);
  for (const auto& client : clients) {
    for (const auto& sink : client.sinks()) EXPECT_FALSE(sink->spoke_after_end());
  }
}

INSTANTIATE_TEST_SUITE_P(Steps, EngineRandom, testing::Values(1U, 2U));

}  // namespace
}  // namespace tandem::engine
