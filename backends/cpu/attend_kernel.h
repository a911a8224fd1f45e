#pragma once

// Attention.  Keys are taken in blocks of sixteen that start at multiples of sixteen positions, oldest first,
// each query on its own: what a query gets depends on its position and the keys, not on the chunk it came in,
// nor on whether a key lies in the cache or still in staging.

#include "backends/cpu/attend_tile.h"
#include "backends/cpu/half.h"
#include "backends/cpu/kernel_set.h"
#include "backends/cpu/mutant.h"
#include "backends/cpu/row_kernels.h"

namespace tandem::cpu {
namespace {

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
    float* second = key + task.half->head_dim / 2;
    std::size_t i = 0;
    for (; i + 16 <= task.rotated_pairs && !mutant(Mutant::adjacent_pair_rope); i += 16) {
      const F32x16 cos_a = load(first_cos + i), sin_a = load(first_sin + i);
      const F32x16 cos = sub(mul(cos_a, load(cos_b + i)), mul(sin_a, load(sin_b + i)));
      const F32x16 sin = add(mul(sin_a, load(cos_b + i)), mul(cos_a, load(sin_b + i)));
      const F32x16 a = load(key + i), b = load(second + i);
      store(key + i, sub(mul(a, cos), mul(b, sin)));
      store(second + i, add(mul(a, sin), mul(b, cos)));
    }
    if (i == task.rotated_pairs) return;
    float cos[kMaxHeadDim / 2], sin[kMaxHeadDim / 2];
    const std::size_t rest = task.rotated_pairs - i;
    for (std::size_t k = 0; k < rest; ++k) {
      cos[k] = first_cos[i + k] * cos_b[i + k] - first_sin[i + k] * sin_b[i + k];
      sin[k] = first_sin[i + k] * cos_b[i + k] + first_cos[i + k] * sin_b[i + k];
    }
    rotate(cos, sin, static_cast<std::uint32_t>(rest), task.half->head_dim, key + i);
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
inline void load_key(const AttendTask& task, const BlockRotation& turned, std::uint32_t kv_head,
                     std::uint64_t position, std::uint32_t slot, AttendTile& tile) {
  const device::AttentionHalf& half = *task.half;
  const std::byte* row = kv_row(task, position);
  const std::size_t head_at = std::size_t{kv_head} * half.head_dim;
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

/// Asks the memory for the row of a key that comes soon: rows of one KV head lie too far apart for the CPU to
/// guess the next one.
inline void prefetch_key(const AttendTask& task, std::uint32_t kv_head, std::uint64_t position) {
  const device::AttentionHalf& half = *task.half;
  const std::byte* row = kv_row(task, position);
  const std::size_t head_at = std::size_t{kv_head} * half.head_dim;
  const std::size_t values_at = std::size_t{half.kv_heads} * half.head_dim + head_at;
  const std::size_t bytes = kv_bytes(half.kv.type, half.head_dim);
  const auto prefetch = [&](std::size_t first) {
    const std::byte* from = row + kv_bytes(half.kv.type, first);
    for (std::size_t at = 0; at < bytes; at += 64) __builtin_prefetch(from + at, 0, 2);
  };
  prefetch(head_at);
  if (half.kv.layout == device::KvLayout::separate) prefetch(values_at);
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

inline std::uint32_t queries_a_kv_head(const AttendTask& task) {
  return task.n_rows * task.n_heads;
}

/// Calls body(query, its first element in q and in out) for all queries of a task: by KV head, then row, then
/// head.
template <class Body>
TANDEM_INLINE void for_each_query(const AttendTask& task, Body body) {
  const device::AttentionHalf& half = *task.half;
  for (std::uint32_t query = 0; query < task.n_kv_heads * queries_a_kv_head(task); ++query) {
    const std::uint32_t kv_head = query / queries_a_kv_head(task);
    const std::size_t row = task.sequence->first_row + task.first_row + query / task.n_heads % task.n_rows;
    const std::size_t head = task.first_head + kv_head * (half.heads / half.kv_heads) + query % task.n_heads;
    body(query, (row * half.heads + head) * half.head_dim);
  }
}

inline void start_queries(const AttendTask& task, std::uint32_t padded, AttendTile& tile) {
  const std::uint32_t head_dim = task.half->head_dim;
  if (padded != head_dim) {  // else keys and values fill their rows
    __builtin_memset(tile.keys, 0, sizeof tile.keys);
    __builtin_memset(tile.values, 0, sizeof tile.values);
  }
  for_each_query(task, [&](std::uint32_t query, std::size_t at) {
    __builtin_memset(tile.queries[query], 0, padded * sizeof(float));
    __builtin_memcpy(tile.queries[query], task.q + at, head_dim * sizeof(float));
    __builtin_memset(tile.sums[query], 0, padded * sizeof(float));
    tile.peak[query] = -__builtin_inff();
    tile.weight[query] = 0;
  });
}

inline void finish_queries(const AttendTask& task, const AttendTile& tile) {
  for_each_query(task, [&](std::uint32_t query, std::size_t at) {
    for (std::size_t i = 0; i < task.half->head_dim; ++i) {
      task.out[at + i] = tile.sums[query][i] / tile.weight[query];
    }
  });
}

/// Positions [begin, end).
struct Positions {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// Keys and values of a block that are among `known`, the rest of it zeros; asks for those of the next block.
inline void load_block(const AttendTask& task, const BlockRotation& turned, std::uint32_t kv_head,
                       std::uint64_t block, Positions known, AttendTile& tile) {
  for (std::uint32_t slot = 0; slot < kKeyBlock; ++slot) {
    const std::uint64_t position = block + slot;
    if (position + kKeyBlock < known.end) prefetch_key(task, kv_head, position + kKeyBlock);
    if (position >= known.begin && position < known.end) {
      load_key(task, turned, kv_head, position, slot, tile);
      continue;
    }
    __builtin_memset(tile.keys[slot], 0, sizeof tile.keys[slot]);
    __builtin_memset(tile.values[slot], 0, sizeof tile.values[slot]);
  }
}

/// Takes a block into the softmax of each query that sees some of it.
inline void weigh_queries(const AttendTask& task, std::uint64_t block, QueryRange queries, AttendTile& tile) {
  const auto slot_of = [&](std::uint64_t position) {
    const std::uint64_t slot = position > block ? position - block : 0;
    return slot < kKeyBlock ? static_cast<std::uint32_t>(slot) : kKeyBlock;
  };
  for (std::uint32_t query = queries.first; query < queries.end; ++query) {
    const std::uint32_t row = query / task.n_heads % task.n_rows;
    const std::uint64_t position = task.sequence->first_position + task.first_row + row;
    weigh_block(tile, query, (task.half->head_dim + 15) / 16 * 16, slot_of(first_visible(task, position)),
                slot_of(end_visible(position)));
  }
}

/// Whether scores are sums of products of fp16 numbers, which fp32 holds exactly.
inline bool has_exact_products(const device::KvCache& kv) {
  return kv.type == device::KvType::f16 && kv.layout == device::KvLayout::separate;
}

void attend(const AttendTask& task) noexcept {
  AttendTile tile;
  BlockRotation turned(task);
  const std::uint32_t padded = (task.half->head_dim + 15) / 16 * 16;
  start_queries(task, padded, tile);
  const std::uint64_t first_query = task.sequence->first_position + task.first_row;
  const Positions known{first_visible(task, first_query), first_query + task.n_rows};
  for (std::uint64_t block = known.begin / kKeyBlock * kKeyBlock; block < known.end; block += kKeyBlock) {
    turned.start_block(task, block);
    for (std::uint32_t kv_head = 0; kv_head < task.n_kv_heads; ++kv_head) {
      const std::uint32_t n = queries_a_kv_head(task);
      const QueryRange queries{kv_head * n, (kv_head + 1) * n};
      load_block(task, turned, task.kv_head + kv_head, block, known, tile);
      if (has_exact_products(task.half->kv)) {
        score_block<true>(tile, queries, padded);
      } else {
        score_block<false>(tile, queries, padded);
      }
      weigh_queries(task, block, queries, tile);
      add_values(tile, queries, padded);
    }
  }
  finish_queries(task, tile);
}

}  // namespace
}  // namespace tandem::cpu
