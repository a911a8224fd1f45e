// What rounding the KV cache costs one layer's attention, against bounds that follow from the formats.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cpu/half.h"
#include "backends/cpu/kernel_set.h"
#include "backends/cpu/kv_rows.h"

namespace tandem::cpu {
namespace {

using device::KvLayout;
using device::KvType;

constexpr std::uint32_t kHeads = 4, kKvHeads = 2, kDim = 64, kPairs = kDim / 2, kKeys = 40;
constexpr std::size_t kRow = std::size_t{kKvHeads} * kDim;  // elements of K, or of V, of one token
constexpr double kHalfRounding = 0x1p-11;                   // relative, of a normal fp16
constexpr double kHalfSmallest = 0x1p-25;                   // absolute, of a subnormal one

/// The last of kKeys tokens attends to all of them.  V is random; K is V times a weight, rotated, so that the
/// same case can be cached in either layout.
struct AttentionCase {
  std::vector<float> q;          ///< (heads, dim)
  std::vector<float> v;          ///< (keys, kv_heads, dim)
  std::vector<float> k_norm;     ///< (dim)
  std::vector<double> inv_freq;  ///< (pairs), the last quarter not rotated
  std::vector<double> k;         ///< as v, exact
  std::vector<double> k_size;    ///< as v: |a| + |b| of the pair an element was rotated from

  explicit AttentionCase(unsigned seed) : inv_freq(kPairs, 0.0), k(kKeys * kRow), k_size(k.size()) {
    std::mt19937 random(seed);
    std::normal_distribution<float> values;
    for (std::size_t i = 0; i < std::size_t{kHeads} * kDim; ++i) q.push_back(values(random) * 0.4f);
    for (std::size_t i = 0; i < kKeys * kRow; ++i) v.push_back(values(random));
    for (std::size_t i = 0; i < kDim; ++i) k_norm.push_back(1.0f + 0.3f * values(random));
    for (std::size_t i = 0; i < kPairs * 3 / 4; ++i)
      inv_freq[i] = std::pow(1e4, -2.0 * static_cast<double>(i) / kDim);
    for (std::size_t i = 0; i < k.size(); ++i) rotate_exactly(i);
  }

  void rotate_exactly(std::size_t i) {
    const std::size_t token = i / kRow, element = i % kDim, pair = element % kPairs,
                      first = i - element + pair;
    const double angle = static_cast<double>(token) * inv_freq[pair];
    const double a = double{v[first]} * k_norm[pair], b = double{v[first + kPairs]} * k_norm[pair + kPairs];
    k[i] = element < kPairs ? a * std::cos(angle) - b * std::sin(angle)
                            : a * std::sin(angle) + b * std::cos(angle);
    k_size[i] = std::abs(a) + std::abs(b);
  }

  std::vector<float> attend(KvType type, KvLayout layout) const;
};

std::vector<float> AttentionCase::attend(KvType type, KvLayout layout) const {
  const KernelSet& kernels = best_kernel_set();
  device::AttentionHalf half;
  half.heads = kHeads;
  half.kv_heads = kKvHeads;
  half.head_dim = kDim;
  half.k_norm = k_norm.data();
  half.inv_freq = inv_freq.data();
  half.kv.type = type;
  half.kv.layout = layout;
  half.kv.row_bytes = kv_bytes(type, layout == KvLayout::separate ? 2 * kRow : kRow);
  std::vector<std::byte> staging(kKeys * half.kv.row_bytes);
  const std::vector<float> keys(k.begin(), k.end());
  for (std::size_t p = 0; p < kKeys; ++p) {
    std::byte* row = &staging[p * half.kv.row_bytes];
    if (layout == KvLayout::separate) {
      kernels.encode_kv(&keys[p * kRow], kRow, type, row);
      row += kv_bytes(type, kRow);
    }
    kernels.encode_kv(&v[p * kRow], kRow, type, row);
  }
  std::vector<float> queries(std::size_t{kKeys} * kHeads * kDim), out(queries.size());
  std::vector<float> rounded = q;
  kernels.round_query(1.0f, type, kHeads * kDim, rounded.data());
  std::copy(rounded.begin(), rounded.end(), queries.end() - std::ptrdiff_t{kHeads} * kDim);
  const device::SequenceRows sequence{0, 0, kKeys, 0, 0, nullptr};
  AttendTask task;
  task.half = &half;
  task.sequence = &sequence;
  task.staging = staging.data();
  task.q = queries.data();
  task.out = out.data();
  task.first_row = kKeys - 1;
  task.n_rows = 1;
  task.n_heads = kHeads / kKvHeads;
  task.rotated_pairs = kPairs * 3 / 4;
  for (task.kv_head = 0; task.kv_head < kKvHeads; ++task.kv_head) {
    task.first_head = task.kv_head * task.n_heads;
    kernels.attend(task);
  }
  return {out.end() - std::ptrdiff_t{kHeads} * kDim, out.end()};
}

/// How far a format may move an element: by a share of it plus a constant.
struct Rounding {
  double relative = 0;
  double absolute = 0;

