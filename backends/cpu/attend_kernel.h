#pragma once

// Attention with fp32 scores and a running softmax.  Keys are taken in blocks of sixteen that start at
// multiples of sixteen positions, oldest first, each query on its own: what a query gets depends on its
// position and the keys, not on the chunk it came in, nor on whether a key lies in the cache or still in
// staging.

#include "backends/cpu/half.h"
#include "backends/cpu/kernel_set.h"
#include "backends/cpu/mutant.h"
#include "backends/cpu/row_kernels.h"
#include "backends/cpu/vector_math.h"

namespace tandem::cpu {
namespace {

inline constexpr std::uint32_t kKeyBlock = 16;

/// fp32 copies of a key block and the state of up to kTileQueries queries.  Rows are padded to sixteen lanes.
struct AttendTile {
  alignas(64) float keys[kKeyBlock][kMaxHeadDim];
  alignas(64) float values[kKeyBlock][kMaxHeadDim];
  alignas(64) float queries[kTileQueries][kMaxHeadDim];
  alignas(64) float sums[kTileQueries][kMaxHeadDim];  ///< of weight * value
  float peak[kTileQueries];                           ///< largest score so far
  float weight[kTileQueries];                         ///< sum of e^(score - peak)
};

/// Rotation by 0 to 15 positions; with that of a block's first position it gives the rotation of any key.
struct BlockRotation {
  float offset_cos[kKeyBlock][kMaxHeadDim / 2];
  float offset_sin[kKeyBlock][kMaxHeadDim / 2];
  float first_cos[kMaxHeadDim / 2];
  float first_sin[kMaxHeadDim / 2];

  explicit BlockRotation(const AttendTask& task) {
    if (task.half->kv.layout != device::KvLayout::vector) return;
    for (std::uint32_t offset = 0; offset < kKeyBlock; ++offset) {
      rotation(task.half->inv_freq, task.rotated_pairs, offset, offset_cos[offset], offset_sin[offset]);
    }
  }

  void start_block(const AttendTask& task, std::uint64_t block) {
    if (task.half->kv.layout != device::KvLayout::vector) return;
    rotation(task.half->inv_freq, task.rotated_pairs, block, first_cos, first_sin);
  }

