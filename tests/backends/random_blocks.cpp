#include "tests/backends/random_blocks.h"

#include <bit>
#include <cstring>

#include "backends/cpu/dequantise.h"
#include "backends/cpu/half.h"

namespace tandem::test_support {
namespace {

using device::BlockType;

/// Byte offsets of a block's fp16 fields, and the range of their exponents so that values come out near 0.1.
struct HalfFields {
  std::vector<std::size_t> offsets;
  float largest;
};

HalfFields half_fields(BlockType type) {
  switch (type) {
    case BlockType::q4_0:
    case BlockType::iq4_nl:
    case BlockType::q5_0:
      return {{0}, 0.01f};
    case BlockType::q8_0:
      return {{0}, 0.001f};
    case BlockType::q4_1:
    case BlockType::q5_1:
      return {{0, 2}, 0.02f};
    case BlockType::q2_k:
      return {{80, 82}, 0.005f};
    case BlockType::q3_k:
      return {{108}, 0.003f};
    case BlockType::q4_k:
    case BlockType::q5_k:
      return {{0, 2}, 0.0003f};
    case BlockType::q6_k:
      return {{208}, 0.0001f};
    case BlockType::iq4_xs:
      return {{0}, 0.0001f};
    default:
      return {{}, 0.0f};
  }
}

void store_half(float value, std::byte* to) {
  const std::uint16_t half = cpu::float_to_half(value);
  std::memcpy(to, &half, sizeof half);
}

void fill_elements(BlockType type, std::vector<std::byte>& data, std::mt19937& random) {
  // Not a normal distribution, whose numbers are not the same on all machines (kernel_bits.cpp).
  std::uniform_real_distribution<float> values(-0.2f, 0.2f);
  const std::size_t bytes = cpu::block_bytes(type);
  for (std::size_t at = 0; at < data.size(); at += bytes) {
    const float value = values(random);
    if (type == BlockType::f32) std::memcpy(&data[at], &value, sizeof value);
    if (type == BlockType::f16) store_half(value, &data[at]);
    if (type == BlockType::bf16) {
      const auto upper = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16);
      std::memcpy(&data[at], &upper, sizeof upper);
    }
  }
}

}  // namespace

const char* block_type_name(BlockType type) {
  switch (type) {
    case BlockType::f32:
      return "F32";
    case BlockType::f16:
      return "F16";
    case BlockType::bf16:
      return "BF16";
    case BlockType::q4_0:
      return "Q4_0";
    case BlockType::q4_1:
      return "Q4_1";
    case BlockType::q5_0:
      return "Q5_0";
    case BlockType::q5_1:
      return "Q5_1";
    case BlockType::q8_0:
      return "Q8_0";
    case BlockType::q2_k:
      return "Q2_K";
    case BlockType::q3_k:
      return "Q3_K";
    case BlockType::q4_k:
      return "Q4_K";
    case BlockType::q5_k:
      return "Q5_K";
    case BlockType::q6_k:
      return "Q6_K";
    case BlockType::iq4_nl:
      return "IQ4_NL";
    case BlockType::iq4_xs:
      return "IQ4_XS";
    case BlockType::mxfp4:
      return "MXFP4";
  }
  return "?";
}

RandomMatrix::RandomMatrix(BlockType type, std::uint32_t in, std::uint32_t out, std::mt19937& random)
    : data(cpu::row_bytes(type, in) * out), view{data.data(), type, in, out} {
  if (cpu::block_elems(type) == 1) {
    fill_elements(type, data, random);
    return;
  }
  for (std::byte& byte : data) byte = static_cast<std::byte>(random());
  const HalfFields fields = half_fields(type);
  std::uniform_real_distribution<float> scales(-fields.largest, fields.largest);
  const std::size_t bytes = cpu::block_bytes(type);
  for (std::size_t at = 0; at < data.size(); at += bytes) {
    for (const std::size_t offset : fields.offsets) store_half(scales(random), &data[at + offset]);
    if (type == BlockType::mxfp4) data[at] = static_cast<std::byte>(118 + random() % 8);
  }
}

}  // namespace tandem::test_support
