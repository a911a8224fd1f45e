// Attention by every kernel set: to the bit what the baseline gives, and the same whatever else is in a task.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cpu/half.h"
#include "backends/cpu/kernel_set.h"
#include "backends/cpu/kv_rows.h"

namespace tandem::cpu {
namespace {

using device::KvLayout;
using device::KvType;

struct CachedForm {
  KvType type = KvType::f16;
  KvLayout layout = KvLayout::separate;
};

constexpr std::uint32_t kHeads = 16, kKvHeads = 4, kGroup = kHeads / kKvHeads, kHeadDim = 96, kPairs = 20;
constexpr std::uint32_t kPositions = 83, kWindow = 37;
constexpr std::uint32_t kLongPositions = 2 * kPieceTok + 93, kLongWindow = kPieceTok + 31;

/// Random keys, values and queries of one sequence; every row of it is in staging.
class RandomAttention {
 public:
  RandomAttention(CachedForm form, std::uint32_t window, std::uint32_t positions = kPositions)
      : positions_(positions), inv_freq_(kHeadDim / 2, 0.0) {
    std::mt19937 random(11);
    std::normal_distribution<float> values;
    for (std::uint32_t i = 0; i < kPairs; ++i) inv_freq_[i] = std::pow(1e4, -2.0 * i / kHeadDim);
    for (std::uint32_t i = 0; i < kHeadDim; ++i) k_norm_.push_back(1 + 0.3F * values(random));
    for (std::uint32_t i = 0; i < positions * kHeads * kHeadDim; ++i) q_.push_back(0.3F * values(random));
    half_.heads = kHeads;
    half_.kv_heads = kKvHeads;
    half_.head_dim = kHeadDim;
    half_.window = window;
    half_.k_norm = k_norm_.data();
    half_.inv_freq = inv_freq_.data();
    half_.kv.type = form.type;
    half_.kv.layout = form.layout;
    const std::uint32_t elems = (form.layout == KvLayout::separate ? 2 : 1) * kKvHeads * kHeadDim;
    half_.kv.row_bytes = kv_bytes(form.type, elems);
    const auto& kernels = *supported_kernel_sets().back();
    kernels.round_query(1, form.type, static_cast<std::uint32_t>(q_.size()), q_.data());
    staging_.resize(positions * half_.kv.row_bytes);
    for (std::uint32_t p = 0; p < positions; ++p) {
      std::vector<float> row;
      for (std::uint32_t i = 0; i < elems; ++i) row.push_back(values(random));
      kernels.encode_kv(row.data(), elems, form.type, &staging_[p * half_.kv.row_bytes]);
    }
  }

  /// All queries, cut into tasks of so many rows, heads of a KV head, and KV heads.
  [[nodiscard]] std::vector<std::uint32_t> bits(const KernelSet& kernels, std::uint32_t rows,
                                                std::uint32_t heads, std::uint32_t kv_heads) const {
    std::vector<float> out(q_.size(), NAN);
    const device::SequenceRows sequence{0, 0, positions_, 0, 0, nullptr};
    AttendTask task;
    task.half = &half_;
    task.sequence = &sequence;
    task.staging = staging_.data();
    task.q = q_.data();
    task.out = out.data();
    task.n_kv_heads = kv_heads;
    task.rotated_pairs = kPairs;
    for (task.first_row = 0; task.first_row < positions_; task.first_row += rows) {
      task.n_rows = std::min(rows, positions_ - task.first_row);
      for (task.kv_head = 0; task.kv_head < kKvHeads; task.kv_head += kv_heads) {
        for (std::uint32_t head = 0; head < kGroup; head += heads) {
          task.first_head = task.kv_head * kGroup + head;
          task.n_heads = std::min(heads, kGroup - head);
          kernels.attend(task);
        }
      }
    }
    return bits_of(out);
  }

