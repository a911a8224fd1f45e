// Projections and row kernels on the emulated device against the CPU backend and plain double arithmetic.

#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "backends/cpu/dequantise.h"
#include "backends/cpu/kernel_set.h"
#include "backends/cpu/quantised_row.h"
#include "backends/cuda/embed.h"
#include "backends/cuda/multiply.h"
#include "backends/cuda/plane_layout.h"
#include "backends/cuda/rows.h"
#include "tests/backends/cuda/emulated.h"
#include "tests/backends/cuda/test_device.h"
#include "tests/backends/random_blocks.h"

namespace tandem::cuda_test {
namespace {

using cuda::Device;
using cuda::DeviceMemory;
using cuda::QuantisedRows;
using cuda::Stream;
using test_support::RandomMatrix;

std::vector<float> random_floats(std::size_t n, std::uint32_t seed, float sigma = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> values(0.0f, sigma);
  std::vector<float> result(n);
  for (float& value : result) value = values(random);
  return result;
}

/// Rows of activations as the CPU backend quantises them.
struct CpuQuantised {
  std::vector<std::int8_t> quants;
  std::vector<float> scales;
  std::vector<std::int16_t> sums;

  CpuQuantised(const std::vector<float>& x, std::uint32_t in) {
    const cpu::QuantisedLayout layout{in};
    std::vector<std::byte> row(layout.row_bytes());
    for (std::size_t r = 0; r < x.size() / in; ++r) {
      cpu::best_kernel_set().quantise(x.data() + r * in, layout, 0, in, row.data());
      const auto* first_quant = reinterpret_cast<const std::int8_t*>(row.data());
      const auto* first_scale = reinterpret_cast<const float*>(row.data() + layout.scales_at());
      const auto* first_sum = reinterpret_cast<const std::int16_t*>(row.data() + layout.sums_at());
      quants.insert(quants.end(), first_quant, first_quant + in);
      scales.insert(scales.end(), first_scale, first_scale + in / 32);
      sums.insert(sums.end(), first_sum, first_sum + in / 16);
    }
  }
};

/// A device, a stream, and rows of activations on it in both forms.
struct Bench {
  Device device;
  Stream stream;
  std::uint32_t in;
  std::uint32_t rows;
  DeviceMemory x;
  DeviceMemory quantised_bytes;
  QuantisedRows quantised;

  Bench(std::uint64_t seed, const std::vector<float>& values, std::uint32_t in_elems)
      : device(open_test_device({.seed = seed})),
        stream(device),
        in(in_elems),
        rows(static_cast<std::uint32_t>(values.size() / in_elems)),
        x(upload<float>(device, stream, values)),
        quantised_bytes(device, std::size_t{rows} * in / 32 * 40),
        quantised(QuantisedRows::in_bytes(quantised_bytes.data(), rows, in)) {}

  DeviceMemory upload_matrix(const device::Matrix& matrix) {
    const auto layout = cuda::plane_layout(matrix.type);
    const std::uint64_t blocks = std::uint64_t{matrix.in} / layout.block_elems * matrix.out;
    std::vector<std::byte> planes(blocks * layout.block_bytes);
    std::byte* plane = planes.data();
    for (const auto& part : layout.parts) {
      cuda::gather_part(layout, part, static_cast<const std::byte*>(matrix.data), blocks, plane);
      plane += blocks * part.bytes;
    }
    return upload<std::byte>(device, stream, planes);
  }

