#include "backends/cpu/kernel_set.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cpu/dequantise.h"
#include "backends/cpu/half.h"
#include "backends/cpu/quantised_row.h"
#include "tests/backends/every_kernel_set.h"
#include "tests/backends/random_blocks.h"

namespace tandem::cpu {
namespace {

using device::BlockType;
using test_support::block_type_name;
using test_support::kAllBlockTypes;
using test_support::RandomMatrix;

std::vector<float> random_floats(std::size_t n, float sigma, std::mt19937& random) {
  std::normal_distribution<float> values(0.0f, sigma);
  std::vector<float> result(n);
  for (float& value : result) value = values(random);
  return result;
}

/// Activation rows as one kernel set wants them, and the values they stand for.
struct ActivationRows {
  std::vector<std::byte> bytes;
  std::vector<double> values;  ///< (rows, in)
  Activations view;

  ActivationRows(const KernelSet& kernels, BlockType type, const std::vector<float>& x, std::uint32_t rows) {
    const auto in = static_cast<std::uint32_t>(x.size() / rows);
    const QuantisedLayout layout{in};
    const std::size_t stride = takes_floats(type) ? in * sizeof(float) : layout.row_bytes();
    bytes.resize(stride * rows);
    for (std::size_t r = 0; r < rows; ++r) {
      std::byte* row = bytes.data() + r * stride;
      if (takes_floats(type)) {
        std::memcpy(row, &x[r * in], stride);
        for (std::size_t i = 0; i < in; ++i) values.push_back(x[r * in + i]);
        continue;
      }
      kernels.quantise(&x[r * in], layout, 0, in, row);
      const auto* quants = reinterpret_cast<const std::int8_t*>(row);
      const auto* scales = reinterpret_cast<const float*>(row + layout.scales_at());
      for (std::size_t i = 0; i < in; ++i) values.push_back(double{scales[i / 32]} * quants[i]);
    }
    view = {bytes.data(), stride, rows};
  }
};

std::vector<float> multiply(const KernelSet& kernels, const device::Matrix& w, const Activations& x) {
  std::vector<float> y(std::size_t{x.n} * w.out, NAN);
  for (std::uint32_t o = 0; o < w.out; o += 2 * kTileOutputs) {  // lanes of two rows, and the last few
    const std::uint32_t n = std::min(2 * kTileOutputs, w.out - o);
    kernels.multiply[static_cast<std::size_t>(w.type)](w, o, n, x, y.data(), w.out);
  }
  return y;
}

/// Row by row, in double, from the dequantised weights.
std::vector<double> reference_product(const device::Matrix& w, const std::vector<double>& x) {
  std::vector<float> weights(w.in);
  const std::size_t rows = x.size() / w.in;
  std::vector<double> y(rows * w.out);
  for (std::size_t o = 0; o < w.out; ++o) {
    const auto* row = static_cast<const std::byte*>(w.data) + o * row_bytes(w.type, w.in);
    dequantise(w.type, row, w.in, weights.data());
    for (std::size_t r = 0; r < rows; ++r) {
      double sum = 0;
      for (std::size_t i = 0; i < w.in; ++i) sum += weights[i] * x[r * w.in + i];
      y[r * w.out + o] = sum;
    }
  }
  return y;
}

class EverySet : public testing::TestWithParam<const KernelSet*> {};

TEST_P(EverySet, MultipliesEveryBlockTypeAsTheScalarReference) {
  const KernelSet& kernels = *GetParam();
  std::mt19937 random(1);
  for (const BlockType type : kAllBlockTypes) {
    for (const std::uint32_t in : {256u, 1536u}) {
      const RandomMatrix w(type, in, 21, random);
      for (const std::uint32_t rows : {1u, 2u, 8u, 13u, 37u, 64u}) {
        const ActivationRows x(kernels, type, random_floats(std::size_t{rows} * in, 1.0f, random), rows);
        const std::vector<float> y = multiply(kernels, w.view, x.view);
        const std::vector<double> expected = reference_product(w.view, x.values);
        double largest = 0;
        for (const double value : expected) largest = std::max(largest, std::abs(value));
        for (std::size_t i = 0; i < y.size(); ++i) {
          ASSERT_NEAR(y[i], expected[i], 1e-5 * largest)
              << block_type_name(type) << " in " << in << " row " << i;
        }
      }
    }
  }
}

/// Where a block has its scales as fp16 or exponents.
struct ScaleBytes {
  BlockType type;
  std::uint32_t elems;
  std::size_t first, n;
};

constexpr ScaleBytes kScaleBytes[] = {
    {BlockType::q4_0, 32, 0, 2},    {BlockType::q4_1, 32, 0, 4},   {BlockType::q5_0, 32, 0, 2},
    {BlockType::q5_1, 32, 0, 4},    {BlockType::q8_0, 32, 0, 2},   {BlockType::q2_k, 256, 80, 4},
    {BlockType::q3_k, 256, 108, 2}, {BlockType::q4_k, 256, 0, 4},  {BlockType::q5_k, 256, 0, 4},
    {BlockType::q6_k, 256, 208, 2}, {BlockType::iq4_nl, 32, 0, 2}, {BlockType::iq4_xs, 256, 0, 2},
    {BlockType::mxfp4, 32, 0, 1}};

/// A matrix all of whose bytes are `value` but for those scales, which are random.
RandomMatrix uniform_matrix(const ScaleBytes& scales, std::uint32_t in, std::byte value,
                            std::mt19937& random) {
  RandomMatrix w(scales.type, in, 18, random);
  for (std::size_t i = 0; i < w.data.size(); ++i) {
    const std::size_t at = i % row_bytes(scales.type, scales.elems);
    if (at < scales.first || at >= scales.first + scales.n) w.data[i] = value;
  }
  return w;
}

TEST_P(EverySet, MultipliesTheLargestQuants) {
  const KernelSet& kernels = *GetParam();
  std::mt19937 random(9);
  constexpr std::uint32_t kIn = 512, kRows = 13;
  std::vector<float> x(std::size_t{kRows} * kIn);  // quants 127 or -127: all alike, 1, 2, 4 ... columns alike
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = (2 * (i % kIn) >> i / kIn) % 2 == 0 ? 1.0f : -1.0f;
  for (const ScaleBytes& scales : kScaleBytes) {
    for (const int value : {0x00, 0xff, 0x80, 0x7f}) {
      const RandomMatrix w = uniform_matrix(scales, kIn, static_cast<std::byte>(value), random);
      for (const std::uint32_t rows : {1u, 4u, 13u}) {
        const std::vector<float> values(x.begin(), x.begin() + rows * kIn);
        const ActivationRows here(kernels, scales.type, values, rows);
        const std::vector<float> y = multiply(kernels, w.view, here.view);
        const std::vector<double> expected = reference_product(w.view, here.values);
        double largest = 0;
        for (const double each : expected) largest = std::max(largest, std::abs(each));
        for (std::size_t i = 0; i < y.size(); ++i) {
          ASSERT_NEAR(y[i], expected[i], 1e-5 * largest)
              << block_type_name(scales.type) << " value " << value << " rows " << rows << " at " << i;
        }
      }
    }
  }
}

TEST_P(EverySet, MultipliesRowsThatAreNotWholePanels) {
  const KernelSet& kernels = *GetParam();
  std::mt19937 random(2);
  struct Case {
    BlockType type;
    std::uint32_t in;
  };
  for (const Case& c : {Case{BlockType::q4_0, 32},
                        {BlockType::q4_0, 16416},
                        {BlockType::q8_0, 288},
                        {BlockType::mxfp4, 96},
                        {BlockType::f32, 7},
                        {BlockType::f16, 17},
                        {BlockType::bf16, 40}}) {
    const RandomMatrix w(c.type, c.in, 21, random);
    for (const std::uint32_t rows : {3u, 35u}) {
      const ActivationRows x(kernels, c.type, random_floats(std::size_t{rows} * c.in, 1.0f, random), rows);
      const std::vector<float> y = multiply(kernels, w.view, x.view);
      const std::vector<double> expected = reference_product(w.view, x.values);
      double largest = 0;
      for (const double value : expected) largest = std::max(largest, std::abs(value));
      for (std::size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], expected[i], 1e-5 * largest);
    }
  }
}

TEST_P(EverySet, AProductDoesNotDependOnTheOtherRows) {
  const KernelSet& kernels = *GetParam();
  std::mt19937 random(3);
  constexpr std::size_t kIn = 512, kRows = 35;
  for (const BlockType type : kAllBlockTypes) {
    const RandomMatrix w(type, std::uint32_t{kIn}, 19, random);
    const std::vector<float> values = random_floats(kRows * kIn, 1.0f, random);
    const ActivationRows together(kernels, type, values, std::uint32_t{kRows});
    std::vector<float> alone;
    for (std::uint32_t r = 0; r < kRows; ++r) {
      const std::vector<float> one =
          multiply(kernels, w.view, {together.view.row(r), together.view.row_bytes, 1});
      alone.insert(alone.end(), one.begin(), one.end());
    }
    for (const std::uint32_t rows : {2u, 3u, 4u, 5u, 6u, 7u, 8u, 9u, 32u, 35u}) {
      Activations some = together.view;
      some.n = rows;
      const std::vector<float> y = multiply(kernels, w.view, some);
      ASSERT_EQ(std::memcmp(y.data(), alone.data(), y.size() * sizeof(float)), 0)
          << block_type_name(type) << ", " << rows << " rows";
    }
  }
}

TEST_P(EverySet, AProductDoesNotDependOnTheOtherOutputs) {
  const KernelSet& kernels = *GetParam();
  std::mt19937 random(8);
  constexpr std::uint32_t kIn = 512, kOut = 19 * kTileOutputs + 3, kRows = 50;
  for (const BlockType type : kAllBlockTypes) {
    const RandomMatrix w(type, kIn, kOut, random);
    const ActivationRows x(kernels, type, random_floats(std::size_t{kRows} * kIn, 1.0f, random), kRows);
    const std::vector<float> in_pieces = multiply(kernels, w.view, x.view);
    std::vector<float> at_once(in_pieces.size(), NAN);
    kernels.multiply[static_cast<std::size_t>(type)](w.view, 0, kOut, x.view, at_once.data(), kOut);
    ASSERT_EQ(std::memcmp(at_once.data(), in_pieces.data(), at_once.size() * sizeof(float)), 0)
        << block_type_name(type);
  }
}

TEST_P(EverySet, MultipliesToTheSameBitsAsTheBaseline) {
  const KernelSet& baseline = *supported_kernel_sets().back();
  std::mt19937 random(4);
  for (const BlockType type : kAllBlockTypes) {
    const RandomMatrix w(type, 768, 33, random);
    const std::vector<float> values = random_floats(std::size_t{36} * 768, 3.0f, random);
    const ActivationRows here(*GetParam(), type, values, 36), there(baseline, type, values, 36);
    ASSERT_EQ(here.bytes, there.bytes) << block_type_name(type);
    const std::vector<float> a = multiply(*GetParam(), w.view, here.view);
    const std::vector<float> b = multiply(baseline, w.view, there.view);
    ASSERT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0) << block_type_name(type);
  }
}

