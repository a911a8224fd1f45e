#pragma once

// Attention.  Keys are taken in blocks of sixteen that start at multiples of sixteen positions, oldest first,
// and blocks in pieces of kPieceTok, each query on its own: what a query gets depends on its position and the
// keys, not on the chunk it came in, nor on whether a key lies in the cache or still in staging, nor on
// whether one thread takes all pieces or several do.
//
// One or two heads a KV head are bound by memory; sixteen, and many rows, by fused multiplications, of which
// scores and values take as many.  Tried and lost: converting a block to floats once for all queries (two
// tiles of 17 KB and more leave the nearest cache; a copy in fp16 stays), four vectors of values at a time
// instead of two, and the softmax of four queries side by side (7 % with heads of 128, else nothing).

#include "backends/cpu/attend_tile.h"
#include "backends/cpu/half.h"
#include "backends/cpu/kernel_set.h"
#include "backends/cpu/mutant.h"
#include "backends/cpu/row_kernels.h"

namespace tandem::cpu {
namespace {

/// Rotation by 0 to 15 positions; with that of a block's first position it gives the rotation of any key.
/// Of whole sixteens of pairs, as far as there are: those that do not turn have cos 1 and sin 0.
struct BlockRotation {
  float offset_cos[kKeyBlock][kMaxHeadDim / 2];
  float offset_sin[kKeyBlock][kMaxHeadDim / 2];
  float first_cos[kMaxHeadDim / 2];
  float first_sin[kMaxHeadDim / 2];
  std::uint32_t pairs;

  explicit BlockRotation(const AttendTask& task) {
    if (task.half->kv.layout != device::KvLayout::vector) return;
    pairs = (task.rotated_pairs + 15) / 16 * 16;
    if (pairs > task.half->head_dim / 2) pairs = task.half->head_dim / 2;
    for (std::uint32_t offset = 0; offset < kKeyBlock; ++offset) {
      rotation(task.half->inv_freq, pairs, offset, offset_cos[offset], offset_sin[offset]);
    }
  }

  void start_block(const AttendTask& task, std::uint64_t block) {
    if (task.half->kv.layout != device::KvLayout::vector) return;
    rotation(task.half->inv_freq, pairs, block, first_cos, first_sin);
  }

  /// Turns sixteen pairs (a, b) of the key in `slot`, from number `i` on, by the sum of both angles.
  TANDEM_INLINE void turn(std::uint32_t slot, std::size_t i, F32x16& a, F32x16& b) const {
    const F32x16 cos_a = load(first_cos + i), sin_a = load(first_sin + i);
    const F32x16 cos_b = load(offset_cos[slot] + i), sin_b = load(offset_sin[slot] + i);
    const F32x16 cos = sub(mul(cos_a, cos_b), mul(sin_a, sin_b));
    const F32x16 sin = add(mul(sin_a, cos_b), mul(cos_a, sin_b));
    const F32x16 turned = sub(mul(a, cos), mul(b, sin));
    b = add(mul(a, sin), mul(b, cos));
    a = turned;
  }

