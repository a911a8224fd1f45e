#include "backends/cpu/dequantise.h"

#include <bit>
#include <vector>

#include <gtest/gtest.h>

#include "tests/backends/random_blocks.h"
#include "tests/support/fixture.h"

namespace tandem::cpu {
namespace {

using test_support::block_type_name;
using test_support::Fixture;
using test_support::kAllBlockTypes;
using test_support::reference_path;

class Dequantise : public testing::TestWithParam<device::BlockType> {};

TEST_P(Dequantise, IsBitExactWithTheGgufPackage) {
  static const Fixture fixture = Fixture::load(reference_path("blocks.fixture"));
  const std::string name = block_type_name(GetParam());
  const auto blocks = fixture.u8(name + ".blocks");
  const auto expected = fixture.f32(name + ".values");
  const std::size_t rows = fixture.dims(name + ".blocks")[0];
  const std::size_t row_elems = expected.size() / rows;
  ASSERT_EQ(blocks.size(), rows * row_bytes(GetParam(), static_cast<std::uint32_t>(row_elems)));

  std::vector<float> values(expected.size());
  dequantise(GetParam(), reinterpret_cast<const std::byte*>(blocks.data()),
             static_cast<std::uint32_t>(expected.size()), values.data());
  for (std::size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(values[i]), std::bit_cast<std::uint32_t>(expected[i]))
        << name << " element " << i << ": " << values[i] << " for " << expected[i];
  }
}

INSTANTIATE_TEST_SUITE_P(BlockTypes, Dequantise,
                         testing::ValuesIn(std::begin(kAllBlockTypes) + 1, std::end(kAllBlockTypes)),
                         [](const auto& test) { return block_type_name(test.param); });

TEST(DequantiseSizes, AreThoseOfTheFormat) {
  EXPECT_EQ(row_bytes(device::BlockType::q4_0, 3840), 3840u / 32 * 18);
  EXPECT_EQ(row_bytes(device::BlockType::q6_k, 3840), 3840u / 256 * 210);
  EXPECT_EQ(row_bytes(device::BlockType::f32, 7), 28u);
  EXPECT_EQ(block_elems(static_cast<device::BlockType>(9)), 0u);
}

TEST(DequantiseF32, Copies) {
  const float values[] = {1.5f, -0.0f, 3e-40f};
  float copy[3];
  dequantise(device::BlockType::f32, reinterpret_cast<const std::byte*>(values), 3, copy);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(std::bit_cast<std::uint32_t>(copy[i]), std::bit_cast<std::uint32_t>(values[i]));
  }
}

}  // namespace
}  // namespace tandem::cpu