  /// The last `rows` rows, all pieces of keys by one task.
  [[nodiscard]] std::vector<std::uint32_t> last_rows(const KernelSet& kernels, std::uint32_t rows) const {
    std::vector<float> out(q_.size(), NAN);
    const device::SequenceRows sequence{0, 0, positions_, 0, 0, nullptr};
    for (std::uint32_t head = 0; head < kHeads; ++head) {
      AttendTask task = task_of(sequence, head, rows);
      task.out = out.data();
      kernels.attend(task);
    }
    return bits_of({out.end() - rows * kHeads * kHeadDim, out.end()});
  }

  /// The same, the pieces in tasks of their own, merged in two goes.
  [[nodiscard]] std::vector<std::uint32_t> last_rows_in_pieces(const KernelSet& kernels,
                                                               std::uint32_t rows) const {
    const std::size_t pieces = (positions_ + kPieceTok - 1) / kPieceTok;
    const std::size_t states_each = std::size_t{positions_} * kHeads;
    std::vector<float> sums(pieces * q_.size(), NAN);
    std::vector<AttendState> states(pieces * states_each);
    const device::SequenceRows sequence{0, 0, positions_, 0, 0, nullptr};
    for (std::size_t piece = pieces; piece-- > 0;) {
      for (std::uint32_t head = 0; head < kHeads; ++head) {
        AttendTask task = task_of(sequence, head, rows);
        task.first_key = piece * kPieceTok;
        task.end_key = task.first_key + kPieceTok;
        task.out = &sums[piece * q_.size()];
        task.states = &states[piece * states_each];
        kernels.attend(task);
      }
    }
    for (std::size_t query = states_each - std::size_t{rows} * kHeads; query < states_each; ++query) {
      float* const first = &sums[query * kHeadDim];
      kernels.merge_pieces({first, q_.size(), &states[query], states_each, 2, kHeadDim});
      states[states_each + query] = states[query];
      std::copy_n(first, kHeadDim, first + q_.size());
      kernels.merge_pieces(
          {first + q_.size(), q_.size(), &states[states_each + query], states_each, pieces - 1, kHeadDim});
      for (std::uint32_t i = 0; i < kHeadDim; ++i)
        first[i] = first[q_.size() + i] / states[states_each + query].weight;
    }
    const auto end = sums.begin() + static_cast<std::ptrdiff_t>(q_.size());
    return bits_of({end - rows * kHeads * kHeadDim, end});
  }

  /// Softmax attention in fp64, of the last row.
  [[nodiscard]] std::vector<double> exact_last_row() const {
    std::vector<double> result;
    const std::uint32_t row = positions_ - 1;
    const std::uint32_t first = half_.window != 0 && row + 1 > half_.window ? row + 1 - half_.window : 0;
    for (std::uint32_t head = 0; head < kHeads; ++head) {
      std::vector<double> sums(kHeadDim, 0.0);
      double weight = 0;
      for (std::uint32_t p = first; p <= row; ++p) {
        const auto at = [&](std::uint32_t i) {
          std::uint16_t half;
          std::memcpy(&half, &staging_[p * half_.kv.row_bytes + 2 * (i + head / kGroup * kHeadDim)], 2);
          return static_cast<double>(half_to_float(half));
        };
        double score = 0;
        for (std::uint32_t i = 0; i < kHeadDim; ++i) {
          score += at(i) * static_cast<double>(q_[(row * kHeads + head) * kHeadDim + i]);
        }
        weight += std::exp(score);
        for (std::uint32_t i = 0; i < kHeadDim; ++i) sums[i] += std::exp(score) * at(kKvHeads * kHeadDim + i);
      }
      for (const double sum : sums) result.push_back(sum / weight);
    }
    return result;
  }

