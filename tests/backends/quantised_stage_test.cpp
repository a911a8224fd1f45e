// Stages whose matrices are block types: plumbing of integer activations, mixed types, and the same bits
// however the rows come.

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cpu/dequantise.h"
#include "backends/cpu/quantised_row.h"
#include "backends/cpu/stage.h"
#include "tests/backends/random_blocks.h"

namespace tandem::cpu {
namespace {

using device::BlockType;
using test_support::block_type_name;
using test_support::RandomMatrix;

constexpr std::uint32_t kWidth = 256, kFfn = 1280, kHeads = 4, kKvHeads = 2, kDim = 64, kRows = 70;
constexpr std::size_t kKvRow = std::size_t{2} * kKvHeads * kDim;  // elements

/// Types of the matrices of a layer.
struct Mix {
  const char* name;
  BlockType q, k, v, out, gate, up, down;
};

const Mix kMixes[] = {
    {"q4_0", BlockType::q4_0, BlockType::q4_0, BlockType::q4_0, BlockType::q4_0, BlockType::q4_0,
     BlockType::q4_0, BlockType::q4_0},
    {"q4_k_m", BlockType::q4_k, BlockType::q4_k, BlockType::q6_k, BlockType::q4_k, BlockType::q4_k,
     BlockType::q4_k, BlockType::q6_k},
    {"floats_and_integers", BlockType::q8_0, BlockType::f16, BlockType::q5_0, BlockType::bf16, BlockType::f32,
     BlockType::iq4_xs, BlockType::q2_k},
};

/// One layer with random weights, and memory for kRows rows of it.
struct Layer {
  std::mt19937 random{11};
  RandomMatrix q, k, v, out, gate, up, down;
  std::vector<float> norm, head_norm;
  std::vector<double> inv_freq;
  std::vector<float> normed, projected, q_rows, k_rows, v_rows, attended, gate_rows, up_rows;
  std::vector<std::byte> quantised, staging, cache;

  explicit Layer(const Mix& mix)
      : q(mix.q, kWidth, kHeads * kDim, random),
        k(mix.k, kWidth, kKvHeads * kDim, random),
        v(mix.v, kWidth, kKvHeads * kDim, random),
        out(mix.out, kHeads * kDim, kWidth, random),
        gate(mix.gate, kWidth, kFfn, random),
        up(mix.up, kWidth, kFfn, random),
        down(mix.down, kFfn, kWidth, random),
        norm(floats(kWidth, 1.0f)),
        head_norm(floats(kDim, 1.0f)),
        inv_freq(kDim / 2),
        normed(kRows * kWidth),
        projected(kRows * kWidth),
        q_rows(kRows * kHeads * kDim),
        k_rows(kRows * kKvHeads * kDim),
        v_rows(kRows * kKvHeads * kDim),
        attended(kRows * kHeads * kDim),
        gate_rows(kRows * kFfn),
        up_rows(kRows * kFfn),
        quantised(kRows * QuantisedLayout{kFfn}.row_bytes()),
        staging(kRows * kKvRow * sizeof(float)),
        cache(kRows * kKvRow * sizeof(float)) {
    for (std::size_t i = 0; i < inv_freq.size(); ++i)
      inv_freq[i] = std::pow(1e4, -2.0 * static_cast<double>(i) / kDim);
  }

  std::vector<float> floats(std::size_t n, float sigma) {
    std::normal_distribution<float> values(0.0f, sigma);
    std::vector<float> result(n);
    for (float& value : result) value = values(random);
    return result;
  }

  device::Unit attention_unit() {
    device::Unit unit;
    unit.kind = device::UnitKind::attention;
    device::AttentionHalf& half = unit.attention;
    half.norm = half.post_norm = norm.data();
    half.q_norm = half.k_norm = head_norm.data();
    half.q = q.view;
    half.k = k.view;
    half.v = v.view;
    half.out = out.view;
    half.inv_freq = inv_freq.data();
    half.heads = kHeads;
    half.kv_heads = kKvHeads;
    half.head_dim = kDim;
    half.window = half.kv.cells = kRows;
    half.kv.rows = cache.data();
    half.kv.row_bytes = kKvRow * sizeof(float);
    half.kv.type = device::KvType::f32;
    return unit;
  }

  device::Unit ffn_unit() {
    device::Unit unit;
    unit.kind = device::UnitKind::ffn;
    unit.ffn = {norm.data(), norm.data(), gate.view, up.view, down.view, 0.5f};
    return unit;
  }

  device::Scratch scratch() {
    return {normed.data(),   projected.data(), q_rows.data(),  k_rows.data(),    v_rows.data(),
            attended.data(), gate_rows.data(), up_rows.data(), quantised.data(), staging.data()};
  }

