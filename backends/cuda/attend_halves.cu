// Attention through the tensor cores, for f16 and q8_0 caches.  Sixteen queries are the rows of a tile, be
// they the heads of Gemma 4's one KV head, rows of a prompt, or fewer of both; sums are fp32.
//
// Nothing is rounded that fp32 arithmetic would not round too, though tensor cores cut sums where it rounds
// them: queries are fp16 already, so are keys and values of an f16 cache, and the quants of a q8_0 block are
// whole numbers, whose sums are scaled in fp32.  What is not fp16 - softmax weights, and keys derived from
// the one cached vector - is a sum of two fp16 numbers, which hold 22 bits of it, and takes two products.
//
// What limits it: at long contexts the cache's bytes, if nothing else does: the next keys are not loaded
// before the last ones are done with, so an SM loads about as long as it computes unless several blocks share
// it (one at head_dim 512, five at 128).  Derived keys cost a cos/sin a rotated pair and product twice.

#include "backends/cuda/attend_flow.cuh"

namespace tandem::cuda {
namespace {

constexpr unsigned kWarps = kAttendThreads / kWarp;
constexpr unsigned kChunk = 8;       ///< elements loaded together
constexpr unsigned kScaled = 32;     ///< elements of a q8_0 block
constexpr unsigned kPad = 4;         ///< words between rows of queries and keys: eight rows, all banks
constexpr unsigned kPairPad = 8;     ///< words between pairs of values: four pairs, all banks
constexpr float kF16Unit = 0x1p15f;  ///< weights take what fp16 has above 1, to keep small ones exact
constexpr float kQ8_0Unit = 0x1p8f;  ///< the block's scale comes on top

__device__ __forceinline__ std::uint32_t two_halves(Half low, Half high) {
  return low.bits | static_cast<std::uint32_t>(high.bits) << 16;
}

/// Two numbers as fp16, and what that leaves of them.
struct SplitPair {
  std::uint32_t high;
  std::uint32_t rest;
};
__device__ __forceinline__ SplitPair split(float a, float b) {
  const Half high[2] = {to_half(a), to_half(b)};
  return {two_halves(high[0], high[1]),
          two_halves(to_half(a - to_float(high[0])), to_half(b - to_float(high[1])))};
}

/// Eight cached elements as fp16; of a q8_0 cache their quants.
__device__ __forceinline__ Bits128 load_halves(device::KvType type, const std::byte* row,
                                               std::uint64_t first) {
  if (type == device::KvType::f16) return *reinterpret_cast<const Bits128*>(row + 2 * first);
  const std::byte* from = row + kv_bytes(type, first / kScaled * kScaled) + 2 + first % kScaled;
  std::uint32_t words[4];
  for (unsigned i = 0; i < 4; ++i) {
    const auto two = reinterpret_cast<const std::uint16_t*>(from)[i];
    words[i] = two_halves(to_half(static_cast<float>(static_cast<std::int8_t>(two & 255))),
                          to_half(static_cast<float>(static_cast<std::int8_t>(two >> 8))));
  }
  return {words[0], words[1], words[2], words[3]};
}

/// What the elements of `load_halves` are multiplied with.
__device__ __forceinline__ float load_scale(device::KvType type, const std::byte* row, std::uint64_t first) {
  if (type == device::KvType::f16) return 1.0f;
  return to_float(*reinterpret_cast<const Half*>(row + kv_bytes(type, first / kScaled * kScaled)));
}

__device__ __forceinline__ void to_floats(const Bits128& halves, float scale, float (&to)[kChunk]) {
  const std::uint32_t words[4] = {halves.x, halves.y, halves.z, halves.w};
  for (unsigned i = 0; i < kChunk; ++i) {
    to[i] = to_float(Half{static_cast<std::uint16_t>(words[i / 2] >> (16 * (i % 2)))}) * scale;
  }
}

/// Weights of sixteen keys for sixteen queries as a tile, rows first.
struct WeightTile {
  std::uint32_t high[4];
  std::uint32_t rest[4];
};

/// A warp sums up kTiles times eight elements: element i of tile n is query g + 8 (i / 2) and element
/// 8 (warp * kTiles + n) + 2 t + i % 2, where lane = 4 g + t (intrinsics.cuh).
template <unsigned kTiles>
class Halves {
 public:
  static constexpr unsigned kBlocksOfSm = kTiles == 16 ? 2 : kTiles == 8 ? 4 : 5;

  using Softmax = cuda::Softmax<24>;  ///< pairs of keys at eight queries, all banks

  struct Sums {
    float of[kTiles][4] = {};
  };

