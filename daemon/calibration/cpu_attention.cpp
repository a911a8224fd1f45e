#include "daemon/calibration/cpu_attention.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "daemon/calibration/cpu_units.h"
#include "planner/attention_tiles.h"

namespace tandem::calibration {
namespace {

constexpr std::uint32_t kContext = 4096;
constexpr std::uint32_t kManyRows = 64;

/// What a step had to do, and how long it took.
struct Work {
  double bytes = 0;
  double ops = 0;
  double scores = 0;
  double seconds = 0;
};

std::uint64_t row_bytes(const AttentionShape& shape) {
  const std::uint64_t vectors = shape.layout == device::KvLayout::separate ? 2 : 1;
  return vectors * shape.kv_heads * shape.head_dim * sizeof(std::uint16_t);
}

/// A step of `rows` rows through the first `n` of `halves`.
Work work_of(Pace& pace, cpu::Team& team, const cpu::KernelSet& kernels, const AttentionHalves& halves,
             std::uint32_t rows, std::size_t n) {
  const auto& shape = halves.shape();
  const model::LayerSpec layer{.heads = shape.heads, .kv_heads = shape.kv_heads};
  const auto tiles = planner::attention_tiles(layer, rows, 1, team.threads());
  const auto pairs = std::uint64_t{rows} * (kContext - rows) * n;  // of a row and a key
  const auto keys = static_cast<double>(pairs) * tiles.imbalance;
  return {keys * static_cast<double>(row_bytes(shape)) * tiles.loads_a_key,
          keys * 4 * shape.heads * shape.head_dim, keys * shape.heads,
          halves.seconds(pace, team, kernels, rows, n)};
}

using Triple = std::array<double, 3>;

double determinant(const Triple& a, const Triple& b, const Triple& c) {
  return a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) +
         a[2] * (b[0] * c[1] - b[1] * c[0]);
}

/// Seconds of a byte, of an operation and of a score: three equations, solved by Cramer's rule.
Triple seconds_each(const Work& a, const Work& b, const Work& c) {
  const Triple bytes{a.bytes, b.bytes, c.bytes}, ops{a.ops, b.ops, c.ops},
      scores{a.scores, b.scores, c.scores}, seconds{a.seconds, b.seconds, c.seconds};
  const auto all = determinant(bytes, ops, scores);
  return {determinant(seconds, ops, scores) / all, determinant(bytes, seconds, scores) / all,
          determinant(bytes, ops, seconds) / all};
}

/// As many as hold `kv_bytes`, at least one.
AttentionHalves halves_of(const AttentionShape& shape, std::size_t kv_bytes) {
  return {shape, std::max<std::size_t>(1, kv_bytes / (row_bytes(shape) * kContext)), kManyRows};
}

// Heads of Gemma 3 and 4 12B: of sliding layers, half of those as short ones, and of Gemma 4's global layers.
constexpr AttentionShape kWide{32, 16, 8, 256, 128, device::KvLayout::separate, kContext};
constexpr AttentionShape kNarrow{32, 16, 8, 64, 32, device::KvLayout::separate, kContext};
constexpr AttentionShape kVector{32, 16, 1, 512, 64, device::KvLayout::vector, kContext};

}  // namespace

AttentionProbe::AttentionProbe(std::size_t kv_bytes)
    : wide_(halves_of(kWide, kv_bytes)),
      narrow_(halves_of(kNarrow, 0)),
      vector_(halves_of(kVector, kv_bytes / 2)) {}

AttentionRates AttentionProbe::rates(Pace& pace, cpu::Team& team, const cpu::KernelSet& kernels) const {
  const auto work = [&](const AttentionHalves& halves, std::uint32_t rows, std::size_t n) {
    return work_of(pace, team, kernels, halves, rows, n);
  };
  // A row loads a key for one or two queries, many rows load it for dozens.
  const auto one = work(wide_, 1, wide_.count());
  const auto [byte_s, op_s, score_s] =
      seconds_each(one, work(wide_, kManyRows, 1), work(narrow_, kManyRows, 1));
  const bool told_apart = byte_s > 0 && op_s > 0 && score_s > 0;
  if (!told_apart) return {};
  AttentionRates rates;
  rates.gb_per_s = 1 / byte_s / 1e9;
  rates.tops = 1 / op_s / 1e12;
  rates.scores_g_per_s = 1 / score_s / 1e9;
  const auto loaded_gb_per_s = [&, op_s = op_s, score_s = score_s](const Work& done) {
    const auto load_s = done.seconds - done.ops * op_s - done.scores * score_s;
    return load_s > 0 ? done.bytes / load_s / 1e9 : 0;
  };
  rates.vector_gb_per_s = loaded_gb_per_s(work(vector_, 1, vector_.count()));
  // The KV of one half is in the caches after its first step.
  rates.cached_gb_per_s = loaded_gb_per_s(work(wide_, 1, 1));
  rates.cached_vector_gb_per_s = loaded_gb_per_s(work(vector_, 1, 1));
  return rates;
}

}  // namespace tandem::calibration
