#include "backends/cpu/planes.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cpu/dequantise.h"
#include "backends/cpu/kernel_set.h"
#include "backends/cpu/quantised_row.h"
#include "tests/backends/random_blocks.h"

namespace tandem::cpu {
namespace {

using device::BlockType;
using device::Matrix;
using test_support::block_type_name;
using test_support::kAllBlockTypes;
using test_support::RandomMatrix;

std::size_t bytes_of(const Matrix& w) {
  return row_bytes(w.type, w.in) * w.out;
}

/// A matrix repacked in ranges of `rows` rows.
struct Repacked {
  std::vector<std::byte> bytes;
  Matrix view;

  Repacked(const Matrix& w, std::uint32_t rows) : bytes(bytes_of(w)), view(w) {
    const std::size_t stride = row_bytes(w.type, w.in);
    for (std::uint32_t row = 0; row < w.out; row += rows) {
      Matrix part = w;
      part.data = static_cast<const std::byte*>(w.data) + row * stride;
      plane_repacker().repack_rows(bytes.data(), part, row, std::min(rows, w.out - row));
    }
    view.data = bytes.data();
    view.layout = device::WeightLayout::planes;
  }
};

std::vector<BlockType> packed_types() {
  std::vector<BlockType> types;
  for (const BlockType type : kAllBlockTypes) {
    if (!takes_floats(type)) types.push_back(type);
  }
  return types;
}

TEST(Planes, AreForBlockTypesInWholePanelsAndGroups) {
  const device::Repacker& repacker = plane_repacker();
  for (const BlockType type : packed_types()) {
    EXPECT_TRUE(repacker.repacks(type, 256, 16)) << block_type_name(type);
    EXPECT_TRUE(repacker.repacks(type, 3840, 262144)) << block_type_name(type);
    EXPECT_FALSE(repacker.repacks(type, 3840, 24)) << block_type_name(type);
    EXPECT_FALSE(repacker.repacks(type, 288, 16)) << block_type_name(type);
    EXPECT_FALSE(repacker.repacks(type, 0, 16)) << block_type_name(type);
  }
  for (const BlockType type : {BlockType::f32, BlockType::f16, BlockType::bf16, BlockType{31}}) {
    EXPECT_FALSE(repacker.repacks(type, 256, 16));
  }
}

/// Every byte of a Q4_0 and a Q6_K matrix by the description in planes.h, written out for each.
TEST(Planes, LieAsDescribed) {
  std::mt19937 random(1);
  constexpr std::size_t kPanels = 3, kOut = 128 + 48;
  for (const BlockType type : {BlockType::q4_0, BlockType::q6_k}) {
    const RandomMatrix w(type, kPanels * 256, kOut, random);
    const Repacked repacked(w.view, 128);
    const bool small_blocks = type == BlockType::q4_0;
    const std::size_t block_bytes = small_blocks ? 18 : 210, blocks = small_blocks ? 8 : 1,
                      fields = small_blocks ? 1 : 13, fields_at = small_blocks ? 2 : 0,
                      scale_at = small_blocks ? 0 : 208, stride = kPanels * blocks * block_bytes;
    for (std::size_t row = 0; row < kOut; ++row) {
      const std::size_t slab = row / 128, groups = slab == 0 ? 8 : 3, lane = row % 16;
      const std::byte* const at = &repacked.bytes[slab * 128 * stride];
      for (std::size_t panel = 0; panel < kPanels; ++panel) {
        const std::size_t i = row % 128 / 16 * kPanels + panel;
        for (std::size_t block = 0; block < blocks; ++block) {
          const std::byte* const file = static_cast<const std::byte*>(w.view.data) + row * stride +
                                        (panel * blocks + block) * block_bytes;
          for (std::size_t byte = 0; byte < fields * 16; ++byte) {
            const std::size_t plane = block * fields + byte / 16, word = byte % 16 / 4;
            ASSERT_EQ(at[(plane * groups * kPanels + i) * 256 + 64 * word + 4 * lane + byte % 4],
                      file[fields_at + byte]);
          }
          const std::byte* const small =
              at + blocks * fields * groups * kPanels * 256 + (i * blocks + block) * 32 + 2 * lane;
          ASSERT_EQ(std::memcmp(small, file + scale_at, 2), 0);
        }
      }
    }
  }
}

TEST(Planes, GiveBackWhatIsInTheFile) {
  std::mt19937 random(2);
  for (const BlockType type : packed_types()) {
    const RandomMatrix w(type, 768, 128 + 80, random);
    const std::size_t stride = row_bytes(type, w.view.in);
    const std::uint32_t blocks = w.view.in / block_elems(type);
    for (const std::uint32_t rows : {128u, 256u}) {
      const Repacked repacked(w.view, rows);
      for (std::uint32_t row = 0; row < w.view.out; ++row) {
        std::vector<std::byte> back(stride);
        blocks_from_planes(repacked.view, row, 0, 1, back.data());
        blocks_from_planes(repacked.view, row, 1, blocks - 1, back.data() + block_bytes(type));
        const auto* const file = static_cast<const std::byte*>(w.view.data) + row * stride;
        ASSERT_EQ(std::memcmp(back.data(), file, stride), 0) << block_type_name(type) << " row " << row;
      }
    }
  }
}

TEST(Planes, AreDequantisedAsRowsAre) {
  std::mt19937 random(3);
  for (const BlockType type : packed_types()) {
    const RandomMatrix w(type, 512, 144, random);
    const Repacked repacked(w.view, 128);
    std::vector<float> expected(w.view.in), values(w.view.in);
    for (const std::uint32_t row : {0u, 15u, 16u, 127u, 128u, 143u}) {
      dequantise(type, static_cast<const std::byte*>(w.view.data) + row * row_bytes(type, w.view.in),
                 w.view.in, expected.data());
      dequantise_row(repacked.view, row, values.data());
      ASSERT_EQ(std::memcmp(values.data(), expected.data(), values.size() * sizeof(float)), 0)
          << block_type_name(type) << " row " << row;
    }
  }
}

class EverySetInPlanes : public testing::TestWithParam<const KernelSet*> {};

/// Rows of quantised activations.
struct QuantisedRows {
  std::vector<std::byte> bytes;
  Activations view;

