#include "daemon/calibration/weight_block.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cpu/dequantise.h"
#include "daemon/calibration/cpu_products.h"

namespace tandem::calibration {
namespace {

TEST(WeightBlock, IsSaneInEveryType) {
  constexpr std::uint32_t kElems = 4096;
  const WeightBlock block(kElems * sizeof(float));
  for (const auto type : cpu_types()) {
    std::vector<float> values(kElems);
    cpu::dequantise(static_cast<device::BlockType>(type), block.bytes().data(), kElems, values.data());
    std::size_t zeros = 0;
    for (const auto value : values) {
      zeros += value == 0 ? 1 : 0;
      ASSERT_TRUE(value == 0 || std::isnormal(value)) << model::tensor_type_info(type).name << " " << value;
    }
    EXPECT_LT(zeros, kElems / 4) << model::tensor_type_info(type).name;
  }
}

TEST(WeightBlock, EveryTypeOfTheCpuIsMeasuredOnce) {
  auto types = cpu_types();
  std::sort(types.begin(), types.end());
  std::vector<model::TensorType> known;
  for (const auto& info : model::tensor_types()) known.push_back(info.type);
  EXPECT_EQ(types, known);
}

TEST(WeightBlock, AnFfnHalfIsThreeMatricesInARow) {
  const FfnShape shape{256, 1024};
  const WeightBlock block(2 * ffn_bytes(shape, device::BlockType::q4_0));
  const auto half =
      ffn_at(shape, device::BlockType::q4_0, device::WeightLayout::rows, block.bytes().data(), 18);
  constexpr std::size_t kMatrix = 256 * 1024 / 32 * 18;
  EXPECT_EQ(ffn_bytes(shape, device::BlockType::q4_0), 3 * kMatrix);
  EXPECT_EQ(half.gate.data, block.bytes().data() + 18);
  EXPECT_EQ(half.up.data, block.bytes().data() + 18 + kMatrix);
  EXPECT_EQ(half.down.data, block.bytes().data() + 18 + 2 * kMatrix);
  EXPECT_EQ(half.gate.in, 256U);
  EXPECT_EQ(half.up.out, 1024U);
  EXPECT_EQ(half.down.in, 1024U);
  EXPECT_EQ(half.down.out, 256U);
}

}  // namespace
}  // namespace tandem::calibration
