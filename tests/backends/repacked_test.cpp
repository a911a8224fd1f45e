#include "backends/cpu/repacked.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cpu/dequantise.h"
#include "backends/cpu/kernel_set.h"
#include "backends/cpu/quantised_row.h"
#include "tests/backends/every_kernel_set.h"
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

  Repacked(const device::Repacker& repacker, const Matrix& w, std::uint32_t rows)
      : bytes(bytes_of(w)), view(w) {
    const std::size_t stride = row_bytes(w.type, w.in);
    for (std::uint32_t row = 0; row < w.out; row += rows) {
      Matrix part = w;
      part.data = static_cast<const std::byte*>(w.data) + row * stride;
      repacker.repack_rows(bytes.data(), part, row, std::min(rows, w.out - row));
    }
    view.data = bytes.data();
    view.layout = repacker.layout();
  }
};

const device::Repacker* const kRepackers[] = {&plane_repacker(), &panel_repacker()};

TEST(Repacked, AreAllTypesInWholePanelsAndTimesSixteenRows) {
  for (const device::Repacker* repacker : kRepackers) {
    for (const BlockType type : kAllBlockTypes) {
      EXPECT_TRUE(repacker->repacks(type, 256, 16)) << block_type_name(type);
      EXPECT_TRUE(repacker->repacks(type, 3840, 262144)) << block_type_name(type);
      EXPECT_FALSE(repacker->repacks(type, 3840, 24)) << block_type_name(type);
      EXPECT_FALSE(repacker->repacks(type, 288, 16)) << block_type_name(type);
      EXPECT_FALSE(repacker->repacks(type, 0, 16)) << block_type_name(type);
    }
    EXPECT_FALSE(repacker->repacks(BlockType{31}, 256, 16));
  }
}

/// Of a block in the file, Q4_0 and Q6_K, whose small fields are two bytes.
struct BlockShape {
  std::size_t bytes, blocks, fields, fields_at, small_at;  ///< `blocks` are in a panel
};
BlockShape shape_of(BlockType type) {
  if (type == BlockType::q4_0) return {18, 8, 1, 2, 0};
  return {210, 1, 13, 0, 208};
}

/// Expects the block of a row at `file` where field f of it lies at field_at(f) and its small fields at
/// `small`.
template <class FieldAt>
void expect_block(const BlockShape& shape, const std::byte* file, std::size_t row, const FieldAt& field_at,
                  const std::byte* small) {
  for (std::size_t byte = 0; byte < shape.fields * 16; ++byte) {
    const std::size_t word = byte % 16 / 4;
    ASSERT_EQ(field_at(byte / 16)[64 * word + 4 * (row % 16) + byte % 4], file[shape.fields_at + byte]);
  }
  ASSERT_EQ(std::memcmp(small + 2 * (row % 16), file + shape.small_at, 2), 0);
}

/// Every byte of a Q4_0 and a Q6_K matrix by the description in repacked.h, written out for each layout.
TEST(Repacked, PlanesLieAsDescribed) {
  std::mt19937 random(1);
  constexpr std::size_t kPanels = 3, kOut = 128 + 48;
  for (const BlockType type : {BlockType::q4_0, BlockType::q6_k}) {
    const RandomMatrix w(type, kPanels * 256, kOut, random);
    const Repacked repacked(plane_repacker(), w.view, 128);
    const BlockShape shape = shape_of(type);
    const std::size_t stride = kPanels * shape.blocks * shape.bytes;
    for (std::size_t row = 0; row < kOut; ++row) {
      const std::size_t slab = row / 128, plane_panels = (slab == 0 ? 8 : 3) * kPanels;
      const std::byte* const at = &repacked.bytes[slab * 128 * stride];
      for (std::size_t n = 0; n < kPanels * shape.blocks; ++n) {
        const std::size_t i = row % 128 / 16 * kPanels + n / shape.blocks, block = n % shape.blocks;
        const auto* const file = static_cast<const std::byte*>(w.view.data) + row * stride + n * shape.bytes;
        expect_block(
            shape, file, row,
            [&](std::size_t field) { return at + ((block * shape.fields + field) * plane_panels + i) * 256; },
            at + shape.blocks * shape.fields * plane_panels * 256 + (i * shape.blocks + block) * 32);
      }
    }
  }
}

TEST(Repacked, PanelsLieAsDescribed) {
  std::mt19937 random(1);
  constexpr std::size_t kPanels = 3, kOut = 128 + 48;
  for (const BlockType type : {BlockType::q4_0, BlockType::q6_k}) {
    const RandomMatrix w(type, kPanels * 256, kOut, random);
    const Repacked repacked(panel_repacker(), w.view, 128);
    const BlockShape shape = shape_of(type);
    const std::size_t stride = kPanels * shape.blocks * shape.bytes;
    for (std::size_t row = 0; row < kOut; ++row) {
      for (std::size_t n = 0; n < kPanels * shape.blocks; ++n) {
        const std::size_t panel = row / 16 * kPanels + n / shape.blocks, block = n % shape.blocks;
        const std::byte* const at = &repacked.bytes[panel * 16 * shape.blocks * shape.bytes];
        const auto* const file = static_cast<const std::byte*>(w.view.data) + row * stride + n * shape.bytes;
        expect_block(
            shape, file, row, [&](std::size_t field) { return at + (block * shape.fields + field) * 256; },
            at + shape.blocks * shape.fields * 256 + block * 32);
      }
    }
  }
}