  QuantisedRows(const KernelSet& kernels, std::uint32_t in, std::uint32_t rows, std::mt19937& random) {
    const QuantisedLayout layout{in};
    bytes.resize(layout.row_bytes() * rows);
    std::normal_distribution<float> values;
    for (std::uint32_t r = 0; r < rows; ++r) {
      std::vector<float> x(in);
      for (float& value : x) value = values(random);
      kernels.quantise(x.data(), layout, 0, in, &bytes[r * layout.row_bytes()]);
    }
    view = {bytes.data(), layout.row_bytes(), rows};
  }
};

/// Outputs [first, end), `step` of them at a time.
std::vector<float> product(const KernelSet& kernels, const Matrix& w, const Activations& x,
                           std::uint32_t first, std::uint32_t end, std::uint32_t step) {
  std::vector<float> y(std::size_t{x.n} * w.out);
  for (std::uint32_t out = first; out < end; out += step) {
    kernels.multiply[static_cast<std::size_t>(w.type)](w, out, std::min(step, end - out), x, y.data(), w.out);
  }
  return y;
}

/// What rows give is compared with a scalar reference elsewhere.
TEST_P(EverySetInPlanes, AProductIsThatOfRowsToTheBit) {
  const KernelSet& kernels = *GetParam();
  std::mt19937 random(4);
  for (const BlockType type : packed_types()) {
    const RandomMatrix w(type, 768, 128 + 80, random);
    const Repacked repacked(w.view, 128);
    for (const std::uint32_t rows : {1u, 2u, 3u, 4u, 5u, 8u, 9u, 31u, 32u, 50u}) {
      const QuantisedRows x(kernels, w.view.in, rows, random);
      const std::vector<float> expected = product(kernels, w.view, x.view, 0, w.view.out, w.view.out);
      for (const std::uint32_t step : {16u, 48u, w.view.out}) {
        const std::vector<float> y = product(kernels, repacked.view, x.view, 0, w.view.out, step);
        ASSERT_EQ(std::memcmp(y.data(), expected.data(), y.size() * sizeof(float)), 0)
            << block_type_name(type) << ", " << rows << " rows, " << step << " outputs at a time";
      }
    }
  }
}

TEST_P(EverySetInPlanes, LongRowsAreThoseOfRowsToo) {
  const KernelSet& kernels = *GetParam();
  std::mt19937 random(5);
  for (const BlockType type : {BlockType::q4_0, BlockType::q6_k, BlockType::q4_k}) {
    const RandomMatrix w(type, 16384 + 512, 16, random);
    const Repacked repacked(w.view, 128);
    for (const std::uint32_t rows : {1u, 3u, 8u}) {
      const QuantisedRows x(kernels, w.view.in, rows, random);
      const std::vector<float> y = product(kernels, repacked.view, x.view, 0, 16, 16);
      ASSERT_EQ(y, product(kernels, w.view, x.view, 0, 16, 16)) << block_type_name(type);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(KernelSets, EverySetInPlanes, testing::ValuesIn(supported_kernel_sets()),
                         [](const auto& test) {
                           std::string name = test.param->name;
                           std::erase(name, '-');
                           return name;
                         });

}  // namespace
}  // namespace tandem::cpu