TEST_P(EverySet, QuantisesToNearest) {
  std::mt19937 random(5);
  std::vector<float> x = random_floats(96, 2.0f, random);
  for (std::size_t i = 32; i < 64; ++i) x[i] = 0.0f;
  x[64] = 127.0f;  // scale 1 in the third group
  for (std::size_t i = 65; i < 96; ++i) x[i] = 0.5f * static_cast<float>(static_cast<int>(i) - 80);
  const ActivationRows rows(*GetParam(), BlockType::q4_0, x, 1);
  const QuantisedLayout layout{96};
  const auto* quants = reinterpret_cast<const std::int8_t*>(rows.bytes.data());
  const auto* scales = reinterpret_cast<const float*>(rows.bytes.data() + layout.scales_at());
  const auto* sums = reinterpret_cast<const std::int16_t*>(rows.bytes.data() + layout.sums_at());
  for (std::size_t i = 0; i < 96; ++i) EXPECT_NEAR(rows.values[i], x[i], 0.5001 * scales[i / 32]);
  for (std::size_t i = 65; i < 96; ++i) EXPECT_EQ(quants[i], std::round(x[i]));
  EXPECT_EQ(scales[1], 0.0f);
  for (std::size_t half = 0; half < 6; ++half) {
    int sum = 0;
    for (std::size_t i = 16 * half; i < 16 * half + 16; ++i) sum += quants[i];
    EXPECT_EQ(sums[half], sum);
  }
}