  /// Products of the first `n` rows from `first` on.
  std::vector<float> multiply(const device::Matrix& matrix, const DeviceMemory& planes, std::uint32_t first,
                              std::uint32_t n) {
    const DeviceMemory y(device, std::size_t{n} * matrix.out * sizeof(float));
    device::Matrix on_device = matrix;
    on_device.data = planes.data();
    cuda::ProductInput input;
    input.x = as<const float>(x) + std::size_t{first} * in;
    input.quantised = {quantised.quants + std::size_t{first} * in,
                       quantised.scales + std::size_t{first} * in / 32,
                       quantised.sums + std::size_t{first} * in / 16};
    input.rows = n;
    cuda::multiply(stream, on_device, input, as<float>(y));
    return download<float>(device, stream, y, std::size_t{n} * matrix.out);
  }
};

class Projection : public testing::TestWithParam<device::BlockType> {};

TEST_P(Projection, IsTheSumOfProductsOfWhatIsStored) {
  constexpr std::uint32_t kIn = 1536, kOut = 38, kRows = 11;
  std::mt19937 random(3);
  const RandomMatrix w(GetParam(), kIn, kOut, random);
  const auto x = random_floats(std::size_t{kRows} * kIn, 4);
  Bench bench(1, x, kIn);
  cuda::quantise(bench.stream, as<float>(bench.x), bench.quantised, kRows, kIn);
  const auto y = bench.multiply(w.view, bench.upload_matrix(w.view), 0, kRows);

  const CpuQuantised quantised(x, kIn);
  const std::size_t row_bytes = cpu::row_bytes(GetParam(), kIn);
  std::vector<float> weights(kIn);
  for (std::uint32_t o = 0; o < kOut; ++o) {
    cpu::dequantise(GetParam(), w.data.data() + o * row_bytes, kIn, weights.data());
    for (std::uint32_t r = 0; r < kRows; ++r) {
      double sum = 0, magnitude = 0;
      for (std::uint32_t i = 0; i < kIn; ++i) {
        const std::size_t at = std::size_t{r} * kIn + i;
        const double value = cuda::takes_floats(GetParam())
                                 ? x[at]
                                 : static_cast<double>(quantised.scales[at / 32]) * quantised.quants[at];
        sum += weights[i] * value;
        magnitude += std::fabs(weights[i] * value);
      }
      // fp32: at most kIn / 128 terms of four a lane, 5 levels of a tree, a few roundings in a term.
      EXPECT_NEAR(y[r * kOut + o], sum, magnitude * 24 * 6e-8) << "row " << r << ", output " << o;
    }
  }
}

TEST_P(Projection, GivesARowTheSameWhateverSharesTheBatch) {
  constexpr std::uint32_t kIn = 2304, kRows = 35;  // more than one tile, and columns left over
  constexpr std::ptrdiff_t kOut = 37;
  std::mt19937 random(5);
  const RandomMatrix w(GetParam(), kIn, kOut, random);
  const auto x = random_floats(std::size_t{kRows} * kIn, 6);
  std::vector<float> expected;
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    Bench bench(seed, x, kIn);
    cuda::quantise(bench.stream, as<float>(bench.x), bench.quantised, kRows, kIn);
    const auto planes = bench.upload_matrix(w.view);
    const auto together = bench.multiply(w.view, planes, 0, kRows);
    if (seed == 0) expected = together;
    EXPECT_EQ(together, expected) << "seed " << seed;
    for (const std::uint32_t n : {1u, 2u, 3u, 5u, 8u, 12u}) {  // up to 8 through the kernels of a decode
      for (std::uint32_t first = seed; first + n <= kRows; first += 11) {
        const auto some = bench.multiply(w.view, planes, first, n);
        const std::vector<float> same(expected.begin() + first * kOut, expected.begin() + (first + n) * kOut);
        EXPECT_EQ(some, same) << n << " rows from " << first;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EveryType, Projection, testing::ValuesIn(test_support::kAllBlockTypes),
                         [](const auto& of) { return test_support::block_type_name(of.param); });

class Embedding : public testing::TestWithParam<device::BlockType> {};

TEST_P(Embedding, IsTheRowAsTheCpuDequantisesIt) {
  constexpr std::uint32_t kWidth = 512, kVocab = 7;
  std::mt19937 random(9);
  const RandomMatrix table(GetParam(), kWidth, kVocab, random);
  Bench bench(2, std::vector<float>(kWidth), kWidth);
  const auto planes = bench.upload_matrix(table.view);
  device::Embedding embedding{table.view, 3.0f};
  embedding.table.data = planes.data();
  const std::vector<std::int32_t> tokens = {6, 0, 3};
  const auto on_device = upload<std::int32_t>(bench.device, bench.stream, tokens);
  const DeviceMemory x(bench.device, tokens.size() * kWidth * sizeof(float));
  cuda::embed(bench.stream, embedding, as<const std::int32_t>(on_device), 3, as<float>(x));
  const auto rows = download<float>(bench.device, bench.stream, x, tokens.size() * kWidth);
  std::vector<float> expected(kWidth);
  for (std::size_t r = 0; r < tokens.size(); ++r) {
    cpu::dequantise(GetParam(), table.data.data() + tokens[r] * cpu::row_bytes(GetParam(), kWidth), kWidth,
                    expected.data());
    for (std::uint32_t i = 0; i < kWidth; ++i) {
      ASSERT_EQ(rows[r * kWidth + i], expected[i] * 3.0f) << "row " << r << ", column " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EveryType, Embedding, testing::ValuesIn(test_support::kAllBlockTypes),
                         [](const auto& of) { return test_support::block_type_name(of.param); });

TEST(Quantise, IsTheCpusQuantiserToTheBit) {
  constexpr std::uint32_t kIn = 1600, kRows = 3;
  auto x = random_floats(std::size_t{kRows} * kIn, 7, 3.0f);
  std::fill(x.begin() + 64, x.begin() + 96, 0.0f);
  for (int i = 0; i < 32; ++i) x[96 + i] = static_cast<float>(i) - 15.5f;  // halves, after scaling too
  x[127] = 127.0f;
  Bench bench(2, x, kIn);
  cuda::quantise(bench.stream, as<float>(bench.x), bench.quantised, kRows, kIn);
  const auto bytes =
      download<std::byte>(bench.device, bench.stream, bench.quantised_bytes, bench.quantised_bytes.bytes());
  const CpuQuantised expected(x, kIn);
  const std::byte* at = bytes.data();
  EXPECT_EQ(std::memcmp(at, expected.quants.data(), expected.quants.size()), 0);
  at += expected.quants.size();
  EXPECT_EQ(std::memcmp(at, expected.scales.data(), expected.scales.size() * 4), 0);
  at += expected.scales.size() * 4;
  EXPECT_EQ(std::memcmp(at, expected.sums.data(), expected.sums.size() * 2), 0);
}

/// |actual - expected| <= tolerance * max(1, |expected|) everywhere.
void expect_close(const std::vector<float>& actual, const std::vector<float>& expected, float tolerance) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    ASSERT_NEAR(actual[i], expected[i], tolerance * std::max(1.0f, std::fabs(expected[i]))) << i;
  }
}

TEST(FinishAndNorm, IsTheCpusPostNormAdditionAndNorm) {
  constexpr std::uint32_t kWidth = 1184, kRows = 5;
  const auto x = random_floats(std::size_t{kRows} * kWidth, 8, 30.0f);
  const auto projected = random_floats(x.size(), 9);
  const auto post_norm = random_floats(kWidth, 10), norm = random_floats(kWidth, 11);
  const auto& kernels = cpu::best_kernel_set();
  std::vector<float> expected_x = x, expected_normed(x.size());
  for (std::size_t r = 0; r < kRows; ++r) {
    float* row = expected_x.data() + r * kWidth;
    kernels.add_rms_norm(projected.data() + r * kWidth, post_norm.data(), kWidth, 1e-6f, 0.5f, row);
    kernels.rms_norm(row, norm.data(), kWidth, 1e-6f, expected_normed.data() + r * kWidth);
  }

  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    Bench bench(seed, x, kWidth);
    const auto added = upload<float>(bench.device, bench.stream, projected);
    const auto post = upload<float>(bench.device, bench.stream, post_norm);
    const auto weight = upload<float>(bench.device, bench.stream, norm);
    const DeviceMemory normed(bench.device, x.size() * sizeof(float));
    cuda::RowStep step;
    step.x = as<float>(bench.x);
    step.projected = as<const float>(added);
    step.post_norm = as<const float>(post);
    step.scale = 0.5f;
    step.norm = as<const float>(weight);
    step.normed = as<float>(normed);
    step.quantised = bench.quantised;
    step.width = kWidth;
    cuda::finish_and_norm(bench.stream, step, kRows);
    expect_close(download<float>(bench.device, bench.stream, bench.x, x.size()), expected_x, 1e-6f);
    const auto actual = download<float>(bench.device, bench.stream, normed, x.size());
    expect_close(actual, expected_normed, 2e-6f);
    const CpuQuantised quantised(actual, kWidth);
    const auto quants = download<std::int8_t>(bench.device, bench.stream, bench.quantised_bytes, x.size());
    EXPECT_EQ(quants, quantised.quants);
  }
}

TEST(FinishAndNorm, GathersRowsForTheHead) {
  constexpr std::size_t kWidth = 96;
  const auto x = random_floats(4 * kWidth, 12);
  const auto norm = random_floats(kWidth, 13);
  const std::vector<std::uint32_t> wanted = {3, 1};
  Bench bench(0, x, kWidth);
  const auto weight = upload<float>(bench.device, bench.stream, norm);
  const auto indices = upload<std::uint32_t>(bench.device, bench.stream, wanted);
  const DeviceMemory normed(bench.device, 2 * kWidth * sizeof(float));
  cuda::RowStep step;
  step.x = as<float>(bench.x);
  step.norm = as<const float>(weight);
  step.normed = as<float>(normed);
  step.row_indices = as<const std::uint32_t>(indices);
  step.width = kWidth;
  cuda::finish_and_norm(bench.stream, step, 2);
  std::vector<float> expected(2 * kWidth);
  for (std::size_t r = 0; r < 2; ++r) {
    cpu::best_kernel_set().rms_norm(x.data() + wanted[r] * kWidth, norm.data(), kWidth, 1e-6f,
                                    expected.data() + r * kWidth);
  }
  expect_close(download<float>(bench.device, bench.stream, normed, 2 * kWidth), expected, 2e-6f);
  EXPECT_EQ(download<float>(bench.device, bench.stream, bench.x, x.size()), x);
}

TEST(GeluMultiply, IsTheCpus) {
  constexpr std::uint32_t kWidth = 2144, kRows = 3;  // three pieces, the last one short
  const auto gate = random_floats(std::size_t{kRows} * kWidth, 14, 4.0f);
  const auto up = random_floats(gate.size(), 15);
  auto expected = gate;
  for (std::size_t r = 0; r < kRows; ++r) {
    cpu::best_kernel_set().gelu_multiply(expected.data() + r * kWidth, up.data() + r * kWidth, kWidth);
  }
  Bench bench(4, gate, kWidth);
  const auto up_rows = upload<float>(bench.device, bench.stream, up);
  cuda::gelu_multiply(bench.stream, as<float>(bench.x), as<const float>(up_rows), bench.quantised, kRows,
                      kWidth);
  const auto actual = download<float>(bench.device, bench.stream, bench.x, gate.size());
  expect_close(actual, expected, 2e-6f);
  const auto quants = download<std::int8_t>(bench.device, bench.stream, bench.quantised_bytes, gate.size());
  EXPECT_EQ(quants, CpuQuantised(actual, kWidth).quants);
}

TEST(Softcap, IsTheCpus) {
  auto x = random_floats(1000, 16, 40.0f);
  Bench bench(5, x, 1000);
  cuda::softcap(bench.stream, as<float>(bench.x), x.size(), 30.0f);
  cpu::best_kernel_set().softcap(x.data(), 1000, 30.0f);
  expect_close(download<float>(bench.device, bench.stream, bench.x, x.size()), x, 1e-6f);
}

}  // namespace
}  // namespace tandem::cuda_test
