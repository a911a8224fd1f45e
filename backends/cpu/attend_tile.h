#pragma once

// What attention does with one block of keys: scores, softmax weights, sums of values.  Scores are fp32 sums,
// the softmax is a running one.  Loops go over keys outside and queries inside, so that the block stays in
// the nearest cache; what a query gets does not depend on the other queries of the tile, as long as values
// are finite.  attend_kernel.h says what limits it and what lost.

#include <type_traits>

#include "backends/cpu/kernel_set.h"
#include "backends/cpu/vector_math.h"

namespace tandem::cpu {
namespace {

inline constexpr std::uint32_t kKeyBlock = 16;

/// Floats from one row of a tile to the next, and halves: not a power of two, or rows would share a few lines
/// of the cache.
inline constexpr std::uint32_t kTileStride = kMaxHeadDim + 16;
inline constexpr std::uint32_t kHalfStride = kMaxHeadDim + 32;

/// e^x of one number.
TANDEM_INLINE float exp_of(float x) {
  alignas(64) float lanes[16];
  store(lanes, exp(broadcast(x)));
  return lanes[0];
}

/// Takes what a piece of the keys gave a query into what the pieces before it gave: both are sums of
/// weight * value beside their state.  A piece of which the query sees nothing changes nothing.
TANDEM_INLINE void take_piece(AttendState piece, const float* piece_sums, std::uint32_t n, AttendState& total,
                              float* sums) {
  if (piece.peak == -__builtin_inff()) return;
  if (total.peak == -__builtin_inff()) {
    total = piece;
    __builtin_memcpy(sums, piece_sums, n * sizeof(float));
    return;
  }
  const float peak = piece.peak > total.peak ? piece.peak : total.peak;
  const float old_scale = exp_of(total.peak - peak);
  const float new_scale = exp_of(piece.peak - peak);
  total = {peak, total.weight * old_scale + piece.weight * new_scale};
  for_lanes<2>({sums, piece_sums}, n, sums, [&](const F32x16* in) {
    return add(mul(in[0], broadcast(old_scale)), mul(in[1], broadcast(new_scale)));
  });
}

/// Copies of a key block and the state of up to kTileQueries queries.  Rows are padded to sixteen lanes.
struct AttendTile {
  alignas(64) float keys[kKeyBlock][kTileStride];
  alignas(64) float values[kKeyBlock][kTileStride];
  alignas(64) std::uint16_t half_keys[kKeyBlock][kHalfStride];
  alignas(64) std::uint16_t half_values[kKeyBlock][kHalfStride];
  alignas(64) float queries[kTileQueries][kTileStride];
  alignas(64) float sums[kTileQueries][kTileStride];    ///< of weight * value
  alignas(64) float scores[kTileQueries][kKeyBlock];    ///< of the block at hand; then its softmax weights
  AttendState state[kTileQueries];                      ///< of the piece at hand, as `sums`
  alignas(64) float totals[kTileQueries][kTileStride];  ///< sums of all pieces before
  AttendState total[kTileQueries];
};

/// Keys and values of a block as floats, in a tile.
struct FloatRows {
  const float (*rows)[kTileStride];

  TANDEM_INLINE F32x16 load16(std::uint32_t slot, std::size_t i) const { return load(rows[slot] + i); }
};

/// The same as fp16, where they lie in the cache or in a tile.  Converted as often as they are read, they
/// still come sooner than floats of a tile, which fill the nearest cache.
struct HalfRows {
  const std::uint16_t* rows[kKeyBlock];

