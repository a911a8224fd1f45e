#include "model/tensor_type.h"

#include <limits>

#include <gtest/gtest.h>

#include "tests/support/fixture.h"

namespace tandem::model {
namespace {

TEST(TensorType, BlockSizesAreThoseOfTheGgufPackage) {
  const auto blocks = test_support::Fixture::load(test_support::reference_path("blocks.fixture"));
  std::size_t compared = 0;
  for (const auto& info : tensor_types()) {
    if (info.type == TensorType::f32) continue;  // the fixture holds what needs decoding
    const auto name = std::string(info.name);
    // For F16 and BF16 the fixture calls a row of elements a block.
    EXPECT_EQ(blocks.dims(name + ".blocks").at(1) * info.block_elems,
              blocks.dims(name + ".values").at(1) * info.block_bytes)
        << name;
    EXPECT_EQ(blocks.dims(name + ".values").at(1) % info.block_elems, 0U) << name;
    ++compared;
  }
  EXPECT_EQ(compared, 15U);
}

TEST(TensorType, IdsAndNamesLeadBackToTheType) {
  for (const auto& info : tensor_types()) {
    EXPECT_EQ(tensor_type_from_id(static_cast<std::uint32_t>(info.type)), info.type);
    EXPECT_EQ(tensor_type_from_name(info.name), info.type);
    EXPECT_EQ(tensor_type_info(info.type).name, info.name);
    EXPECT_EQ(tensor_type_id_name(static_cast<std::uint32_t>(info.type)), info.name);
  }
}

TEST(TensorType, UnknownIdsHaveNoTypeButAName) {
  for (const std::uint32_t id : {4U, 5U, 9U, 15U, 16U, 26U, 31U, 36U, 40U, 97U, 0xffffffffU}) {
    EXPECT_EQ(tensor_type_from_id(id), std::nullopt) << id;
  }
  EXPECT_EQ(tensor_type_id_name(16), "IQ2_XXS");
  EXPECT_EQ(tensor_type_id_name(4), "type 4");
  EXPECT_EQ(tensor_type_from_name("Q4_9"), std::nullopt);
}

TEST(TensorType, BytesCountWholeBlocksAndNeverWrap) {
  EXPECT_EQ(tensor_bytes(TensorType::q4_0, 3840), 3840U / 32 * 18);
  EXPECT_EQ(tensor_bytes(TensorType::q6_k, 0), 0U);
  EXPECT_EQ(tensor_bytes(TensorType::q4_k, 255), std::nullopt);
  EXPECT_EQ(tensor_bytes(TensorType::f32, std::numeric_limits<std::uint64_t>::max()), std::nullopt);
}

}  // namespace
}  // namespace tandem::model
