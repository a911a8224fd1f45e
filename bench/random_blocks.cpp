#include "bench/random_blocks.h"

#include <array>
#include <cmath>
#include <cstring>

namespace tandem::bench {
namespace {

using model::TensorType;

constexpr std::size_t kScales = 256;

/// fp16 bits of `value`, rounded to nearest; |value| below 65520.
std::uint16_t half_bits(float value) {
  const std::uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const float magnitude = std::fabs(value);
  if (magnitude < 0x1p-14f) return sign | static_cast<std::uint16_t>(std::lrint(magnitude * 0x1p24f));
  int exponent = 0;
  const float fraction = std::frexp(magnitude, &exponent);  // in [0.5, 1)
  const auto mantissa =
      static_cast<std::uint32_t>(std::lrint(fraction * 0x1p11f));  // 2^11 carries into the exponent
  return sign | static_cast<std::uint16_t>((static_cast<std::uint32_t>(exponent + 13) << 10) + mantissa);
}

void put16(std::byte* at, std::uint16_t value) {
  std::memcpy(at, &value, sizeof value);
}

/// What a block's fp16 fields are drawn from, the minimum belonging to its scale.
struct ScaleTable {
  std::array<std::uint16_t, kScales> scale;
  std::array<std::uint16_t, kScales> minimum;
};

/// Scales of both signs, sizes spread by a factor of three, root mean square `rms`; minimum = scale * centre.
ScaleTable make_scales(float rms, float centre) {
  ScaleTable table{};
  constexpr float kSpreadRms = 1.0408f;  // of a uniform distribution on [0.5, 1.5]
  constexpr std::size_t kSizes = kScales / 2;
  for (std::size_t i = 0; i < kScales; ++i) {
    const std::size_t step = i / 2;
    const float size = 0.5f + (static_cast<float>(step) + 0.5f) / kSizes;
    const float scale = (i % 2 == 0 ? rms : -rms) * size / kSpreadRms;
    table.scale[i] = half_bits(scale);
    table.minimum[i] = half_bits(scale * centre);
  }
  return table;
}

/// How the fixed fields of a quantised type lie around its random bits.
struct Layout {
  TensorType type;
  float unit_deviation;  ///< of a weight whose block scale is 1 and whose other bits are random
  std::size_t scale_at;
  std::size_t minimum_at;  ///< 0: the type has none
  float centre;            ///< the minimum for a scale of 1 that makes the mean 0
};

// unit_deviation is the root of: the mean square of the quants about their centre (21.25 for 4 bits, 85.25
// for 5; signed 5.5 for 3 bits, 21.5 for 4, 85.5 for 5, 341.5 for 6; 5460.5 for int8 without -128; 4548 for
// the table of IQ4), times that of the sub-scales (77.5 for 4 bits, 1333.5 for 6; signed 341.5 for 6, 5461.5
// for int8).
constexpr std::array kLayouts{
    Layout{TensorType::q4_0, 4.6368f, 0, 0, 0.0f},   Layout{TensorType::q4_1, 4.6098f, 0, 2, -7.5f},
    Layout{TensorType::q5_0, 9.2466f, 0, 0, 0.0f},   Layout{TensorType::q5_1, 9.2331f, 0, 2, -15.5f},
    Layout{TensorType::q8_0, 73.895f, 0, 0, 0.0f},   Layout{TensorType::q2_k, 9.8425f, 80, 82, 1.5f},
    Layout{TensorType::q3_k, 43.339f, 108, 0, 0.0f}, Layout{TensorType::q4_k, 168.34f, 0, 2, 7.5f},
    Layout{TensorType::q5_k, 337.17f, 0, 2, 15.5f},  Layout{TensorType::q6_k, 1365.7f, 208, 0, 0.0f},
    Layout{TensorType::iq4_nl, 67.439f, 0, 0, 0.0f}, Layout{TensorType::iq4_xs, 1246.3f, 0, 0, 0.0f},
};

void fill_random_bits(Random& random, std::span<std::byte> out) {
  std::size_t at = 0;
  for (; at + sizeof(std::uint64_t) <= out.size(); at += sizeof(std::uint64_t)) {
    const auto bits = random.next();
    std::memcpy(out.data() + at, &bits, sizeof bits);
  }
  const auto bits = random.next();
  std::memcpy(out.data() + at, &bits, out.size() - at);
}

/// Makes the random sub-minima of a block equal to its sub-scales, so that `Layout::centre` holds for each.
void tie_minima_to_scales(TensorType type, std::byte* block) {
  if (type == TensorType::q2_k) {
    constexpr std::size_t kScaleBytes = 16;
    for (std::size_t i = 0; i < kScaleBytes; ++i) block[i] = (block[i] & std::byte{15}) | (block[i] << 4);
  }
  if (type == TensorType::q4_k || type == TensorType::q5_k) {
    std::byte* scales = block + 4;  // 12 bytes: model-spec 4.3
    std::memcpy(scales + 4, scales, 4);
    for (std::size_t i = 8; i < 12; ++i) scales[i] = (scales[i] & std::byte{15}) | (scales[i] << 4);
  }
}

void fill_quantised(const Layout& layout, float deviation, Random& random, std::span<std::byte> out) {
  const auto scales = make_scales(deviation / layout.unit_deviation, layout.centre);
  const std::size_t block_bytes = model::tensor_type_info(layout.type).block_bytes;
  fill_random_bits(random, out);
  for (std::size_t at = 0; at < out.size(); at += block_bytes) {
    std::byte* block = out.data() + at;
    const auto choice = random.next() % kScales;
    if (layout.type == TensorType::q8_0) {
      // No quantiser writes -128.
      for (std::size_t i = 2; i < block_bytes; ++i) {
        if (block[i] == std::byte{0x80}) block[i] = std::byte{0x7f};
      }
    }
    tie_minima_to_scales(layout.type, block);
    put16(block + layout.scale_at, scales.scale[choice]);
    if (layout.minimum_at != 0) put16(block + layout.minimum_at, scales.minimum[choice]);
  }
}

/// The scale of MXFP4 is a power of two: two neighbours are mixed so that their mean square is right.
void fill_mxfp4(float deviation, Random& random, std::span<std::byte> out) {
  constexpr float kUnitDeviation = 5.8523f;  // of the 16 values
  constexpr int kExponentBias = 128;
  const float scale = deviation / kUnitDeviation;
  const float exponent = std::floor(std::log2(scale));
  const float ratio = scale / std::exp2(exponent);  // in [1, 2)
  const auto larger_of_256 = static_cast<std::uint64_t>((ratio * ratio - 1.0f) / 3.0f * 256.0f);
  const auto block_bytes = model::tensor_type_info(TensorType::mxfp4).block_bytes;
  fill_random_bits(random, out);
  for (std::size_t at = 0; at < out.size(); at += block_bytes) {
    const int larger = random.next() % 256 < larger_of_256 ? 1 : 0;
    out[at] = static_cast<std::byte>(static_cast<int>(exponent) + kExponentBias + larger);
  }
}

/// Unquantised weights are uniform.
void fill_floats(float deviation, Random& random, std::span<std::byte> out) {
  const float limit = deviation * std::sqrt(3.0f);
  for (std::size_t at = 0; at < out.size(); at += sizeof(float)) {
    const float value = random.uniform(-limit, limit);
    std::memcpy(out.data() + at, &value, sizeof value);
  }
}

std::uint16_t bfloat_bits(float value) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  return static_cast<std::uint16_t>((bits + 0x8000) >> 16);
}

void fill_halves(std::uint16_t (*to_bits)(float), float deviation, Random& random, std::span<std::byte> out) {
  constexpr std::size_t kValues = 4096;
  const float limit = deviation * std::sqrt(3.0f);
  std::array<std::uint16_t, kValues> values{};
  for (std::size_t i = 0; i < kValues; ++i) {
    values[i] = to_bits(limit * (2.0f * (static_cast<float>(i) + 0.5f) / kValues - 1.0f));
  }
  constexpr std::size_t kDrawsOfABlock = 5;  // of 12 bits, in 64
  for (std::size_t at = 0; at < out.size();) {
    auto bits = random.next();
    for (std::size_t i = 0; i < kDrawsOfABlock && at < out.size(); ++i, at += sizeof(std::uint16_t)) {
      put16(out.data() + at, values[bits % kValues]);
      bits /= kValues;
    }
  }
}

}  // namespace

void fill_random_blocks(TensorType type, float deviation, std::uint64_t seed, std::span<std::byte> out) {
  Random random(seed);
  if (type == TensorType::f32) return fill_floats(deviation, random, out);
  if (type == TensorType::f16) return fill_halves(half_bits, deviation, random, out);
  if (type == TensorType::bf16) return fill_halves(bfloat_bits, deviation, random, out);
  if (type == TensorType::mxfp4) return fill_mxfp4(deviation, random, out);
  for (const auto& layout : kLayouts) {
    if (layout.type == type) return fill_quantised(layout, deviation, random, out);
  }
}

}  // namespace tandem::bench