TEST_P(EverySet, NormsAreThoseOfTheFormula) {
  std::mt19937 random(6);
  for (const std::uint32_t n : {8u, 32u, 100u, 3840u}) {
    const std::vector<float> x = random_floats(n, 5.0f, random), weight = random_floats(n, 1.0f, random);
    double squares = 0;
    for (const float value : x) squares += double{value} * value;
    const double factor = 1 / std::sqrt(squares / n + 1e-6);
    std::vector<float> y(n), plain(n), residual = random_floats(n, 1.0f, random);
    const std::vector<float> before = residual;
    GetParam()->rms_norm(x.data(), weight.data(), n, 1e-6f, y.data());
    GetParam()->rms_norm(x.data(), nullptr, n, 1e-6f, plain.data());
    GetParam()->add_rms_norm(x.data(), weight.data(), n, 1e-6f, 0.75f, residual.data());
    for (std::size_t i = 0; i < n; ++i) {
      EXPECT_NEAR(plain[i], x[i] * factor, 2e-6);
      EXPECT_NEAR(y[i], x[i] * factor * weight[i], 1e-5);
      EXPECT_NEAR(residual[i], (before[i] + x[i] * factor * weight[i]) * 0.75, 1e-5);
    }
  }
}

TEST_P(EverySet, GeluAndSoftcapAreThoseOfTheFormula) {
  std::vector<float> x;
  for (int i = -2400; i <= 2400; ++i) x.push_back(0.0371f * static_cast<float>(i));
  for (const float t : {0.0f, 1e-6f, -1e-6f, 1e4f, -1e4f, 1e15f, -1e15f}) x.push_back(t);
  const auto n = static_cast<std::uint32_t>(x.size());
  std::vector<float> gate = x, capped = x;
  const std::vector<float> up(n, 2.0f);
  GetParam()->gelu_multiply(gate.data(), up.data(), n);
  GetParam()->softcap(capped.data(), n, 30.0f);
  for (std::size_t i = 0; i < n; ++i) {
    const double t = x[i];
    const double u = std::sqrt(2 / M_PI) * (t + 0.044715 * t * t * t);
    // 1 + tanh u = 2 / (1 + e^-2u), which does not cancel.
    const double expected = 2 * t / (1 + std::exp(-2 * u));
    EXPECT_NEAR(gate[i], expected, 2e-6 * std::abs(expected) + 1e-9) << t;
    const double cap = 30 * std::tanh(t / 30);
    EXPECT_NEAR(capped[i], cap, 1e-6 * std::abs(cap) + 1e-12) << t;
  }
}

