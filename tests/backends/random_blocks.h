#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "backends/device.h"

namespace tandem::test_support {

/// Every block type of model-spec 4.3.
inline constexpr device::BlockType kAllBlockTypes[] = {
    device::BlockType::f32,  device::BlockType::f16,    device::BlockType::bf16,   device::BlockType::q4_0,
    device::BlockType::q4_1, device::BlockType::q5_0,   device::BlockType::q5_1,   device::BlockType::q8_0,
    device::BlockType::q2_k, device::BlockType::q3_k,   device::BlockType::q4_k,   device::BlockType::q5_k,
    device::BlockType::q6_k, device::BlockType::iq4_nl, device::BlockType::iq4_xs, device::BlockType::mxfp4};

/// Name as in the fixtures, "Q4_K".
const char* block_type_name(device::BlockType type);

/// A matrix of random valid blocks whose values are of order 0.1 and have both signs.
struct RandomMatrix {
  std::vector<std::byte> data;
  device::Matrix view;

  RandomMatrix(device::BlockType type, std::uint32_t in, std::uint32_t out, std::mt19937& random);
};

}  // namespace tandem::test_support