  /// Turns a whole key.
  void turn_key(std::uint32_t slot, std::uint32_t head_dim, float* key) const {
    float* second = key + head_dim / 2;
    std::size_t i = 0;
    for (; i + 16 <= pairs && !mutant(Mutant::adjacent_pair_rope); i += 16) {
      F32x16 a = load(key + i), b = load(second + i);
      turn(slot, i, a, b);
      store(key + i, a);
      store(second + i, b);
    }
    if (i == pairs) return;
    const float* cos_b = offset_cos[slot] + i;
    const float* sin_b = offset_sin[slot] + i;
    float cos[kMaxHeadDim / 2], sin[kMaxHeadDim / 2];
    for (std::size_t k = 0; k < pairs - i; ++k) {
      cos[k] = first_cos[i + k] * cos_b[k] - first_sin[i + k] * sin_b[k];
      sin[k] = first_sin[i + k] * cos_b[k] + first_cos[i + k] * sin_b[k];
    }
    rotate(cos, sin, static_cast<std::uint32_t>(pairs - i), head_dim, key + i);
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

/// Positions [begin, end).
struct Positions {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// Where the KV rows of a block lie.
struct BlockRows {
  const std::byte* rows[kKeyBlock];

  /// Slots whose position is not among `known` have the row of one that is: nobody sees them.
  BlockRows(const AttendTask& task, std::uint64_t block, Positions known) {
    for (std::uint32_t slot = 0; slot < kKeyBlock; ++slot) {
      std::uint64_t position = block + slot;
      if (position < known.begin) position = known.begin;
      if (position >= known.end) position = known.end - 1;
      rows[slot] = kv_row(task, position);
    }
  }
};

inline std::uint32_t queries_a_kv_head(const AttendTask& task) {
  return task.n_rows * task.n_heads;
}

/// First element of a KV head's K in a row, or of the one vector; and of its V.
inline std::size_t key_at(const device::AttentionHalf& half, std::uint32_t kv_head) {
  return std::size_t{kv_head} * half.head_dim;
}
inline std::size_t value_at(const device::AttentionHalf& half, std::uint32_t kv_head) {
  const bool is_vector = half.kv.layout != device::KvLayout::separate;
  return key_at(half, is_vector ? kv_head : half.kv_heads + kv_head);
}

/// K or V of a block as floats, from element `first` of the rows on.
inline FloatRows float_rows(const AttendTask& task, const BlockRows& block, std::size_t first,
                            float (*copies)[kTileStride]) {
  for (std::uint32_t slot = 0; slot < kKeyBlock; ++slot) {
    decode_kv(task.half->kv.type, block.rows[slot], first, task.half->head_dim, copies[slot]);
  }
  return {copies};
}

/// The same of a cache in fp16, if this CPU converts them: where they lie, or, for more queries than a few,
/// side by side.  Rows of several KV heads lie powers of two apart, sixteen of them in a few sets of the
/// nearest cache, which does not hold so many.
inline auto half_rows(const AttendTask& task, const BlockRows& block, std::size_t first,
                      [[maybe_unused]] float (*floats)[kTileStride],
                      [[maybe_unused]] std::uint16_t (*copies)[kHalfStride]) {
  if constexpr (Simd::kConvertsHalves) {
    const bool is_worth_copying = queries_a_kv_head(task) > 16;
    HalfRows halves;
    for (std::uint32_t slot = 0; slot < kKeyBlock; ++slot) {
      halves.rows[slot] = reinterpret_cast<const std::uint16_t*>(block.rows[slot]) + first;
      if (!is_worth_copying) continue;
      __builtin_memcpy(copies[slot], halves.rows[slot], task.half->head_dim * sizeof(std::uint16_t));
      halves.rows[slot] = copies[slot];
    }
    return halves;
  } else {
    return float_rows(task, block, first, floats);
  }
}

/// K made of the one vector, which is V: it times the norm weight, rotated (model-spec 2.5).
inline FloatRows derived_keys(const AttendTask& task, const BlockRotation& turned, const FloatRows& values,
                              float (*keys)[kTileStride]) {
  const device::AttentionHalf& half = *task.half;
  for (std::uint32_t slot = 0; slot < kKeyBlock; ++slot) {
    for_lanes<2>({values.rows[slot], half.k_norm}, half.head_dim, keys[slot],
                 [](const F32x16* in) { return mul(in[0], in[1]); });
    turned.turn_key(slot, half.head_dim, keys[slot]);
  }
  return {keys};
}

/// The same of fp16 vectors, rounded so that products with queries are exact.
template <class Rows>
inline FloatRows rounded_keys(const AttendTask& task, const BlockRotation& turned, const Rows& values,
                              float (*keys)[kTileStride]) {
  const float* norm = task.half->k_norm;
  const std::size_t pairs = task.half->head_dim / 2;
  for (std::uint32_t slot = 0; slot < kKeyBlock; ++slot) {
    for (std::size_t i = 0; i < pairs; i += 16) {
      F32x16 a = mul(values.load16(slot, i), load(norm + i));
      F32x16 b = mul(values.load16(slot, pairs + i), load(norm + pairs + i));
      if (i < turned.pairs) turned.turn(slot, i, a, b);
      store(keys[slot] + i, round_to_13_bits(a));
      store(keys[slot] + pairs + i, round_to_13_bits(b));
    }
  }
  return {keys};
}

/// Asks the memory for a share of the next block, number `kv_head` of the task's: whole strips of rows, which
/// is the order that the CPU's own look-ahead follows.
inline void prefetch_share(const AttendTask& task, const BlockRows& next, std::uint32_t kv_head) {
  const device::AttentionHalf& half = *task.half;
  const std::size_t bytes = kv_bytes(half.kv.type, std::size_t{task.n_kv_heads} * half.head_dim);
  const auto prefetch = [&](const std::byte* from) {
    for (std::size_t at = 0; at < bytes; at += 64) __builtin_prefetch(from + at, 0, 2);
  };
  const std::uint32_t end = (kv_head + 1) * kKeyBlock / task.n_kv_heads;
  for (std::uint32_t slot = kv_head * kKeyBlock / task.n_kv_heads; slot < end; ++slot) {
    prefetch(next.rows[slot] + kv_bytes(half.kv.type, key_at(half, task.kv_head)));
    if (half.kv.layout != device::KvLayout::separate) continue;
    prefetch(next.rows[slot] + kv_bytes(half.kv.type, value_at(half, task.kv_head)));
  }
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
    tile.state[query] = {};
    tile.total[query] = {};
  });
}

/// Takes the piece at hand into what the ones before it gave.
inline void finish_piece(const AttendTask& task, std::uint32_t padded, AttendTile& tile) {
  for_each_query(task, [&](std::uint32_t query, std::size_t) {
    take_piece(tile.state[query], tile.sums[query], padded, tile.total[query], tile.totals[query]);
    __builtin_memset(tile.sums[query], 0, padded * sizeof(float));
    tile.state[query] = {};
  });
}

inline void finish_queries(const AttendTask& task, const AttendTile& tile) {
  const std::uint32_t head_dim = task.half->head_dim;
  for_each_query(task, [&](std::uint32_t query, std::size_t at) {
    if (task.states != nullptr) {
      task.states[at / head_dim] = tile.state[query];
      __builtin_memcpy(task.out + at, tile.sums[query], head_dim * sizeof(float));
      return;
    }
    const F32x16 weight = broadcast(tile.total[query].weight);
    for_lanes<1>({tile.totals[query]}, head_dim, task.out + at,
                 [&](const F32x16* in) { return div(in[0], weight); });
  });
}

/// The queries of a KV head that see some of a block: those of neighbouring rows.
inline QueryRange queries_that_see(const AttendTask& task, std::uint64_t block, std::uint32_t kv_head) {
  const std::uint64_t first_query = task.sequence->first_position + task.first_row;
  std::uint32_t begin = 0, end = task.n_rows;
  while (begin < end && end_visible(first_query + begin) <= block) ++begin;
  while (end > begin && first_visible(task, first_query + end - 1) >= block + kKeyBlock) --end;
  const std::uint32_t first = kv_head * queries_a_kv_head(task);
  return {first + begin * task.n_heads, first + end * task.n_heads};
}

/// Takes a block into the softmax of each query that sees some of it.
template <bool kExactProducts>
inline void weigh_queries(const AttendTask& task, std::uint64_t block, QueryRange queries, AttendTile& tile) {
  const auto slot_of = [&](std::uint64_t position) {
    const std::uint64_t slot = position > block ? position - block : 0;
    return slot < kKeyBlock ? static_cast<std::uint32_t>(slot) : kKeyBlock;
  };
  for (std::uint32_t query = queries.first; query < queries.end; ++query) {
    const std::uint32_t row = query / task.n_heads % task.n_rows;
    const std::uint64_t position = task.sequence->first_position + task.first_row + row;
    weigh_block<kExactProducts>(tile, query, (task.half->head_dim + 15) / 16 * 16,
                                slot_of(first_visible(task, position)), slot_of(end_visible(position)));
  }
}

/// What a block and a KV head add to the queries that read it.
template <bool kExactProducts, class Keys, class Values>
TANDEM_INLINE void attend_block(const AttendTask& task, std::uint64_t block, const Keys& keys,
                                const Values& values, QueryRange queries, AttendTile& tile) {
  const std::uint32_t padded = (task.half->head_dim + 15) / 16 * 16;
  score_block<kExactProducts>(keys, tile, queries, padded);
  weigh_queries<kExactProducts>(task, block, queries, tile);
  add_values<kExactProducts>(values, tile, queries, padded);
}

/// Whether fp32 holds the products exactly: of fp16 numbers with one another, and with weights and derived
/// keys that are rounded.
inline bool has_exact_products(const device::AttentionHalf& half) {
  if (half.kv.type != device::KvType::f16 || mutant(Mutant::adjacent_pair_rope)) return false;
  return half.head_dim % (half.kv.layout == device::KvLayout::separate ? 16 : 32) == 0;
}

/// The same by the form of the cache.
inline void attend_rows(const AttendTask& task, const BlockRotation& turned, std::uint64_t block,
                        const BlockRows& rows, std::uint32_t kv_head, AttendTile& tile) {
  const device::AttentionHalf& half = *task.half;
  const QueryRange queries = queries_that_see(task, block, kv_head);
  const std::size_t key = key_at(half, task.kv_head + kv_head);
  const std::size_t value = value_at(half, task.kv_head + kv_head);
  const bool is_separate = half.kv.layout == device::KvLayout::separate;
  if (has_exact_products(half)) {
    const auto values = half_rows(task, rows, value, tile.values, tile.half_values);
    if (is_separate) {
      const auto keys = half_rows(task, rows, key, tile.keys, tile.half_keys);
      return attend_block<true>(task, block, keys, values, queries, tile);
    }
    const auto keys = rounded_keys(task, turned, values, tile.keys);
    return attend_block<true>(task, block, keys, values, queries, tile);
  }
  const auto values = float_rows(task, rows, value, tile.values);
  const auto keys =
      is_separate ? float_rows(task, rows, key, tile.keys) : derived_keys(task, turned, values, tile.keys);
  attend_block<false>(task, block, keys, values, queries, tile);
}

/// Keys that a query of the task sees.
inline Positions known_keys(const AttendTask& task) {
  const std::uint64_t first_query = task.sequence->first_position + task.first_row;
  const std::uint64_t begin = first_visible(task, first_query), end = first_query + task.n_rows;
  return {begin > task.first_key ? begin : task.first_key, end < task.end_key ? end : task.end_key};
}

void attend(const AttendTask& task) noexcept {
  AttendTile tile;
  BlockRotation turned(task);
  const std::uint32_t padded = (task.half->head_dim + 15) / 16 * 16;
  start_queries(task, padded, tile);
  const Positions known = known_keys(task);
  for (std::uint64_t block = known.begin / kKeyBlock * kKeyBlock; block < known.end; block += kKeyBlock) {
    turned.start_block(task, block);
    const BlockRows rows(task, block, known), next(task, block + kKeyBlock, known);
    for (std::uint32_t kv_head = 0; kv_head < task.n_kv_heads; ++kv_head) {
      if (block + kKeyBlock < known.end) prefetch_share(task, next, kv_head);
      attend_rows(task, turned, block, rows, kv_head, tile);
    }
    const bool ends_piece = (block + kKeyBlock) % kPieceTok == 0 || block + kKeyBlock >= known.end;
    if (ends_piece && task.states == nullptr) finish_piece(task, padded, tile);
  }
  finish_queries(task, tile);
}

void merge_pieces(const AttendPieces& pieces) noexcept {
  for (std::size_t piece = 1; piece < pieces.count; ++piece) {
    take_piece(pieces.states[piece * pieces.states_stride], pieces.sums + piece * pieces.sums_stride,
               pieces.head_dim, pieces.states[0], pieces.sums);
  }
}

}  // namespace
}  // namespace tandem::cpu