TEST_P(EverySet, RotationIsExactAtFarPositions) {
  std::vector<double> inv_freq;
  inv_freq.reserve(400);
  for (int i = 0; i < 256; ++i) inv_freq.push_back(std::pow(1e6, -2.0 * i / 512));
  for (int i = 0; i < 128; ++i) inv_freq.push_back(std::pow(1e4, -2.0 * i / 256));
  inv_freq.push_back(0.0);
  std::vector<float> cos(inv_freq.size()), sin(inv_freq.size());
  for (const std::uint64_t position : {0u, 1u, 2u, 3u, 5u, 1023u, 131071u, 262143u}) {
    GetParam()->rotation(inv_freq.data(), static_cast<std::uint32_t>(inv_freq.size()), position, cos.data(),
                         sin.data());
    for (std::size_t i = 0; i < inv_freq.size(); ++i) {
      const long double angle = static_cast<long double>(position) * inv_freq[i];
      EXPECT_NEAR(cos[i], static_cast<double>(std::cos(angle)), 1e-7);
      EXPECT_NEAR(sin[i], static_cast<double>(std::sin(angle)), 1e-7);
    }
  }
}

TEST_P(EverySet, RowKernelsGiveTheSameBitsAsTheBaseline) {
  const KernelSet& baseline = *supported_kernel_sets().back();
  std::mt19937 random(7);
  constexpr std::uint32_t kN = 160;
  const std::vector<float> x = random_floats(kN, 3.0f, random), w = random_floats(kN, 1.0f, random);
  const std::vector<double> inv_freq = {1.0, 0.1, 0.37, 0.001, 1e-5};
  const auto run = [&](const KernelSet& kernels) {
    std::vector<float> all;
    const auto keep = [&](const std::vector<float>& values) {
      all.insert(all.end(), values.begin(), values.end());
    };
    std::vector<float> y = x;
    kernels.rms_norm(x.data(), w.data(), kN, 1e-6f, y.data());
    keep(y);
    kernels.add_rms_norm(x.data(), w.data(), kN, 1e-6f, 0.3f, y.data());
    keep(y);
    kernels.gelu_multiply(y.data(), w.data(), kN);
    keep(y);
    y = x;
    kernels.softcap(y.data(), kN, 5.0f);
    keep(y);
    std::vector<float> cos(5), sin(5);
    kernels.rotation(inv_freq.data(), 5, 262143, cos.data(), sin.data());
    keep(cos);
    keep(sin);
    kernels.rotate(cos.data(), sin.data(), 5, 10, y.data());
    kernels.round_query(0.077f, device::KvType::f16, kN, y.data());
    keep(y);
    for (const device::KvType type : {device::KvType::f32, device::KvType::f16, device::KvType::q8_0}) {
      std::vector<std::byte> encoded(kN * sizeof(float));
      kernels.encode_kv(x.data(), kN, type, encoded.data());
      for (const std::byte byte : encoded) all.push_back(static_cast<float>(byte));
    }
    return all;
  };
  const std::vector<float> here = run(*GetParam()), there = run(baseline);
  ASSERT_EQ(here.size(), there.size());
  for (std::size_t i = 0; i < here.size(); ++i) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(here[i]), std::bit_cast<std::uint32_t>(there[i])) << i;
  }
}