  __device__ explicit Halves(const device::AttentionHalf& half)
      : stride_(half.head_dim / 2 + kPad),
        value_stride_(half.head_dim + kPairPad),
        blocks_(half.head_dim / kScaled),
        queries_(shared_memory<std::uint32_t>()),
        keys_(queries_ + kQueries * stride_),
        key_rests_(keys_ + kKeys * stride_),
        values_(key_rests_ + (derives_keys(half) ? kKeys * stride_ : 0)),
        rates_(reinterpret_cast<std::uint64_t*>(values_ + kKeys / 2 * value_stride_)),
        key_scales_(reinterpret_cast<float*>(rates_ + (derives_keys(half) ? half.head_dim / 2 : 0))),
        value_scales_(key_scales_ + kKeys * blocks_) {}

  static std::size_t shared_bytes(const device::AttentionHalf& half) {
    const std::size_t row_words = half.head_dim / 2 + kPad;
    const std::size_t tiles = derives_keys(half) ? 3 : 2;
    const std::size_t scales = half.kv.type == device::KvType::q8_0 ? 2 * (half.head_dim / kScaled) : 0;
    const std::size_t rates = derives_keys(half) ? half.head_dim / 2 : 0;
    return sizeof(std::uint32_t) *
               (tiles * kKeys * row_words + kKeys / 2 * (half.head_dim + kPairPad) + kKeys * scales) +
           sizeof(std::uint64_t) * rates;
  }

  __device__ static float weight_unit(const AttendStep& attention) {
    return attention.half.kv.type == device::KvType::f16 ? kF16Unit : kQ8_0Unit;
  }

  __device__ void start(const AttendStep& attention, const Queries& queries) const {
    const std::uint32_t words = attention.half.head_dim / 2;
    for (std::uint32_t i = threadIdx.x; i < kQueries * words; i += kAttendThreads) {
      const std::uint32_t query = i / words, word = i % words;
      std::uint32_t two = 0;
      if (query < queries.count()) {
        const float* q = attention.q + queries.at(query, attention.half) + 2 * word;
        two = two_halves(to_half(q[0]), to_half(q[1]));
      }
      queries_[query * stride_ + word] = two;
    }
    if (!derives_keys(attention.half)) return;
#pragma unroll 1
    for (std::uint32_t i = threadIdx.x; i < words; i += kAttendThreads) {
      rates_[i] = turns_per_position(attention.half.inv_freq[i]);
    }
  }

  /// K and V of the sixteen positions from `first` on; zeros where there is no key.
  __device__ void load(const AttendStep& attention, const Queries& queries, std::uint64_t first,
                       const KeyRows& rows) const {
    load_values(attention, queries, rows);
    if (derives_keys(attention.half)) {
      load_derived_keys(attention, queries, first, rows);
    } else {
      load_keys(attention, queries, rows);
    }
  }

  /// A warp's scores are those of eight keys, from about half of the elements.
  __device__ void score(const AttendStep& attention, const Queries&, Softmax& softmax) const {
    const unsigned g = lane_id() / 4, t = lane_id() % 4, warp = threadIdx.x / kWarp;
    const unsigned tile = warp % 2, part = warp / 2;
    const std::uint32_t steps = attention.half.head_dim / 16;
    const std::uint32_t middle = (steps / 2 + 1) / 2 * 2;  // whole q8_0 blocks
    const std::uint32_t begin = part == 0 ? 0 : middle, end = part == 0 ? middle : steps;
    float sums[4] = {};
    if (is_scaled(attention.half)) {
      for (std::uint32_t step = begin; step < end; step += 2) {
        float products[4] = {};
        add_products(keys_, tile, step, products);
        add_products(keys_, tile, step + 1, products);
        const float* scales = key_scales_ + (8 * tile + 2 * t) * blocks_ + step / 2;
        for (unsigned i = 0; i < 4; ++i) {
          sums[i] = fused_multiply_add(products[i], scales[i % 2 * blocks_], sums[i]);
        }
      }
    } else {
      for (std::uint32_t step = begin; step < end && step < steps; ++step) {
        add_products(keys_, tile, step, sums);
        if (derives_keys(attention.half)) add_products(key_rests_, tile, step, sums);
      }
    }
    for (unsigned i = 0; i < 4; ++i)
      softmax.scores[part][g + 8 * (i / 2)][8 * tile + 2 * t + i % 2] = sums[i];
  }

  /// Merges parts where end_part said so.
  __device__ void merge(const Softmax& softmax, Sums& total, Sums& part) const {
    const unsigned g = lane_id() / 4;
#pragma unroll
    for (unsigned i = 0; i < 4; ++i) {
      const unsigned q = g + 8 * (i / 2);
      if (softmax.part_scale[q] == 0) continue;
#pragma unroll
      for (unsigned n = 0; n < kTiles; ++n) {
        total.of[n][i] = merged(total.of[n][i], softmax.total_scale[q], part.of[n][i], softmax.part_scale[q]);
        part.of[n][i] = 0;
      }
    }
  }