 private:
  [[nodiscard]] AttendTask task_of(const device::SequenceRows& sequence, std::uint32_t head,
                                   std::uint32_t rows) const {
    AttendTask task;
    task.half = &half_;
    task.sequence = &sequence;
    task.staging = staging_.data();
    task.q = q_.data();
    task.rotated_pairs = kPairs;
    task.kv_head = head / kGroup;
    task.first_head = head;
    task.n_heads = 1;
    task.first_row = positions_ - rows;
    task.n_rows = rows;
    return task;
  }

  static std::vector<std::uint32_t> bits_of(const std::vector<float>& out) {
    std::vector<std::uint32_t> result;
    for (const float value : out) {
      EXPECT_FALSE(std::isnan(value));
      result.push_back(std::bit_cast<std::uint32_t>(value));
    }
    return result;
  }

  std::uint32_t positions_;
  device::AttentionHalf half_;
  std::vector<double> inv_freq_;
  std::vector<float> k_norm_, q_;
  std::vector<std::byte> staging_;
};

class Attends : public testing::TestWithParam<CachedForm> {};

TEST_P(Attends, ToTheSameBitsOnEverySetAndInEveryCompany) {
  for (const std::uint32_t window : {0U, kWindow}) {
    const RandomAttention attention(GetParam(), window);
    const auto expected = attention.bits(*supported_kernel_sets().back(), 1, 1, 1);
    for (const KernelSet* kernels : supported_kernel_sets()) {
      SCOPED_TRACE(std::string(kernels->name) + ", window " + std::to_string(window));
      EXPECT_EQ(attention.bits(*kernels, 1, 1, 1), expected);
      EXPECT_EQ(attention.bits(*kernels, 1, 3, 1), expected);
      EXPECT_EQ(attention.bits(*kernels, 1, kGroup, 4), expected);
      EXPECT_EQ(attention.bits(*kernels, 2, kGroup, 2), expected);
      EXPECT_EQ(attention.bits(*kernels, 5, 3, 1), expected);
      EXPECT_EQ(attention.bits(*kernels, 16, 1, 1), expected);
      EXPECT_EQ(attention.bits(*kernels, 16, kGroup, 1), expected);
      EXPECT_EQ(attention.bits(*kernels, 8, kGroup, 2), expected);
    }
  }
}

TEST_P(Attends, ToTheSameBitsInPiecesOfKeys) {
  for (const std::uint32_t window : {0U, kLongWindow}) {
    const RandomAttention attention(GetParam(), window, kLongPositions);
    const auto expected = attention.last_rows(*supported_kernel_sets().back(), 3);
    for (const KernelSet* kernels : supported_kernel_sets()) {
      SCOPED_TRACE(std::string(kernels->name) + ", window " + std::to_string(window));
      EXPECT_EQ(attention.last_rows(*kernels, 3), expected);
      EXPECT_EQ(attention.last_rows_in_pieces(*kernels, 3), expected);
    }
  }
}

TEST(Attend, GivesWhatDefinitionSays) {
  for (const std::uint32_t window : {0U, kLongWindow}) {
    const RandomAttention attention({KvType::f16, KvLayout::separate}, window, kLongPositions);
    const auto exact = attention.exact_last_row();
    const auto bits = attention.last_rows(best_kernel_set(), 1);
    ASSERT_EQ(bits.size(), exact.size());
    // Weights have 13 bits: each is off by up to 2^-14 of itself, and values are below 5.
    for (std::size_t i = 0; i < bits.size(); ++i) {
      EXPECT_NEAR(static_cast<double>(std::bit_cast<float>(bits[i])), exact[i], 5 * 0x1p-14) << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Forms, Attends,
                         testing::Values(CachedForm{KvType::f32, KvLayout::separate},
                                         CachedForm{KvType::f32, KvLayout::vector},
                                         CachedForm{KvType::f16, KvLayout::separate},
                                         CachedForm{KvType::f16, KvLayout::vector},
                                         CachedForm{KvType::q8_0, KvLayout::separate},
                                         CachedForm{KvType::q8_0, KvLayout::vector}));

}  // namespace
}  // namespace tandem::cpu
