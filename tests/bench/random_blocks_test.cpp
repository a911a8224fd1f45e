#include "bench/random_blocks.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cpu/dequantise.h"

namespace tandem::bench {
namespace {

using model::TensorType;

class RandomBlocks : public testing::TestWithParam<TensorType> {
 protected:
  static constexpr std::size_t kBlocks = 4096;
  static constexpr float kDeviation = 0.008f;  // of the widest matrix in the catalogue

  std::vector<std::byte> blocks(std::uint64_t seed) const {
    const auto& info = model::tensor_type_info(GetParam());
    // As many elements for types without blocks as for those with blocks of 256.
    const std::size_t count = info.block_elems == 1 ? kBlocks * 256 : kBlocks;
    std::vector<std::byte> out(count * info.block_bytes);
    fill_random_blocks(GetParam(), kDeviation, seed, out);
    return out;
  }

  std::vector<float> values(std::uint64_t seed) const {
    const auto& info = model::tensor_type_info(GetParam());
    const auto bytes = blocks(seed);
    std::vector<float> out(bytes.size() / info.block_bytes * info.block_elems);
    cpu::dequantise(static_cast<device::BlockType>(GetParam()), bytes.data(),
                    static_cast<std::uint32_t>(out.size()), out.data());
    return out;
  }
};

TEST_P(RandomBlocks, HaveMeanZeroAndTheDeviationAskedFor) {
  const auto weights = values(1);
  double sum = 0;
  double squares = 0;
  for (const double weight : weights) {
    ASSERT_TRUE(std::isfinite(weight));
    sum += weight;
    squares += weight * weight;
  }
  const auto n = static_cast<double>(weights.size());
  // At least 130,000 weights: five standard errors of the mean are 0.014, and blocks of one scale a little
  // more.
  EXPECT_NEAR(sum / n / kDeviation, 0.0, 0.02);
  EXPECT_NEAR(std::sqrt(squares / n) / kDeviation, 1.0, 0.03);
}

TEST_P(RandomBlocks, DifferFromBlockToBlock) {
  const auto& info = model::tensor_type_info(GetParam());
  const auto bytes = blocks(1);
  const std::size_t row = info.block_bytes * std::size_t{info.block_elems == 1 ? 32U : 1U};
  std::size_t repeats = 0;
  for (std::size_t at = row; at + row <= bytes.size(); at += row) {
    if (std::equal(bytes.begin() + at, bytes.begin() + at + row, bytes.begin() + at - row)) ++repeats;
  }
  EXPECT_EQ(repeats, 0U);
}

TEST_P(RandomBlocks, FollowTheSeed) {
  EXPECT_EQ(blocks(1), blocks(1));
  EXPECT_NE(blocks(1), blocks(2));
}

std::vector<TensorType> all_types() {
  std::vector<TensorType> types;
  for (const auto& info : model::tensor_types()) types.push_back(info.type);
  return types;
}

std::string name_of(const testing::TestParamInfo<TensorType>& test) {
  return std::string(model::tensor_type_info(test.param).name);
}

INSTANTIATE_TEST_SUITE_P(EveryType, RandomBlocks, testing::ValuesIn(all_types()), name_of);

TEST(RandomBlocksOfQ8, NeverHoldWhatNoQuantiserWrites) {
  std::vector<std::byte> blocks(4096 * 34);
  fill_random_blocks(TensorType::q8_0, 1.0f, 3, blocks);
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const bool is_quant = i % 34 >= 2;
    ASSERT_FALSE(is_quant && blocks[i] == std::byte{0x80}) << i;
  }
}

}  // namespace
}  // namespace tandem::bench