TEST_P(EverySet, RoundsToHalvesAsTheScalarConversionDoes) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  std::vector<float> x = {0.0f,
                          -0.0f,
                          65504.0f,
                          65519.0f,
                          65520.0f,
                          -1e30f,
                          kInf,
                          -kInf,
                          0x1p-24f,
                          0x1p-25f,
                          0x1.8p-24f,
                          0x1p-26f,
                          -0x1p-14f,
                          0x1.004p0f,
                          1e-9f,
                          0x1.ffcp15f,
                          std::numeric_limits<float>::quiet_NaN()};
  std::mt19937 random(3);
  std::uniform_int_distribution<int> exponent(-30, 20);
  std::normal_distribution<float> normal;
  while (x.size() < 16 * 40 + 7) x.push_back(std::ldexp(normal(random), exponent(random)));  // and a tail
  const auto n = static_cast<std::uint32_t>(x.size());

  std::vector<std::uint16_t> encoded(n);
  GetParam()->encode_kv(x.data(), n, device::KvType::f16, reinterpret_cast<std::byte*>(encoded.data()));
  std::vector<float> rounded = x;
  GetParam()->round_query(1.0f, device::KvType::f16, n, rounded.data());
  for (std::uint32_t i = 0; i < n; ++i) {
    if (std::isnan(x[i])) {
      EXPECT_TRUE(std::isnan(half_to_float(encoded[i])) && std::isnan(rounded[i]));
      continue;
    }
    EXPECT_EQ(encoded[i], float_to_half(x[i])) << x[i];
    EXPECT_EQ(rounded[i], half_to_float(float_to_half(x[i]))) << x[i];
  }
}

TEST_P(EverySet, EncodesKeysAsQ8_0BlocksAreDefined) {
  std::vector<float> x(32, 0.0f);                                           // a scale of zero
  for (int i = 0; i < 32; ++i) x.push_back(1e-7f * static_cast<float>(i));  // one that rounds to zero
  for (int i = 0; i < 32; ++i) x.push_back(5.7e-6f * static_cast<float>(i - 16) / 15.0f);  // a subnormal one
  for (int i = 0; i < 32; ++i) x.push_back(i == 0 ? 127.0f : static_cast<float>(i) - 15.5f);  // halves
  std::mt19937 random(5);
  for (int block = 0; block < 200; ++block) {
    const std::vector<float> more = random_floats(32, std::ldexp(1.0f, block % 40 - 25), random);
    x.insert(x.end(), more.begin(), more.end());
  }
  const auto n = static_cast<std::uint32_t>(x.size());
  std::vector<std::byte> encoded(n / 32 * 34);
  GetParam()->encode_kv(x.data(), n, device::KvType::q8_0, encoded.data());
  for (std::uint32_t block = 0; block < n / 32; ++block) {
    float most = 0.0f;
    for (std::uint32_t i = 0; i < 32; ++i) most = std::max(most, std::abs(x[32 * block + i]));
    std::uint16_t scale = 0;
    std::memcpy(&scale, &encoded[34 * block], sizeof scale);
    ASSERT_EQ(scale, float_to_half(most / 127.0f)) << block;
    const float rounded = half_to_float(scale);
    for (std::uint32_t i = 0; i < 32; ++i) {
      const float quant = rounded > 0 ? std::round(x[32 * block + i] / rounded) : 0.0f;
      ASSERT_EQ(static_cast<std::int8_t>(encoded[34 * block + 2 + i]),
                static_cast<std::int8_t>(std::clamp(quant, -127.0f, 127.0f)))
          << block << ", " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(KernelSets, EverySet, every_kernel_set(), name_of_set);

}  // namespace
}  // namespace tandem::cpu