  __device__ void add_values(const AttendStep& attention, const Queries&, const Softmax& softmax,
                             Sums& sums) const {
    const bool scaled = attention.half.kv.type == device::KvType::q8_0;
    const unsigned g = lane_id() / 4, t = lane_id() % 4;
    WeightTile weights = scaled ? WeightTile() : weight_tile(softmax, nullptr);
#pragma unroll
    for (unsigned n = 0; n < kTiles; ++n) {
      const unsigned tile = threadIdx.x / kWarp * kTiles + n;
      if (8 * tile >= attention.half.head_dim) continue;
      if (scaled && (n == 0 || tile % 4 == 0)) weights = weight_tile(softmax, value_scales_ + tile / 4);
      for (unsigned i = 0; i < 4; ++i) sums.of[n][i] *= softmax.rescale[g + 8 * (i / 2)];
      const std::uint32_t* pair = values_ + t * value_stride_ + 8 * tile + g;
      const std::uint32_t values[2] = {pair[0], pair[4 * value_stride_]};
      multiply_tiles_f16(sums.of[n], weights.high, values);
      multiply_tiles_f16(sums.of[n], weights.rest, values);
    }
  }

  /// Calls use(query, element, sum) for this thread's sums.
  template <class Use>
  __device__ void for_elements(std::uint32_t head_dim, const Sums& sums, const Use& use) const {
    const unsigned g = lane_id() / 4, t = lane_id() % 4;
#pragma unroll
    for (unsigned n = 0; n < kTiles; ++n) {
      const unsigned tile = threadIdx.x / kWarp * kTiles + n;
      if (8 * tile >= head_dim) continue;
#pragma unroll
      for (unsigned i = 0; i < 4; ++i) use(g + 8 * (i / 2), 8 * tile + 2 * t + i % 2, sums.of[n][i]);
    }
  }

 private:
  __host__ __device__ static bool derives_keys(const device::AttentionHalf& half) {
    return half.kv.layout == device::KvLayout::vector;
  }

  /// Whether products with keys are to be multiplied with the scales of their blocks.
  __device__ static bool is_scaled(const device::AttentionHalf& half) {
    return half.kv.type == device::KvType::q8_0 && !derives_keys(half);
  }

  /// products += elements 16 * step and following of all queries times those of keys 8 * tile and following.
  __device__ void add_products(const std::uint32_t* keys, unsigned tile, std::uint32_t step,
                               float (&products)[4]) const {
    const unsigned g = lane_id() / 4, t = lane_id() % 4;
    const std::uint32_t* query = queries_ + g * stride_ + 8 * step + t;
    const std::uint32_t* key = keys + (8 * tile + g) * stride_ + 8 * step + t;
    multiply_tiles_f16(products, {query[0], query[8 * stride_], query[4], query[8 * stride_ + 4]},
                       {key[0], key[4]});
  }

  /// The weights; times a scale of each key, `blocks_` apart, unless `scales` is null.
  __device__ WeightTile weight_tile(const Softmax& softmax, const float* scales) const {
    const unsigned g = lane_id() / 4, t = lane_id() % 4;
    WeightTile tile;
    for (unsigned i = 0; i < 4; ++i) {
      const unsigned key = 2 * t + 8 * (i / 2);
      const float* weights = &softmax.scores[0][g + 8 * (i % 2)][key];
      const float first = scales != nullptr ? weights[0] * scales[key * blocks_] : weights[0];
      const float second = scales != nullptr ? weights[1] * scales[(key + 1) * blocks_] : weights[1];
      const SplitPair two = split(first, second);
      tile.high[i] = two.high;
      tile.rest[i] = two.rest;
    }
    return tile;
  }

  /// Two keys' values of an element are one word.
  __device__ void load_values(const AttendStep& attention, const Queries& queries,
                              const KeyRows& rows) const {
    const device::AttentionHalf& half = attention.half;
    const std::uint32_t chunks = half.head_dim / kChunk;
    const std::uint64_t heads_before = queries.kv_head + (derives_keys(half) ? 0 : half.kv_heads);
#pragma unroll 1
    for (std::uint32_t i = threadIdx.x; i < kKeys / 2 * chunks; i += kAttendThreads) {
      const std::uint32_t pair = i / chunks, element = i % chunks * kChunk;
      const std::uint64_t at = heads_before * half.head_dim + element;
      Bits128 two[2] = {};
      for (unsigned k = 0; k < 2; ++k) {
        const unsigned slot = 2 * pair + k;
        float scale = 0;
        if (rows.of[slot] != nullptr) {
          const std::byte* row = rows[slot];
          two[k] = load_halves(half.kv.type, row, at);
          scale = load_scale(half.kv.type, row, at);
        }
        if (half.kv.type == device::KvType::q8_0 && element % kScaled == 0) {
          value_scales_[slot * blocks_ + element / kScaled] = scale;
        }
      }
      auto* to = reinterpret_cast<Bits128*>(values_ + pair * value_stride_ + element);
      to[0] = {low_halves(two[0].x, two[1].x), high_halves(two[0].x, two[1].x),
               low_halves(two[0].y, two[1].y), high_halves(two[0].y, two[1].y)};
      to[1] = {low_halves(two[0].z, two[1].z), high_halves(two[0].z, two[1].z),
               low_halves(two[0].w, two[1].w), high_halves(two[0].w, two[1].w)};
    }
  }

