// Every placement of the halves of a model of four layers, teacher-forced, against all units on the CPU: two
// sequences in chunks side by side, one of them past its window.

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include "tests/backends/cuda/placed_model.h"

namespace tandem::cuda_test {
namespace {

using test_support::Chunk;

/// Twenty tokens of one sequence, nine at a time, and eleven of another, in the same steps.
template <class Model>
std::vector<float> two_sequences(Model& model) {
  constexpr std::size_t kLong = 20, kShort = 11;
  std::vector<std::int32_t> tokens(kLong);
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<std::int32_t>(3 + 7 * i % 40);
  const std::span<const std::int32_t> all(tokens);
  std::vector<float> logits;
  for (std::size_t at = 0, other = 0; at < kLong; at += 9, other += 5) {
    std::vector<Chunk> chunks{{1, at, all.subspan(at, std::min<std::size_t>(9, kLong - at))}};
    chunks.push_back({0, other, all.subspan(3 + other, std::min<std::size_t>(5, kShort - other))});
    const auto some = model.step(chunks);
    logits.insert(logits.end(), some.begin(), some.end());
  }
  return logits;
}

class AllPlacements : public testing::TestWithParam<const char*> {};

TEST_P(AllPlacements, GiveTheSameLogits) {
  test_support::CpuModelOptions options;
  options.max_seq_len = 20;
  options.micro_batch = 14;
  options.sequences = 2;
  test_support::CpuModel on_cpu(GetParam(), options);
  ASSERT_EQ(on_cpu.hyper().layers.size(), 4u);
  const auto& layers = on_cpu.hyper().layers;
  ASSERT_TRUE(
      std::ranges::any_of(layers, [](const auto& layer) { return layer.window > 0 && layer.window < 20; }));
  const auto expected = two_sequences(on_cpu);
  for (std::uint64_t units = 0; units < 256; ++units) {
    PlacedModel placed(GetParam(), options, {units, units % 3 == 0}, {.seed = units});
    // fp32 sums in another order
    EXPECT_LT(test_support::difference_of_range(two_sequences(placed), expected), 1e-4) << units;
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, AllPlacements, testing::Values("gemma3_4l.gguf", "gemma4_4l.gguf"),
                         [](const auto& of) { return std::string(of.param).substr(0, 9); });

}  // namespace
}  // namespace tandem::cuda_test
