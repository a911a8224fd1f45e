// Prompts for which FFN halves on the CPU are computed on the emulated GPU, their weights streamed there.

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cuda/accelerator.h"
#include "backends/cuda/emulation/device.h"
#include "daemon/engine/segment.h"
#include "tests/daemon/engine/requests.h"
#include "tests/daemon/engine/served_model.h"
#include "tests/support/fixture.h"

namespace tandem::engine {
namespace {

using model::TokenId;
using planner::Device;
using planner::Placement;
using planner::UnitKind;
using test_support::reference_path;

/// Rows from which chunks are streamed here; a scored prompt's have eight.
constexpr std::uint32_t kStreamRows = 5;

planner::Workload workload_of(std::uint32_t sequences, std::uint32_t micro_batch, std::uint32_t stream_rows) {
  planner::Workload workload;
  workload.max_seq_len = 64;
  workload.sequences = sequences;
  workload.micro_batch = micro_batch;
  workload.kv_type = planner::KvType::f32;
  workload.stream_rows = stream_rows;
  return workload;
}

/// Some unit on the device, and some FFN half on the CPU.
Placement streaming_placement(std::mt19937& random, std::size_t layers) {
  while (true) {
    auto placement = Placement::all_on(Device::cpu, layers);
    for (const auto unit : planner::all_units(layers)) {
      if (random() % 2 == 0) placement.move(unit, Device::emulated0);
    }
    const bool streams = std::ranges::count(placement.ffn, Device::cpu) > 0;
    if (streams && planner::stages_of(placement).size() > 1) return placement;
  }
}

/// A model served on both devices, and what its device was asked to do.
struct Streamed {
  Streamed(const std::string& model, const planner::Workload& workload, const Placement& placement,
           std::uint64_t seed)
      : served(model::read_header(reference_path(model)), workload, placement, emulated(seed)) {}

  [[nodiscard]] std::uint64_t operations() const { return cuda::emulation::counts(*state).operations; }

  cuda::Device::State* state = nullptr;
  Served served;