  __device__ static std::uint32_t low_halves(std::uint32_t a, std::uint32_t b) {
    return (a & 0xffff) | b << 16;
  }
  __device__ static std::uint32_t high_halves(std::uint32_t a, std::uint32_t b) {
    return a >> 16 | (b & 0xffff0000u);
  }

  __device__ void load_keys(const AttendStep& attention, const Queries& queries, const KeyRows& rows) const {
    const device::AttentionHalf& half = attention.half;
    const std::uint32_t chunks = half.head_dim / kChunk;
#pragma unroll 1
    for (std::uint32_t i = threadIdx.x; i < kKeys * chunks; i += kAttendThreads) {
      const std::uint32_t slot = i / chunks, element = i % chunks * kChunk;
      const std::uint64_t at = std::uint64_t{queries.kv_head} * half.head_dim + element;
      Bits128 eight = {};
      float scale = 0;
      if (rows.of[slot] != nullptr) {
        const std::byte* row = rows[slot];
        eight = load_halves(half.kv.type, row, at);
        scale = load_scale(half.kv.type, row, at);
      }
      *reinterpret_cast<Bits128*>(keys_ + slot * stride_ + element / 2) = eight;
      if (is_scaled(half) && element % kScaled == 0) key_scales_[slot * blocks_ + element / kScaled] = scale;
    }
  }

  __device__ void load_derived_keys(const AttendStep& attention, const Queries& queries, std::uint64_t first,
                                    const KeyRows& rows) const {
    const device::AttentionHalf& half = attention.half;
    const auto rate = [this](std::uint32_t i) { return rates_[i]; };
    const std::uint32_t chunks = half.head_dim / 2 / kChunk;  // of half a head
#pragma unroll 1
    for (std::uint32_t i = threadIdx.x; i < kKeys * chunks; i += kAttendThreads) {
      const std::uint32_t slot = i / chunks, element = i % chunks * kChunk;
      float keys[2][kChunk] = {};
      if (rows.of[slot] != nullptr) {
        const std::byte* row = rows[slot];
        float values[2][kChunk];
        for (unsigned part = 0; part < 2; ++part) {
          const std::uint64_t at =
              std::uint64_t{queries.kv_head} * half.head_dim + element + part * (half.head_dim / 2);
          to_floats(load_halves(half.kv.type, row, at), load_scale(half.kv.type, row, at), values[part]);
        }
        derive_keys(half, rate, first + slot, element, values, keys);
      }
      for (unsigned part = 0; part < 2; ++part) {
        const std::uint32_t at = slot * stride_ + element / 2 + part * (half.head_dim / 4);
        for (unsigned e = 0; e < kChunk / 2; ++e) {
          const SplitPair two = split(keys[part][2 * e], keys[part][2 * e + 1]);
          keys_[at + e] = two.high;
          key_rests_[at + e] = two.rest;
        }
      }
    }
  }

  std::uint32_t stride_;        ///< words of a row of queries or keys
  std::uint32_t value_stride_;  ///< words of two keys' values
  std::uint32_t blocks_;        ///< of q8_0 in a head
  std::uint32_t* queries_;      ///< (16, stride)
  std::uint32_t* keys_;         ///< (16, stride)
  std::uint32_t* key_rests_;    ///< (16, stride), of derived keys
  std::uint32_t* values_;       ///< (8, value stride)
  std::uint64_t* rates_;        ///< (head_dim / 2) of the rotation, for derived keys
  float* key_scales_;           ///< (16, blocks), of a q8_0 cache
  float* value_scales_;         ///< (16, blocks), of a q8_0 cache
};

}  // namespace

void attend_in_halves(Stream& stream, const AttendStep& attention, const AttendGrid& grid) {
  constexpr unsigned kElements = 8 * kWarps;  // of a block's tiles, one a warp
  const std::uint32_t head_dim = attention.half.head_dim;
  if (head_dim <= 2 * kElements) return launch_attend<Halves<2>>(stream, attention, grid);
  if (head_dim <= 4 * kElements) return launch_attend<Halves<4>>(stream, attention, grid);
  if (head_dim <= 8 * kElements) return launch_attend<Halves<8>>(stream, attention, grid);
  return launch_attend<Halves<16>>(stream, attention, grid);
}

}  // namespace tandem::cuda
