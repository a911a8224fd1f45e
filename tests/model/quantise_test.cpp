#include "model/quantise.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cpu/dequantise.h"
#include "tests/support/fixture.h"

namespace tandem::model {
namespace {

using test_support::Fixture;

std::vector<float> back(TensorType type, const std::vector<std::byte>& blocks, std::size_t elems) {
  std::vector<float> values(elems);
  cpu::dequantise(static_cast<device::BlockType>(type), blocks.data(), static_cast<std::uint32_t>(elems),
                  values.data());
  return values;
}

std::vector<std::byte> quantised(TensorType from, const void* row, std::size_t elems, TensorType to) {
  std::vector<std::byte> blocks(tensor_bytes(to, elems).value());
  const auto bytes = tensor_bytes(from, elems).value();
  quantise_row(from, {static_cast<const std::byte*>(row), bytes}, to, blocks);
  return blocks;
}

TEST(Quantise, Q8_0IsBitExactWithTheGgufPackage) {
  const auto fixture = Fixture::load(test_support::reference_path("quantised.fixture"));
  const auto halves = fixture.u8("rows.f16");
  const auto floats = fixture.f32("rows.values");
  const auto expected = fixture.u8("Q8_0.blocks");
  ASSERT_EQ(halves.size(), 2 * floats.size());
  for (const auto& blocks : {quantised(TensorType::f16, halves.data(), floats.size(), TensorType::q8_0),
                             quantised(TensorType::f32, floats.data(), floats.size(), TensorType::q8_0)}) {
    ASSERT_EQ(blocks.size(), expected.size());
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      ASSERT_EQ(static_cast<std::uint8_t>(blocks[i]), static_cast<std::uint8_t>(expected[i])) << "byte " << i;
    }
  }
}

TEST(Quantise, Bf16IsItsUpperHalf) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  std::vector<std::uint32_t> floats(256);
  std::vector<std::uint16_t> upper(256);
  for (std::size_t i = 0; i < floats.size(); ++i) {
    const auto value = normal(random);
    std::memcpy(&floats[i], &value, sizeof value);
    upper[i] = static_cast<std::uint16_t>(floats[i] >> 16U);
    floats[i] = static_cast<std::uint32_t>(upper[i]) << 16U;
  }
  for (const auto type : {TensorType::q8_0, TensorType::q6_k}) {
    EXPECT_EQ(quantised(TensorType::bf16, upper.data(), 256, type),
              quantised(TensorType::f32, floats.data(), 256, type));
  }
}

/// Levels of a group are `step` apart and reach from -32 to 31 of them.  A value is off by half a step at
/// most, or by one where it is beyond 31; the step is within a 16th of peak / 32, and its rounding to 8 bits
/// of the largest step of the block moves the 32nd level by at most 32 halves of 128ths of that.  Peaks are
/// large enough for the scale of scales to be a normal half.
TEST(Quantise, Q6_KStaysWithinAStepOfItsScales) {
  std::mt19937 random(6);
  std::normal_distribution<float> normal;
  for (int round = 0; round < 400; ++round) {
    std::vector<float> values(512);
    const auto magnitude = std::exp2(static_cast<float>(round % 20) - 4);
    for (auto& value : values) value = normal(random) * magnitude;
    const auto stored =
        back(TensorType::q6_k, quantised(TensorType::f32, values.data(), 512, TensorType::q6_k), 512);
    for (std::size_t block = 0; block < 512; block += 256) {
      float largest = 0;
      for (std::size_t i = 0; i < 256; ++i) largest = std::max(largest, std::fabs(values[block + i]));
      const auto largest_step = largest / 30.5F;
      for (std::size_t group = 0; group < 256; group += 16) {
        float peak = 0;
        for (std::size_t i = 0; i < 16; ++i) peak = std::max(peak, std::fabs(values[block + group + i]));
        const auto step = peak / 30.5F + largest_step / 256;
        for (std::size_t i = 0; i < 16; ++i) {
          const auto at = block + group + i;
          ASSERT_LE(std::fabs(stored[at] - values[at]), step + largest_step * 32 / 256 + 2 * step)
              << "round " << round << " element " << at;
        }
      }
    }
  }
}

TEST(Quantise, Q6_KOfGaussianValuesIsCloserThanAQuarterStepOnAverage) {
  // A uniform quantiser's error is step / sqrt(12); the peak of 16 Gaussian values is 1.77 on average, so a
  // step is about 1.77 / 32 and the error 0.016.  A quarter of the step at twice the deviation is 0.0156 * 2.
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::vector<float> values(256 * 200);
  for (auto& value : values) value = normal(random);
  const auto stored =
      back(TensorType::q6_k, quantised(TensorType::f32, values.data(), values.size(), TensorType::q6_k),
           values.size());
  double squares = 0;
  for (std::size_t i = 0; i < values.size(); ++i) squares += std::pow(stored[i] - values[i], 2);
  EXPECT_LT(std::sqrt(squares / static_cast<double>(values.size())), 1.77 / 32 / 2);
}

TEST(Quantise, ZerosStayZeros) {
  const std::vector<float> zeros(256);
  for (const auto type : {TensorType::q8_0, TensorType::q6_k}) {
    EXPECT_EQ(back(type, quantised(TensorType::f32, zeros.data(), 256, type), 256), zeros);
  }
}

TEST(Quantise, KnowsWhatItCan) {
  EXPECT_TRUE(can_quantise(TensorType::f16, TensorType::q6_k));
  EXPECT_TRUE(can_quantise(TensorType::bf16, TensorType::q8_0));
  EXPECT_FALSE(can_quantise(TensorType::q8_0, TensorType::q6_k));
  EXPECT_FALSE(can_quantise(TensorType::f16, TensorType::q4_0));
}

}  // namespace
}  // namespace tandem::model