  double of(double value) const { return relative * std::abs(value) + absolute; }
};

/// The answer in double and how far it may be off.  If no score is off by more than e, softmax weights change
/// by a factor within e^(2e), and V's own rounding comes on top; 2e-6 is for fp32 arithmetic.
void expect_attention(const AttentionCase& c, const std::vector<float>& actual, Rounding q, Rounding k,
                      Rounding v) {
  for (std::size_t h = 0; h < kHeads; ++h) {
    const std::size_t head_at = h / (kHeads / kKvHeads) * kDim;
    std::vector<double> weights;
    double total = 0, score_error = 0;
    for (std::size_t p = 0; p < kKeys; ++p) {
      double score = 0, error = 0;
      for (std::size_t i = 0; i < kDim; ++i) {
        const double qi = c.q[h * kDim + i], ki = c.k[p * kRow + head_at + i];
        const double k_error = k.of(c.k_size[p * kRow + head_at + i]);
        score += qi * ki;
        error += std::abs(qi) * k_error + q.of(qi) * (std::abs(ki) + k_error);
      }
      score_error = std::max(score_error, error + 2e-6 * std::abs(score));
      weights.push_back(std::exp(score));
      total += weights.back();
    }
    for (std::size_t i = 0; i < kDim; ++i) {
      double expected = 0, magnitude = 0, rounding = 0;
      for (std::size_t p = 0; p < kKeys; ++p) {
        const double value = c.v[p * kRow + head_at + i];
        expected += weights[p] / total * value;
        magnitude += weights[p] / total * std::abs(value);
        rounding += weights[p] / total * v.of(value);
      }
      const double factor = std::exp(2 * score_error);
      const double bound = (factor - 1) * magnitude + factor * rounding + 2e-6 * magnitude;
      EXPECT_NEAR(actual[h * kDim + i], expected, bound) << "head " << h << " element " << i;
    }
  }
}

class KvTypes : public testing::TestWithParam<KvLayout> {
 protected:
  const AttentionCase case_{7};
};

TEST_P(KvTypes, F32RoundsNothing) {
  expect_attention(case_, case_.attend(KvType::f32, GetParam()), {}, {2e-7, 0}, {});
}

TEST_P(KvTypes, F16StaysWithinItsRounding) {
  const Rounding half{kHalfRounding, kHalfSmallest};
  // The rotation brings in the other element of the pair, hence k_size; and fp32 rounding of cos, sin and
  // products.
  expect_attention(case_, case_.attend(KvType::f16, GetParam()), half,
                   {kHalfRounding + 2e-7, 2 * kHalfSmallest}, half);
}

TEST_P(KvTypes, Q8StaysWithinItsRounding) {
  double largest = 0;
  for (const double size : case_.k_size) largest = std::max(largest, size);
  for (const float value : case_.v) largest = std::max(largest, double{std::abs(value)});
  // Half a step of amax / 127, where the step is rounded to fp16 and the largest value clamped to 127 steps.
  const Rounding q8{0, largest / 127 * 0.5 * (1 + kHalfRounding) + largest * kHalfRounding};
  // A rotated key holds the errors of two elements, each times its weight.
  const Rounding key{0, 2 * q8.absolute * *std::max_element(case_.k_norm.begin(), case_.k_norm.end())};
  expect_attention(case_, case_.attend(KvType::q8_0, GetParam()), {kHalfRounding, kHalfSmallest}, key, q8);
}

INSTANTIATE_TEST_SUITE_P(Layouts, KvTypes, testing::Values(KvLayout::separate, KvLayout::vector),
                         [](const auto& layout) {
                           return layout.param == KvLayout::vector ? "vector" : "separate";
                         });

TEST(KvRows, Q8EncodingIsTheGgufBlock) {
  std::vector<float> x(64);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = 0.37f * static_cast<float>(static_cast<int>(i) - 20);
  std::vector<std::byte> encoded(kv_bytes(KvType::q8_0, 64));
  ASSERT_EQ(encoded.size(), 68u);
  best_kernel_set().encode_kv(x.data(), 64, KvType::q8_0, encoded.data());
  for (std::size_t b = 0; b < 2; ++b) {
    std::uint16_t half = 0;
    std::memcpy(&half, &encoded[34 * b], sizeof half);
    const float scale = half_to_float(half);
    for (std::size_t i = 0; i < 32; ++i) {
      const auto quant = static_cast<std::int8_t>(encoded[34 * b + 2 + i]);
      EXPECT_NEAR(scale * static_cast<float>(quant), x[32 * b + i], 0.51f * scale);
    }
  }
}

TEST(KvRows, CellsOfRingsAndPages) {
  device::KvCache ring;
  ring.cells = 8;
  device::SequenceRows sequence;
  sequence.slot = 3;
  EXPECT_EQ(kv_cell(ring, sequence, 0), 24u);
  EXPECT_EQ(kv_cell(ring, sequence, 21), 29u);
  device::KvCache paged;
  paged.page_tok = 16;
  const std::uint32_t pages[] = {5, 2};
  sequence.pages = pages;
  EXPECT_EQ(kv_cell(paged, sequence, 3), 83u);
  EXPECT_EQ(kv_cell(paged, sequence, 16), 32u);
}

}  // namespace
}  // namespace tandem::cpu