  TANDEM_INLINE F32x16 load16(std::uint32_t slot, std::size_t i) const { return load_half(rows[slot] + i); }
};

/// Queries that share what is loaded of keys and values, as many as registers hold sums of.
inline constexpr std::uint32_t kQueriesTogether = kSumsInRegisters == 16 ? 4 : 2;

/// Queries [first, end) of a tile.
struct QueryRange {
  std::uint32_t first = 0;
  std::uint32_t end = 0;
};

/// Calls body(number of queries, first query) for all of a range, most of them kQueriesTogether at a time.
template <class Body>
TANDEM_INLINE void for_queries_together(QueryRange range, Body body) {
  std::uint32_t query = range.first;
  for (; query + kQueriesTogether <= range.end; query += kQueriesTogether) {
    body(std::integral_constant<std::uint32_t, kQueriesTogether>{}, query);
  }
  if (kQueriesTogether > 2 && query + 2 <= range.end) {
    body(std::integral_constant<std::uint32_t, 2>{}, query);
    query += 2;
  }
  if (query < range.end) body(std::integral_constant<std::uint32_t, 1>{}, query);
}

/// Scores of N queries against kKeys slots from `slot` on.
template <std::uint32_t N, std::uint32_t kKeys, bool kExactProducts, class Rows>
TANDEM_INLINE void score_slots(const Rows& keys, AttendTile& tile, std::uint32_t query, std::uint32_t slot,
                               std::uint32_t padded) {
  F32x16 sums[N][kKeys];
  for (auto& of_query : sums) {
    for (F32x16& sum : of_query) sum = broadcast(0.0f);
  }
  for (std::size_t i = 0; i < padded; i += 16) {
    F32x16 q[N];
    for (std::uint32_t n = 0; n < N; ++n) q[n] = load(tile.queries[query + n] + i);
    for (std::uint32_t k = 0; k < kKeys; ++k) {
      const F32x16 key = keys.load16(slot + k, i);
      for (std::uint32_t n = 0; n < N; ++n) {
        sums[n][k] =
            kExactProducts ? add_exact_product(sums[n][k], q[n], key) : add(sums[n][k], mul(q[n], key));
      }
    }
  }
  if constexpr (kKeys >= 4) {
    for (std::uint32_t n = 0; n < N; ++n) {
      for (std::uint32_t k = 0; k < kKeys; k += 4) {
        store(&tile.scores[query + n][slot + k],
              reduce_add4(sums[n][k], sums[n][k + 1], sums[n][k + 2], sums[n][k + 3]));
      }
    }
  } else {
    static_assert(N == 2 && kKeys == 2);
    alignas(16) float scores[4];
    store(scores, reduce_add4(sums[0][0], sums[0][1], sums[1][0], sums[1][1]));
    __builtin_memcpy(&tile.scores[query][slot], scores, 2 * sizeof(float));
    __builtin_memcpy(&tile.scores[query + 1][slot], scores + 2, 2 * sizeof(float));
  }
}

/// Scores of the queries against all slots.
template <bool kExactProducts, class Rows>
void score_block(const Rows& keys, AttendTile& tile, QueryRange queries, std::uint32_t padded) {
  for_queries_together(queries, [&](auto together, std::uint32_t query) {
    constexpr std::uint32_t kKeys = kSumsInRegisters / together;
    for (std::uint32_t slot = 0; slot < kKeyBlock; slot += kKeys) {
      score_slots<together, kKeys, kExactProducts>(keys, tile, query, slot, padded);
    }
  });
}

/// To thirteen significant bits, 0 if tiny: times an fp16 number that is exact in fp32.
TANDEM_INLINE F32x16 round_to_13_bits(F32x16 x) {
  const F32x16 shifted = mul(x, broadcast(2049.0f));  // 2^11 + 1
  const F32x16 rounded = sub(shifted, sub(shifted, x));
  return less_select(abs(x), broadcast(0x1p-100f), broadcast(0.0f), rounded);
}

/// Takes the scores of the slots [begin, end) into one query's running softmax and makes them weights, those
/// of other slots 0.
template <bool kExactProducts>
TANDEM_INLINE void weigh_block(AttendTile& tile, std::uint32_t query, std::uint32_t padded,
                               std::uint32_t begin, std::uint32_t end) {
  float* scores = tile.scores[query];
  if (begin >= end) {
    store(scores, broadcast(0.0f));
    return;
  }
  const bool sees_all = begin == 0 && end == kKeyBlock;
  for (std::uint32_t slot = 0; slot < kKeyBlock && !sees_all; ++slot) {
    if (slot < begin || slot >= end) scores[slot] = -__builtin_inff();
  }
  AttendState& state = tile.state[query];
  const F32x16 lanes = load(scores);
  const float block_peak = reduce_max(lanes);
  const float peak = block_peak > state.peak ? block_peak : state.peak;
  F32x16 weights = exp(sub(lanes, broadcast(peak)));
  if (kExactProducts) weights = round_to_13_bits(weights);
  store(scores, weights);
  if (peak != state.peak) {  // else e^0 = 1 rescales nothing
    const float rescale = exp_of(state.peak - peak);
    state.peak = peak;
    state.weight *= rescale;
    float* sums = tile.sums[query];
    for (std::size_t i = 0; i < padded; i += 16) store(sums + i, mul(load(sums + i), broadcast(rescale)));
  }
  state.weight += reduce_add(weights);
}

/// Adds kVectors times sixteen elements of the block's values, from element `i` on, to the sums of N queries.
template <std::uint32_t N, std::uint32_t kVectors, bool kExactProducts, class Rows>
TANDEM_INLINE void add_value_vectors(const Rows& values, AttendTile& tile, std::uint32_t query,
                                     std::size_t i) {
  F32x16 sums[N][kVectors];
  for (std::uint32_t n = 0; n < N; ++n) {
    const float* from = tile.sums[query + n] + i;
    for (std::uint32_t v = 0; v < kVectors; ++v) sums[n][v] = load(from + 16 * v);
  }
  for (std::uint32_t slot = 0; slot < kKeyBlock; ++slot) {
    F32x16 value[kVectors];
    for (std::uint32_t v = 0; v < kVectors; ++v) value[v] = values.load16(slot, i + 16 * v);
    for (std::uint32_t n = 0; n < N; ++n) {
      const F32x16 weight = broadcast(tile.scores[query + n][slot]);
      for (std::uint32_t v = 0; v < kVectors; ++v) {
        sums[n][v] = kExactProducts ? add_exact_product(sums[n][v], weight, value[v])
                                    : add(sums[n][v], mul(weight, value[v]));
      }
    }
  }
  for (std::uint32_t n = 0; n < N; ++n) {
    float* to = tile.sums[query + n] + i;
    for (std::uint32_t v = 0; v < kVectors; ++v) store(to + 16 * v, sums[n][v]);
  }
}

/// Adds the block's values, by their weights, to the sums of the queries.
template <bool kExactProducts, class Rows>
void add_values(const Rows& values, AttendTile& tile, QueryRange queries, std::uint32_t padded) {
  constexpr std::uint32_t kVectors = 2;
  for_queries_together(queries, [&](auto together, std::uint32_t query) {
    std::size_t i = 0;
    for (; i + 16 * kVectors <= padded; i += 16 * kVectors) {
      add_value_vectors<together, kVectors, kExactProducts>(values, tile, query, i);
    }
    if (i < padded) add_value_vectors<together, 1, kExactProducts>(values, tile, query, i);
  });
}

}  // namespace
}  // namespace tandem::cpu
