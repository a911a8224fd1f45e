// Attention by every kernel set: to the bit what the baseline gives, and the same whatever else is in a task.

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

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

/// Random keys, values and queries of one sequence; every row of it is in staging.
class RandomAttention {
 public:
  RandomAttention(CachedForm form, std::uint32_t window) : inv_freq_(kHeadDim / 2, 0.0) {
    std::mt19937 random(11);
    std::normal_distribution<float> values;
    for (std::uint32_t i = 0; i < kPairs; ++i) inv_freq_[i] = std::pow(1e4, -2.0 * i / kHeadDim);
    for (std::uint32_t i = 0; i < kHeadDim; ++i) k_norm_.push_back(1 + 0.3F * values(random));
    for (std::uint32_t i = 0; i < kPositions * kHeads * kHeadDim; ++i) q_.push_back(0.3F * values(random));
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
    staging_.resize(kPositions * half_.kv.row_bytes);
    for (std::uint32_t p = 0; p < kPositions; ++p) {
      std::vector<float> row;
      for (std::uint32_t i = 0; i < elems; ++i) row.push_back(values(random));
      kernels.encode_kv(row.data(), elems, form.type, &staging_[p * half_.kv.row_bytes]);
    }
  }

  /// All queries, cut into tasks of so many rows, heads of a KV head, and KV heads.
  [[nodiscard]] std::vector<std::uint32_t> bits(const KernelSet& kernels, std::uint32_t rows,
                                                std::uint32_t heads, std::uint32_t kv_heads) const {
    std::vector<float> out(q_.size(), NAN);
    const device::SequenceRows sequence{0, 0, kPositions, 0, 0, nullptr};
    AttendTask task;
    task.half = &half_;
    task.sequence = &sequence;
    task.staging = staging_.data();
    task.q = q_.data();
    task.out = out.data();
    task.n_kv_heads = kv_heads;
    task.rotated_pairs = kPairs;
    for (task.first_row = 0; task.first_row < kPositions; task.first_row += rows) {
      task.n_rows = std::min(rows, kPositions - task.first_row);
      for (task.kv_head = 0; task.kv_head < kKvHeads; task.kv_head += kv_heads) {
        for (std::uint32_t head = 0; head < kGroup; head += heads) {
          task.first_head = task.kv_head * kGroup + head;
          task.n_heads = std::min(heads, kGroup - head);
          kernels.attend(task);
        }
      }
    }
    std::vector<std::uint32_t> result;
    for (const float value : out) {
      EXPECT_FALSE(std::isnan(value));
      result.push_back(std::bit_cast<std::uint32_t>(value));
    }
    return result;
  }

 private:
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