/// Sixteen columns of a row together, those of sixteen rows one after the other.
TEST(Repacked, FloatsLieAsDescribed) {
  std::mt19937 random(6);
  constexpr std::size_t kIn = 512, kOut = 128 + 48;
  for (const BlockType type : {BlockType::f32, BlockType::f16, BlockType::bf16}) {
    const RandomMatrix w(type, kIn, kOut, random);
    EXPECT_EQ(Repacked(plane_repacker(), w.view, 128).bytes, w.data) << block_type_name(type);
    const Repacked panels(panel_repacker(), w.view, 128);
    const std::size_t bytes = type == BlockType::f32 ? 4 : 2;
    for (std::size_t row = 0; row < kOut; ++row) {
      for (std::size_t column = 0; column < kIn; ++column) {
        const std::size_t elem = row / 16 * 16 * kIn + column / 16 * 256 + row % 16 * 16 + column % 16;
        ASSERT_EQ(std::memcmp(&panels.bytes[elem * bytes], &w.data[(row * kIn + column) * bytes], bytes), 0)
            << block_type_name(type) << " row " << row << " column " << column;
      }
    }
  }
}

TEST(Repacked, GiveBackWhatIsInTheFile) {
  std::mt19937 random(2);
  for (const BlockType type : kAllBlockTypes) {
    const RandomMatrix w(type, 768, 128 + 80, random);
    const std::size_t stride = row_bytes(type, w.view.in);
    const std::uint32_t blocks = w.view.in / block_elems(type);
    for (const device::Repacker* repacker : kRepackers) {
      for (const std::uint32_t rows : {repacker->row_step(), 128u, 256u}) {
        const Repacked repacked(*repacker, w.view, rows);
        for (std::uint32_t row = 0; row < w.view.out; ++row) {
          std::vector<std::byte> back(stride);
          blocks_from_repacked(repacked.view, row, 0, 1, back.data());
          blocks_from_repacked(repacked.view, row, 1, blocks - 1, back.data() + block_bytes(type));
          const auto* const file = static_cast<const std::byte*>(w.view.data) + row * stride;
          ASSERT_EQ(std::memcmp(back.data(), file, stride), 0) << block_type_name(type) << " row " << row;
        }
      }
    }
  }
}

TEST(Repacked, AreDequantisedAsRowsAre) {
  std::mt19937 random(3);
  for (const BlockType type : kAllBlockTypes) {
    const RandomMatrix w(type, 512, 144, random);
    for (const device::Repacker* repacker : kRepackers) {
      const Repacked repacked(*repacker, w.view, 128);
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
}

class EverySetOnRepacked : public testing::TestWithParam<const KernelSet*> {};

/// Rows of activations as weights of `type` multiply them.
struct RandomActivations {
  std::vector<std::byte> bytes;
  Activations view;

  RandomActivations(const KernelSet& kernels, BlockType type, std::uint32_t in, std::uint32_t rows,
                    std::mt19937& random) {
    const QuantisedLayout layout{in};
    const std::size_t stride = takes_floats(type) ? in * sizeof(float) : layout.row_bytes();
    bytes.resize(stride * rows);
    std::normal_distribution<float> values;
    for (std::uint32_t r = 0; r < rows; ++r) {
      std::vector<float> x(in);
      for (float& value : x) value = values(random);
      std::byte* const row = &bytes[r * stride];
      takes_floats(type) ? static_cast<void>(std::memcpy(row, x.data(), stride))
                         : kernels.quantise(x.data(), layout, 0, in, row);
    }
    view = {bytes.data(), stride, rows};
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

/// Expects products with a matrix of three panels and `out` rows to be the same in all layouts.
void expect_products_of_rows(const KernelSet& kernels, BlockType type, std::uint32_t out,
                             std::mt19937& random) {
  const RandomMatrix w(type, 768, out, random);
  const Repacked planes(plane_repacker(), w.view, 128), panels(panel_repacker(), w.view, 128);
  for (const std::uint32_t rows : {1u, 2u, 3u, 4u, 5u, 8u, 9u, 12u, 16u, 17u, 24u, 25u, 32u, 50u}) {
    const RandomActivations x(kernels, type, w.view.in, rows, random);
    const std::vector<float> expected = product(kernels, w.view, x.view, 0, out, out);
    for (const std::uint32_t step : {16u, 48u, out}) {
      for (const Repacked* repacked : {&planes, &panels}) {
        const std::vector<float> y = product(kernels, repacked->view, x.view, 0, out, step);
        ASSERT_EQ(std::memcmp(y.data(), expected.data(), y.size() * sizeof(float)), 0)
            << block_type_name(type) << ", " << out << " x " << rows << " rows, " << step
            << " outputs at a time";
      }
    }
  }
}

/// What rows give is compared with a scalar reference elsewhere.
TEST_P(EverySetOnRepacked, AProductIsThatOfRowsToTheBit) {
  std::mt19937 random(4);
  for (const BlockType type : kAllBlockTypes) expect_products_of_rows(*GetParam(), type, 128 + 80, random);
}

TEST_P(EverySetOnRepacked, LongRowsAreThoseOfRowsToo) {
  const KernelSet& kernels = *GetParam();
  std::mt19937 random(5);
  for (const BlockType type : {BlockType::q4_0, BlockType::q6_k, BlockType::q4_k, BlockType::f16}) {
    const RandomMatrix w(type, 16384 + 512, 16, random);
    for (const device::Repacker* repacker : kRepackers) {
      const Repacked repacked(*repacker, w.view, 128);
      for (const std::uint32_t rows : {1u, 3u, 8u}) {
        const RandomActivations x(kernels, type, w.view.in, rows, random);
        const std::vector<float> y = product(kernels, repacked.view, x.view, 0, 16, 16);
        ASSERT_EQ(y, product(kernels, w.view, x.view, 0, 16, 16)) << block_type_name(type);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(KernelSets, EverySetOnRepacked, every_kernel_set(), name_of_set);

}  // namespace
}  // namespace tandem::cpu
