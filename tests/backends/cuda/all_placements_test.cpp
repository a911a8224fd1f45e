// Every placement of the halves of a model of four layers, teacher-forced, against all units on the CPU.

#include <gtest/gtest.h>

#include "tests/backends/cuda/placed_model.h"

namespace tandem::cuda_test {
namespace {

class AllPlacements : public testing::TestWithParam<const char*> {};

TEST_P(AllPlacements, GiveTheSameLogits) {
  test_support::CpuModelOptions options;
  options.max_seq_len = 20;
  options.micro_batch = 9;
  std::vector<std::int32_t> tokens(20);
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<std::int32_t>(3 + 7 * i % 40);
  test_support::CpuModel on_cpu(GetParam(), options);
  ASSERT_EQ(on_cpu.hyper().layers.size(), 4u);
  const auto expected = on_cpu.run(tokens, 9);
  for (std::uint64_t units = 0; units < 256; ++units) {
    PlacedModel placed(GetParam(), options, {units, units % 3 == 0}, {.seed = units});
    // fp32 sums in another order
    EXPECT_LT(test_support::difference_of_range(placed.run(tokens, 9), expected), 1e-4) << units;
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, AllPlacements, testing::Values("gemma3_4l.gguf", "gemma4_4l.gguf"),
                         [](const auto& of) { return std::string(of.param).substr(0, 9); });

}  // namespace
}  // namespace tandem::cuda_test