  /// Turns a key of the block by the sum of both angles.
  void turn(const AttendTask& task, std::uint32_t slot, float* key) const {
    const float* cos_b = offset_cos[slot];
    const float* sin_b = offset_sin[slot];
    float cos[kMaxHeadDim / 2], sin[kMaxHeadDim / 2];
    for (std::size_t i = 0; i < task.rotated_pairs; ++i) {
      cos[i] = first_cos[i] * cos_b[i] - first_sin[i] * sin_b[i];
      sin[i] = first_sin[i] * cos_b[i] + first_cos[i] * sin_b[i];
    }
    rotate(cos, sin, task.rotated_pairs, task.half->head_dim, key);
  }
};

/// The KV row of a position: in staging if it belongs to this micro-batch, else in the cache.
inline const std::byte* kv_row(const AttendTask& task, std::uint64_t position) {
  const device::KvCache& kv = task.half->kv;
  const device::SequenceRows& seq = *task.sequence;
  if (position >= seq.first_position) {
    return task.staging + (seq.first_row + (position - seq.first_position)) * kv.row_bytes;
  }
  return kv.rows + kv_cell(kv, seq, position) * kv.row_bytes;
}

/// Elements [first, first + n) of a KV row as fp32.
inline void decode_kv(device::KvType type, const std::byte* row, std::size_t first, std::uint32_t n,
                      float* to) {
  const std::byte* from = row + kv_bytes(type, first);
  if (type == device::KvType::f32) {
    __builtin_memcpy(to, from, n * sizeof(float));
    return;
  }
  if (type == device::KvType::f16) {
    const auto* halves = reinterpret_cast<const std::uint16_t*>(from);
    std::size_t i = 0;
    for (; i + 16 <= n; i += 16) store(to + i, load_half(halves + i));
    for (; i < n; ++i) to[i] = half_to_float(halves[i]);
    return;
  }
  for (std::size_t b = 0; b < n / 32; ++b) {
    const std::byte* block = from + 34 * b;
    std::uint16_t half;
    __builtin_memcpy(&half, block, sizeof half);
    const F32x16 scale = broadcast(half_to_float(half));
    const auto* quants = reinterpret_cast<const std::int8_t*>(block + 2);
    store(to + 32 * b, mul(load_int8(quants), scale));
    store(to + 32 * b + 16, mul(load_int8(quants + 16), scale));
  }
}

/// K and V of one position into slot `slot`.  With one cached vector, V is that vector and K is it times the
/// norm weight, rotated (model-spec 2.5).
inline void load_key(const AttendTask& task, const BlockRotation& turned, std::uint64_t position,
                     std::uint32_t slot, AttendTile& tile) {
  const device::AttentionHalf& half = *task.half;
  const std::byte* row = kv_row(task, position);
  const std::size_t head_at = std::size_t{task.kv_head} * half.head_dim;
  float* key = tile.keys[slot];
  float* value = tile.values[slot];
  if (half.kv.layout == device::KvLayout::separate) {
    decode_kv(half.kv.type, row, head_at, half.head_dim, key);
    decode_kv(half.kv.type, row, std::size_t{half.kv_heads} * half.head_dim + head_at, half.head_dim, value);
    return;
  }
  decode_kv(half.kv.type, row, head_at, half.head_dim, value);
  for_lanes<2>({value, half.k_norm}, half.head_dim, key, [](const F32x16* in) { return mul(in[0], in[1]); });
  turned.turn(task, slot, key);
}

inline F32x16 dot_lanes(const float* a, const float* b, std::uint32_t padded) {
  F32x16 sum = broadcast(0.0f);
  for (std::size_t i = 0; i < padded; i += 16) sum = add(sum, mul(load(a + i), load(b + i)));
  return sum;
}

/// Scores of one query against the slots [begin, end); the others are minus infinity.
TANDEM_INLINE F32x16 score_block(const AttendTile& tile, std::uint32_t query, std::uint32_t padded,
                                 std::uint32_t begin, std::uint32_t end) {
  alignas(64) float scores[kKeyBlock];
  for (float& score : scores) score = -__builtin_inff();
  const float* q = tile.queries[query];
  std::uint32_t slot = begin;
  for (; slot + 4 <= end; slot += 4) {  // four at a time share the loads of q
    F32x16 sum[4];
    for (F32x16& lanes : sum) lanes = broadcast(0.0f);
    for (std::size_t i = 0; i < padded; i += 16) {
      const F32x16 lanes = load(q + i);
      for (std::uint32_t k = 0; k < 4; ++k) sum[k] = add(sum[k], mul(lanes, load(tile.keys[slot + k] + i)));
    }
    for (std::uint32_t k = 0; k < 4; ++k) scores[slot + k] = reduce_add(sum[k]);
  }
  for (; slot < end; ++slot) scores[slot] = reduce_add(dot_lanes(q, tile.keys[slot], padded));
  return load(scores);
}

/// Takes the slots [begin, end) of the tile into one query's running softmax.
TANDEM_INLINE void attend_block(AttendTile& tile, std::uint32_t query, std::uint32_t padded,
                                std::uint32_t begin, std::uint32_t end) {
  const F32x16 scores = score_block(tile, query, padded, begin, end);
  const float block_peak = reduce_max(scores);
  const float peak = block_peak > tile.peak[query] ? block_peak : tile.peak[query];
  alignas(64) float weights[kKeyBlock];
  store(weights, exp(sub(scores, broadcast(peak))));
  alignas(64) float rescale_lanes[16];
  store(rescale_lanes, exp(broadcast(tile.peak[query] - peak)));
  const float rescale = rescale_lanes[0];
  tile.peak[query] = peak;
  tile.weight[query] = tile.weight[query] * rescale + reduce_add(load(weights));
  float* sums = tile.sums[query];
  for (std::size_t i = 0; i < padded; i += 16) {
    F32x16 sum = mul(load(sums + i), broadcast(rescale));
    for (std::uint32_t slot = begin; slot < end; ++slot) {
      sum = add(sum, mul(broadcast(weights[slot]), load(tile.values[slot] + i)));
    }
    store(sums + i, sum);
  }
}

/// The same for a whole block, which most are: its loops have fixed lengths.
void attend_whole_block(AttendTile& tile, std::uint32_t query, std::uint32_t padded) {
  attend_block(tile, query, padded, 0, kKeyBlock);
}

void attend_part_of_block(AttendTile& tile, std::uint32_t query, std::uint32_t padded, std::uint32_t begin,
                          std::uint32_t end) {
  attend_block(tile, query, padded, begin, end);
}

/// The oldest position a query sees: exactly `window` keys, itself included (model-spec 2.4).
inline std::uint64_t first_visible(const AttendTask& task, std::uint64_t position) {
  std::uint64_t window = task.half->window;
  if (window == 0) return task.sequence->first_key;
  if (mutant(Mutant::window_plus_one)) ++window;
  if (mutant(Mutant::window_minus_one)) --window;
  const std::uint64_t first = position + 1 > window ? position + 1 - window : 0;
  return first > task.sequence->first_key ? first : task.sequence->first_key;
}

inline std::uint64_t end_visible(std::uint64_t position) {
  return mutant(Mutant::skip_last_key) && position > 0 ? position : position + 1;
}

inline void start_queries(const AttendTask& task, std::uint32_t padded, AttendTile& tile) {
  const device::AttentionHalf& half = *task.half;
  const std::size_t stride = std::size_t{half.heads} * half.head_dim;
  if (padded != half.head_dim) {  // else keys and values fill their rows
    __builtin_memset(tile.keys, 0, sizeof tile.keys);
    __builtin_memset(tile.values, 0, sizeof tile.values);
  }
  for (std::uint32_t r = 0; r < task.n_rows; ++r) {
    for (std::uint32_t h = 0; h < task.n_heads; ++h) {
      const std::uint32_t query = r * task.n_heads + h;
      const std::size_t row = task.sequence->first_row + task.first_row + r;
      const float* q = task.q + row * stride + std::size_t{task.first_head + h} * half.head_dim;
      __builtin_memset(tile.queries[query], 0, padded * sizeof(float));
      __builtin_memcpy(tile.queries[query], q, half.head_dim * sizeof(float));
      __builtin_memset(tile.sums[query], 0, padded * sizeof(float));
      tile.peak[query] = -__builtin_inff();
      tile.weight[query] = 0;
    }
  }
}

inline void finish_queries(const AttendTask& task, const AttendTile& tile) {
  const device::AttentionHalf& half = *task.half;
  const std::size_t stride = std::size_t{half.heads} * half.head_dim;
  for (std::uint32_t r = 0; r < task.n_rows; ++r) {
    for (std::uint32_t h = 0; h < task.n_heads; ++h) {
      const std::uint32_t query = r * task.n_heads + h;
      const std::size_t row = task.sequence->first_row + task.first_row + r;
      float* out = task.out + row * stride + std::size_t{task.first_head + h} * half.head_dim;
      for (std::size_t i = 0; i < half.head_dim; ++i) out[i] = tile.sums[query][i] / tile.weight[query];
    }
  }
}

void attend(const AttendTask& task) noexcept {
  AttendTile tile;
  BlockRotation turned(task);
  const std::uint32_t padded = (task.half->head_dim + 15) / 16 * 16;
  start_queries(task, padded, tile);
  const std::uint64_t first_query = task.sequence->first_position + task.first_row;
  const std::uint64_t oldest = first_visible(task, first_query);
  const std::uint64_t end = first_query + task.n_rows;
  for (std::uint64_t block = oldest / kKeyBlock * kKeyBlock; block < end; block += kKeyBlock) {
    const std::uint64_t load_begin = block > oldest ? block : oldest;
    const std::uint64_t load_end = block + kKeyBlock < end ? block + kKeyBlock : end;
    turned.start_block(task, block);
    for (std::uint64_t p = load_begin; p < load_end; ++p) {
      load_key(task, turned, p, static_cast<std::uint32_t>(p - block), tile);
    }
    for (std::uint32_t r = 0; r < task.n_rows; ++r) {
      const std::uint64_t position = first_query + r;
      const std::uint64_t first = first_visible(task, position);
      const std::uint64_t last = end_visible(position);
      const std::uint64_t begin_slot = first > load_begin ? first : load_begin;
      const std::uint64_t end_slot = last < load_end ? last : load_end;
      if (begin_slot >= end_slot) continue;
      const auto begin = static_cast<std::uint32_t>(begin_slot - block);
      const auto end_of = static_cast<std::uint32_t>(end_slot - block);
      for (std::uint32_t h = 0; h < task.n_heads; ++h) {
        const std::uint32_t query = r * task.n_heads + h;
        if (end_of - begin == kKeyBlock) {
          attend_whole_block(tile, query, padded);
        } else {
          attend_part_of_block(tile, query, padded, begin, end_of);
        }
      }
    }
  }
  finish_queries(task, tile);
}

}  // namespace
}  // namespace tandem::cpu
