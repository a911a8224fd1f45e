// Decode steps through captured graphs give the bits of steps without, wherever they run.

#include <vector>

#include <gtest/gtest.h>

#include "tests/backends/cuda/placed_model.h"

namespace tandem::cuda_test {
namespace {

using test_support::Chunk;

/// Logits of a prompt and of ten steps of one, two and three sequences after it.
std::vector<float> logits_of(PlacedModel& model) {
  std::vector<std::int32_t> tokens(48);
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<std::int32_t>(3 + 5 * i % 40);
  const std::span<const std::int32_t> all(tokens);
  std::vector<float> logits;
  const auto run = [&](const std::vector<Chunk>& chunks) {
    const auto some = model.step(chunks);
    logits.insert(logits.end(), some.begin(), some.end());
  };
  for (std::uint32_t s = 0; s < 3; ++s) run({{s, 0, all.subspan(s, 7)}});
  for (std::size_t step = 0; step < 10; ++step) {
    std::vector<Chunk> chunks;
    for (std::uint32_t s = 0; s < 3; ++s) chunks.push_back({s, 7 + step, all.subspan(7 + step, 1)});
    run(chunks);
  }
  return logits;
}

class GraphBits : public testing::TestWithParam<const char*> {};

TEST_P(GraphBits, AreThoseOfStepsWithoutGraphs) {
  test_support::CpuModelOptions options;
  options.kv_type = device::KvType::f16;
  options.max_seq_len = 48;
  options.sequences = 3;
  options.micro_batch = 12;
  constexpr auto kAll = ~std::uint64_t{0};
  PlacedModel plain(GetParam(), options, {kAll, true, 0}, {.seed = 1});
  PlacedModel recorded(GetParam(), options, {kAll, true, std::uint64_t{256} << 20}, {.seed = 2});
  EXPECT_EQ(logits_of(recorded), logits_of(plain));
  EXPECT_EQ(plain.graph_bytes(), 0U);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, GraphBits, testing::Values("gemma3_4l.gguf", "gemma4_4l.gguf"),
                         [](const auto& of) { return std::string(of.param).substr(0, 9); });

}  // namespace
}  // namespace tandem::cuda_test