 private:
  std::unique_ptr<device::Accelerator> emulated(std::uint64_t seed) {
    auto device = cuda::emulation::make_device({.seed = seed});
    state = &device.state();
    return cuda::make_accelerator(std::move(device));
  }
};

/// fp32 sums in another order; a log-probability is a logit less a mean of logits, both within 1e-4 of the
/// logits' range, which is no smaller than that of these.
void expect_near(const std::vector<float>& scores, const std::vector<float>& expected) {
  const auto [low, high] = std::ranges::minmax(expected);
  ASSERT_EQ(scores.size(), expected.size());
  for (std::size_t i = 0; i < scores.size(); ++i) {
    ASSERT_NEAR(scores[i], expected[i], 2e-4F * (high - low)) << "score " << i;
  }
}

class StreamedPrompts : public testing::TestWithParam<const char*> {};

TEST_P(StreamedPrompts, GiveTheScoresOfPromptsInPlace) {
  std::mt19937 random(81);
  const std::vector<std::vector<TokenId>> prompts{random_tokens(random, 29), random_tokens(random, 7),
                                                  random_tokens(random, 40)};
  for (int round = 0; round < 6; ++round) {
    const auto placement = streaming_placement(random, 4);
    Streamed in_place(GetParam(), workload_of(1, 12, 0), placement, random());
    Streamed streamed(GetParam(), workload_of(1, 12, kStreamRows), placement, random());
    expect_near(scores_of(streamed.served, prompts), scores_of(in_place.served, prompts));
    EXPECT_NE(streamed.operations(), in_place.operations());
  }
}

TEST_P(StreamedPrompts, DoNotDependOnWhoSharesTheDevices) {
  std::mt19937 random(82);
  const auto placement = streaming_placement(random, 4);
  const auto prompt = random_tokens(random, 27);
  std::vector<std::vector<TokenId>> crowd{prompt};
  for (const std::size_t length : {3U, 30U, 11U, 17U}) crowd.push_back(random_tokens(random, length));
  Streamed alone(GetParam(), workload_of(3, 24, kStreamRows), placement, 1);
  Streamed together(GetParam(), workload_of(3, 24, kStreamRows), placement, 2);
  const auto decoding = together.served.submit(greedy({9, 9, 9}, 20));
  const auto mine = scores_of(alone.served, {prompt});
  auto all = scores_of(together.served, crowd);
  decoding->wait_finished();
  all.resize(mine.size());
  EXPECT_EQ(all, mine);
}

TEST_P(StreamedPrompts, ComeToTheSameScoresHoweverTheyAreCut) {
  std::mt19937 random(83);
  const auto placement = streaming_placement(random, 4);
  const std::vector<std::vector<TokenId>> prompts{random_tokens(random, 45)};
  Streamed small(GetParam(), workload_of(1, 5, kStreamRows), placement, 3);
  Streamed large(GetParam(), workload_of(1, 24, kStreamRows), placement, 4);
  expect_near(scores_of(small.served, prompts), scores_of(large.served, prompts));
}

TEST_P(StreamedPrompts, AreContinuedAsOnTheCpuAlone) {
  std::mt19937 random(84);
  const auto placement = streaming_placement(random, 4);
  Served on_cpu(reference_path(GetParam()), workload_of(1, 24, 0));
  Streamed streamed(GetParam(), workload_of(3, 10, kStreamRows), placement, 5);
  std::vector<std::shared_ptr<RecordingSink>> expected, sinks;
  for (const std::size_t length : {33U, 2U, 21U, 9U}) {
    const auto prompt = random_tokens(random, length);
    expected.push_back(on_cpu.submit(greedy(prompt, 10)));
    sinks.push_back(streamed.served.submit(greedy(prompt, 10)));
  }
  for (std::size_t i = 0; i < sinks.size(); ++i) {
    expected[i]->wait_finished();
    EXPECT_EQ(sinks[i]->wait_finished().reason, FinishReason::length);
    EXPECT_EQ(sinks[i]->tokens(), expected[i]->tokens()) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, StreamedPrompts, testing::Values("gemma3_4l.gguf", "gemma4_4l.gguf"),
                         [](const auto& of) { return std::string(of.param).substr(0, 9); });

/// Attention of the second layer on the device, all else on the CPU.
Placement almost_all_on_cpu() {
  auto placement = Placement::all_on(Device::cpu, 4);
  placement.attention[1] = Device::emulated0;
  return placement;
}

TEST(StreamedWay, HasEveryFfnHalfOnTheGpu) {
  const Streamed streamed("gemma4_4l.gguf", workload_of(1, 12, kStreamRows), almost_all_on_cpu(), 1);
  const auto& plan = streamed.served.bound().plan();
  EXPECT_EQ(segments_of(plan).size(), 3U);
  const auto segments = streamed_segments_of(plan);
  ASSERT_EQ(segments.size(),
            7U);  // attention 0 | FFN 0, attention 1, FFN 1 | attention 2 | FFN 2 | ... | head
  EXPECT_EQ(segments[1].units, (std::vector<planner::UnitRef>{
                                   {UnitKind::ffn, 0}, {UnitKind::attention, 1}, {UnitKind::ffn, 1}}));
  EXPECT_EQ(limits_of(plan, 1).stream_rows, kStreamRows);
}

TEST(StreamedWay, IsForChunksOfEnoughRowsOnly) {
  // What is streamed is seven kernels a half and more, beside one attention half's.
  std::mt19937 random(85);
  Streamed streamed("gemma4_4l.gguf", workload_of(1, 12, kStreamRows), almost_all_on_cpu(), 1);
  const auto operations_of = [&](std::size_t rows) {
    const auto before = streamed.operations();
    streamed.served.submit(greedy(random_tokens(random, rows), 1))->wait_finished();
    return streamed.operations() - before;
  };
  EXPECT_LT(operations_of(kStreamRows - 1), 30U);
  EXPECT_GT(operations_of(kStreamRows), 60U);
}

}  // namespace
}  // namespace tandem::engine
