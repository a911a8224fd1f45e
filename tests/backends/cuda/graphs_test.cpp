// Decode steps of a stage as captured graphs: the same bits as without, and nothing beside them.

#include <gtest/gtest.h>

#include "backends/cuda/graph_cache.h"
#include "backends/cuda/step_rows.h"
#include "tests/backends/cuda/placed_model.h"

namespace tandem::cuda_test {
namespace {

using test_support::Chunk;
using test_support::CpuModelOptions;

constexpr Placement kAllOnDevice{~std::uint64_t{0}, true};
constexpr Placement kWithGraphs{~std::uint64_t{0}, true, std::uint64_t{1} << 20};

CpuModelOptions options_for(std::uint32_t sequences) {
  CpuModelOptions options;
  options.kv_type = device::KvType::f16;
  options.max_seq_len = 48;
  options.sequences = sequences;
  options.micro_batch = 12;
  return options;
}

/// Prompts of 9 tokens one after another, then `steps` steps of one token of each of the first 1, 2 ... 5
/// sequences in turn; all logits.
std::vector<float> serve(PlacedModel& model, std::uint32_t sequences, std::size_t steps) {
  std::vector<std::int32_t> tokens(48);
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<std::int32_t>(3 + 7 * i % 40);
  const std::span<const std::int32_t> all(tokens);
  std::vector<float> logits;
  const auto run = [&](const std::vector<Chunk>& chunks) {
    const auto some = model.step(chunks);
    logits.insert(logits.end(), some.begin(), some.end());
  };
  std::vector<std::size_t> at(sequences, 9);
  for (std::uint32_t s = 0; s < sequences; ++s) run({{s, 0, all.subspan(s, 9)}});
  for (std::size_t step = 0; step < steps; ++step) {
    std::vector<Chunk> chunks;
    for (std::uint32_t s = 0; s < 1 + step % sequences; ++s)
      chunks.push_back({s, at[s], all.subspan(at[s], 1)});
    for (const Chunk& chunk : chunks) ++at[chunk.slot];
    run(chunks);
  }
  return logits;
}

class StepGraphs : public testing::TestWithParam<const char*> {};

TEST_P(StepGraphs, GiveTheSameBits) {
  const auto options = options_for(5);
  PlacedModel plain(GetParam(), options, kAllOnDevice, {.seed = 1});
  PlacedModel recorded(GetParam(), options, kWithGraphs, {.seed = 2});
  EXPECT_EQ(serve(recorded, 5, 10), serve(plain, 5, 10));
  EXPECT_EQ(plain.counts().captures, 0u);
  EXPECT_EQ(recorded.counts().captures, 4u);  // 1, 2, 4 and 8 rows
  EXPECT_EQ(recorded.counts().graph_launches, 10u);
}

TEST_P(StepGraphs, RecordedAheadGiveTheSameBitsAndAreAllThereAre) {
  const auto options = options_for(5);
  Placement ahead = kWithGraphs;
  ahead.records_ahead = true;
  PlacedModel plain(GetParam(), options, kAllOnDevice, {.seed = 9});
  PlacedModel recorded(GetParam(), options, ahead, {.seed = 10});
  EXPECT_EQ(recorded.counts().captures, 4u);  // 1, 2, 4 and 8 rows of at most 256 tokens
  EXPECT_EQ(recorded.recorded_steps().count, 4u);
  const auto bytes = recorded.graph_bytes();
  EXPECT_EQ(serve(recorded, 5, 10), serve(plain, 5, 10));
  EXPECT_EQ(recorded.counts().captures, 4u);
  EXPECT_EQ(recorded.counts().graph_launches, 10u);
  EXPECT_EQ(recorded.graph_bytes(), bytes);
}

TEST_P(StepGraphs, OfSeveralStagesGiveTheSameBits) {
  const auto options = options_for(2);
  constexpr std::uint64_t kEveryThird = 0b1101'1011;
  PlacedModel plain(GetParam(), options, {kEveryThird, false}, {.seed = 3});
  PlacedModel recorded(GetParam(), options, {kEveryThird, false, std::uint64_t{1} << 20}, {.seed = 4});
  EXPECT_EQ(serve(recorded, 2, 12), serve(plain, 2, 12));
  EXPECT_EQ(recorded.counts().captures, 3u * 2);
  EXPECT_EQ(recorded.counts().graph_launches, 3u * 12);
}

TEST_P(StepGraphs, StayWithinTheirBytes) {
  const auto options = options_for(3);
  PlacedModel plain(GetParam(), options, kAllOnDevice, {.seed = 5});
  PlacedModel all(GetParam(), options, kWithGraphs, {.seed = 6});
  const auto expected = serve(plain, 3, 3);
  EXPECT_EQ(plain.graph_bytes(), 0u);
  EXPECT_EQ(serve(all, 3, 3), expected);
  const std::uint64_t for_two = all.graph_bytes() / 2;
  PlacedModel some(GetParam(), options, {~std::uint64_t{0}, true, for_two}, {.seed = 7});
  EXPECT_EQ(serve(some, 3, 3), expected);
  EXPECT_LE(some.graph_bytes(), for_two);
  EXPECT_GT(some.graph_bytes(), 0u);
  // Of 1, 2 and 4 rows, each as large as the others.
  EXPECT_EQ(all.recorded_steps().count, 3u);
  EXPECT_EQ(all.recorded_steps().refused_bytes, 0u);
  EXPECT_EQ(some.recorded_steps().count, 1u);
  EXPECT_EQ(some.recorded_steps().refused_bytes, all.graph_bytes() / 3);
}

TEST_P(StepGraphs, LeaveAStepNothingToAllocateOrWaitFor) {
  const auto options = options_for(1);
  PlacedModel model(GetParam(), options, kWithGraphs, {.seed = 8});
  serve(model, 1, 2);
  const auto before = model.counts();
  const std::int32_t token = 5;
  constexpr std::uint64_t kSteps = 20;
  for (std::uint64_t step = 0; step < kSteps; ++step) {
    const Chunk chunk{0, 11 + step, {&token, 1}};
    model.step({&chunk, 1});
  }
  const auto after = model.counts();
  EXPECT_EQ(after.allocations, before.allocations);
  EXPECT_EQ(after.captures, before.captures);
  EXPECT_EQ(after.graph_launches - before.graph_launches, kSteps);
  // Before the descriptor is written and when logits are received.
  EXPECT_EQ(after.synchronisations - before.synchronisations, 2 * kSteps);
  // Rows, pages, token and index to the device, embedding, first norm, head norm, head, softcap, logits to
  // the host.
  EXPECT_LE(after.operations - before.operations, 10 * kSteps);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, StepGraphs, testing::Values("gemma3_4l.gguf", "gemma4_4l.gguf"),
                         [](const auto& of) { return std::string(of.param).substr(0, 9); });

/// A prompt, a step that records its graph and one that launches it: the device fails each of their calls in
/// turn.
class FailingSteps : public testing::TestWithParam<const char*> {};

TEST_P(FailingSteps, AreExceptionsAtEveryCallWithGraphsToo) {
  const auto options = options_for(1);
  std::uint64_t calls = 0;
  for (bool works = false; !works; ++calls) {
    try {
      PlacedModel model(GetParam(), options, kWithGraphs, {.failing_call = calls + 1});
      serve(model, 1, 2);
      works = true;
    } catch (const cuda::DeviceError& error) {
      ASSERT_NE(std::string(error.what()).find("fails, as was asked for"), std::string::npos) << calls;
    }
  }
  EXPECT_GT(calls, 50u);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, FailingSteps,
                         testing::Values("gemma4_1l_sliding.gguf", "gemma4_1l_global.gguf"),
                         [](const auto& of) { return std::string(of.param).substr(10, 6); });

TEST(GraphCache, GivesItsBytesBack) {
  cuda::Device device = cuda::emulation::make_device({});
  cuda::Stream stream(device);
  const cuda::DeviceMemory memory(device, 64);
  cuda::GraphBudget budget{1 << 20, 0, {}};
  {
    cuda::GraphCache cache(budget);
    for (const std::uint32_t rows : {1u, 2u, 1u}) {
      cache.run(stream, {nullptr, rows, 256}, [&] { stream.fill(memory.data(), 0, 64); });
    }
    EXPECT_EQ(budget.used_bytes, 2 * cuda::emulation::kGraphOperationBytes);
    EXPECT_EQ(budget.recorded.count, 2U);
  }
  EXPECT_EQ(budget.used_bytes, 0U);
  EXPECT_EQ(budget.recorded.count, 0U);
  stream.synchronise();
}

TEST(ShapeClasses, ArePowersOfTwoThatHoldWhatTheyAreFor) {
  const std::uint32_t expected[] = {1, 2, 4, 4, 8, 8, 8, 8, 9, 10};
  for (std::uint32_t rows = 1; rows <= 10; ++rows) EXPECT_EQ(cuda::row_class(rows, 64), expected[rows - 1]);
  EXPECT_EQ(cuda::row_class(5, 6), 6u);  // never more rows than there is room for
  EXPECT_EQ(cuda::row_class(1, 1), 1u);
  EXPECT_EQ(cuda::context_class(1), 256u);
  EXPECT_EQ(cuda::context_class(256), 256u);
  EXPECT_EQ(cuda::context_class(257), 512u);
  EXPECT_EQ(cuda::context_class(262144), 262144u);
}

}  // namespace
}  // namespace tandem::cuda_test