  /// The residual of `x` (rows, kWidth) after `units`, `chunk` rows a step from position 0.
  std::vector<float> run(const std::vector<device::Unit>& units, std::vector<float> x, std::uint32_t chunk,
                         unsigned threads, const KernelSet& kernels = best_kernel_set()) {
    Team team(threads);
    const auto stage = make_stage(units, {kWidth, 1e-6f, kRows}, scratch(), team, kernels);
    const auto rows = static_cast<std::uint32_t>(x.size() / kWidth);
    for (std::uint32_t at = 0; at < rows; at += chunk) {
      const std::uint32_t n = std::min(chunk, rows - at);
      const device::SequenceRows sequence{0, 0, n, at, 0, nullptr};
      stage->step({&sequence, 1, n}, &x[std::size_t{at} * kWidth]);
    }
    return x;
  }
};

/// W x in double; x as the kernels see it: quantised for block types.
std::vector<float> product(const RandomMatrix& w, const std::vector<float>& x) {
  std::vector<float> seen = x;
  if (!takes_floats(w.view.type)) {
    const QuantisedLayout layout{w.view.in};
    std::vector<std::byte> row(layout.row_bytes());
    best_kernel_set().quantise(x.data(), layout, 0, layout.elems, row.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      float scale = 0;
      std::memcpy(&scale, &row[layout.scales_at() + i / 32 * sizeof scale], sizeof scale);
      seen[i] = scale * static_cast<float>(static_cast<std::int8_t>(row[i]));
    }
  }
  std::vector<float> y, weights(w.view.in);
  for (std::size_t o = 0; o < w.view.out; ++o) {
    dequantise(w.view.type, &w.data[o * row_bytes(w.view.type, w.view.in)], w.view.in, weights.data());
    double sum = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) sum += double{weights[i]} * seen[i];
    y.push_back(static_cast<float>(sum));
  }
  return y;
}

std::vector<float> normed(const std::vector<float>& x, const std::vector<float>& weight) {
  std::vector<float> y(x.size());
  best_kernel_set().rms_norm(x.data(), weight.data(), static_cast<std::uint32_t>(x.size()), 1e-6f, y.data());
  return y;
}

/// The half's output joins the residual.  An activation that lies between two quants may be rounded the other
/// way than in the stage; one such step moves a sum of hundreds of products by less than a thousandth of its
/// size.
void expect_joined(const std::vector<float>& actual, const std::vector<float>& x,
                   const std::vector<float>& half, const std::vector<float>& norm, float scale) {
  const std::vector<float> joined = normed(half, norm);
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(actual[i], (x[i] + joined[i]) * scale, 3e-3) << i;
}

class QuantisedStage : public testing::TestWithParam<Mix> {};

TEST_P(QuantisedStage, FfnHalfIsTheFormula) {
  Layer layer(GetParam());
  const std::vector<float> x = layer.floats(kWidth, 2.0f);
  const std::vector<float> f = normed(x, layer.norm);
  std::vector<float> gate = product(layer.gate, f);
  const std::vector<float> up = product(layer.up, f);
  best_kernel_set().gelu_multiply(gate.data(), up.data(), kFfn);
  expect_joined(layer.run({layer.ffn_unit()}, x, 1, 1), x, product(layer.down, gate), layer.norm, 0.5f);
}

TEST_P(QuantisedStage, AttentionHalfAtPositionZeroIsTheFormula) {
  Layer layer(GetParam());
  const std::vector<float> x = layer.floats(kWidth, 2.0f);
  // A single key gets all the weight: the answer is V, for each of the heads that share it.
  const std::vector<float> v = product(layer.v, normed(x, layer.norm));
  std::vector<float> attended;
  for (std::size_t h = 0; h < kHeads; ++h) {
    const auto head = v.begin() + static_cast<std::ptrdiff_t>(h / (kHeads / kKvHeads) * kDim);
    attended.insert(attended.end(), head, head + kDim);
  }
  expect_joined(layer.run({layer.attention_unit()}, x, 1, 1), x, product(layer.out, attended), layer.norm,
                1.0f);
}

TEST_P(QuantisedStage, SameBitsForAnyChunkingThreadsAndInstructionSet) {
  Layer layer(GetParam());
  const std::vector<float> x = layer.floats(std::size_t{kRows} * kWidth, 2.0f);
  const std::vector<device::Unit> units = {layer.attention_unit(), layer.ffn_unit()};
  const std::vector<float> one_by_one = layer.run(units, x, 1, 1);
  for (const std::uint32_t chunk : {3u, 8u, 33u, kRows}) {
    EXPECT_TRUE(layer.run(units, x, chunk, 1) == one_by_one) << "chunks of " << chunk;
  }
  for (const unsigned threads : {2u, 4u}) {
    EXPECT_TRUE(layer.run(units, x, kRows, threads) == one_by_one) << threads << " threads";
  }
  for (const KernelSet* kernels : supported_kernel_sets()) {
    EXPECT_TRUE(layer.run(units, x, 12, 1, *kernels) == one_by_one) << kernels->name;
  }
}

INSTANTIATE_TEST_SUITE_P(Mixes, QuantisedStage, testing::ValuesIn(kMixes),
                         [](const auto& mix) { return mix.param.name; });

}  // namespace
}  // namespace tandem::cpu
