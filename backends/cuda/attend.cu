// Attention with fp32 scores and a running softmax.  A block takes up to sixteen queries (rows times heads)
// that share a KV head, and goes through their keys in blocks of sixteen that start at multiples of sixteen
// positions.  Keys are cut into parts at positions that a query's own position decides; each part has a
// softmax of its own, and parts are merged oldest first: by the block itself, or, where there are few rows,
// by another kernel after as many blocks as there are parts.
//
// What limits it: shared memory.  Every product reads one element of K or V from it, 32 products a clock and
// SM: enough to keep up with the bytes of the cache for up to 8 heads a KV head in f16, not for the 16 of
// Gemma 4's global layers nor for prefill, which want tensor cores.  At head_dim 512 an SM holds one block of
// four warps.  Keys that are derived cost a double product and a cos/sin a pair.  The next keys are not
// loaded before the last ones are done with.

#include "backends/cuda/attend.h"
#include "backends/cuda/kv_rows.cuh"
#include "backends/cuda/launch.cuh"

namespace tandem::cuda {
namespace {

constexpr unsigned kThreads = 128;
constexpr unsigned kKeys = 16;     ///< of a block of keys
constexpr unsigned kQueries = 16;  ///< of a block of threads
constexpr unsigned kMaxHeadDim = 512;
constexpr unsigned kChunk = 8;  ///< elements loaded together
constexpr unsigned kPad = 4;    ///< between rows of keys: sixteen keys, all banks
constexpr std::uint64_t kShortestPart = 256;
constexpr float kMinusInfinity = -INFINITY;

/// What one launch's blocks have in common.
struct Grid {
  std::uint32_t rows_together;
  std::uint32_t heads_together;
  std::uint32_t head_tiles;  ///< of a KV head
};

/// Length of the parts that the keys of a query at `position` are cut into.
__host__ __device__ __forceinline__ std::uint64_t part_length(std::uint64_t position, std::uint64_t window,
                                                              std::uint32_t max_splits) {
  if (max_splits < 3) return std::uint64_t{1} << 62;
  const std::uint64_t keys = window != 0 && window < position + 1 ? window : position + 1;
  std::uint64_t length = kShortestPart;
  while (keys / length + 2 > max_splits) length *= 2;
  return length;
}

/// The oldest position a query sees: exactly `window` keys, itself included (model-spec 2.4).
__host__ __device__ __forceinline__ std::uint64_t first_visible(std::uint64_t window, std::uint64_t first_key,
                                                                std::uint64_t position) {
  const std::uint64_t first = window != 0 && position + 1 > window ? position + 1 - window : 0;
  return first > first_key ? first : first_key;
}

/// total = total * scale + part * part_scale; one function, so that every merge rounds alike.
__device__ __forceinline__ float merged(float total, float scale, float part, float part_scale) {
  return total * scale + part * part_scale;
}

/// Eight elements of a KV row as fp32.
__device__ __forceinline__ void load_chunk(device::KvType type, const std::byte* row, std::uint64_t first,
                                           float (&to)[kChunk]) {
  const std::byte* from = row + kv_bytes(type, first / 32 * 32);
  const unsigned in_block = static_cast<unsigned>(first % 32);
  if (type == device::KvType::q8_0) {
    const float scale = to_float(*reinterpret_cast<const Half*>(from));
    const auto* quants = reinterpret_cast<const std::uint16_t*>(from + 2 + in_block);
    for (unsigned i = 0; i < kChunk; ++i) {
      to[i] = static_cast<float>(static_cast<std::int8_t>(quants[i / 2] >> (8 * (i % 2)))) * scale;
    }
    return;
  }
  if (type == device::KvType::f32) {
    for (unsigned half = 0; half < 2; ++half) {
      const Bits128 bits = *reinterpret_cast<const Bits128*>(from + 4 * in_block + 16 * half);
      const std::uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
      for (unsigned i = 0; i < 4; ++i) to[4 * half + i] = bits_to_float(words[i]);
    }
    return;
  }
  const Bits128 bits = *reinterpret_cast<const Bits128*>(from + 2 * in_block);
  const std::uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
  for (unsigned i = 0; i < kChunk; ++i) {
    to[i] = to_float(Half{static_cast<std::uint16_t>(words[i / 2] >> (16 * (i % 2)))});
  }
}

/// A block's queries: rows [first_row, first_row + n_rows) of one sequence times some heads of a KV head.
struct Queries {
  std::uint32_t first_row;
  std::uint32_t n_rows;
  std::uint32_t first_head;
  std::uint32_t n_heads;
  std::uint32_t kv_head;
  StepRow sequence;  ///< of the first row

  __device__ std::uint32_t count() const { return n_rows * n_heads; }
  __device__ std::uint64_t position(std::uint32_t query) const { return sequence.position + query / n_heads; }
  /// Where the query's elements lie in q and out.
  __device__ std::uint64_t at(std::uint32_t query, const device::AttentionHalf& half) const {
    const std::uint64_t row = first_row + query / n_heads;
    return (row * half.heads + first_head + query % n_heads) * half.head_dim;
  }
};

/// Dynamic shared memory.
struct Tiles {
  float* queries;  ///< (16, head_dim)
  float* keys;     ///< (16, head_dim + 4)
  float* values;   ///< (16, head_dim)

  __device__ explicit Tiles(std::uint32_t head_dim)
      : queries(shared_memory<float>()),
        keys(queries + kQueries * head_dim),
        values(keys + kKeys * (head_dim + kPad)) {}

  static std::size_t bytes(std::uint32_t head_dim) {
    return sizeof(float) * (kQueries * head_dim + kKeys * (head_dim + kPad) + kKeys * head_dim);
  }
};

/// Running softmaxes, one a query: of the part at hand, and of all parts before.
struct Softmax {
  float peak[kQueries];
  float weight[kQueries];  ///< sum of e^(score - peak)
  float total_peak[kQueries];
  float total_weight[kQueries];
  float rescale[kQueries];      ///< of the part's sums, before the block of keys at hand
  float total_scale[kQueries];  ///< for merging the part into the total; part_scale 0: nothing to merge
  float part_scale[kQueries];
  alignas(16) float scores[kKeys][kQueries];  ///< then their weights
};

/// A thread's elements of the sums over keys of weight * value: kDims of each query, 128 apart.
template <unsigned kDims>
struct Sums {
  float of[kQueries][kDims] = {};
};

/// K and V of positions [begin, end) within the block of keys that starts at `block`; zeros elsewhere.
__device__ void load_keys(const AttendStep& attention, const Queries& queries, std::uint64_t block,
                          std::uint64_t begin, std::uint64_t end, const Tiles& tiles) {
  const device::AttentionHalf& half = attention.half;
  const device::KvCache& kv = half.kv;
  const StepRow& sequence = queries.sequence;
  const std::uint32_t head_dim = half.head_dim;
  const std::uint32_t chunks = head_dim / 2 / kChunk;  // of half a head
  const std::uint64_t head_at = std::uint64_t{queries.kv_head} * head_dim;
#pragma unroll 1
  for (std::uint32_t i = threadIdx.x; i < kKeys * chunks; i += kThreads) {
    const std::uint32_t slot = i / chunks, element = i % chunks * kChunk;
    const std::uint64_t position = block + slot;
    float* key = tiles.keys + slot * (head_dim + kPad) + element;
    float* value = tiles.values + slot * head_dim + element;
    float keys[2][kChunk] = {}, values[2][kChunk] = {};
    if (position >= begin && position < end) {
      const std::byte* row =
          position >= sequence.first_position
              ? attention.staging + (sequence.first_row + (position - sequence.first_position)) * kv.row_bytes
              : kv.rows + kv_cell(kv, attention.step, sequence, position) * kv.row_bytes;
      const bool keeps_keys = kv.layout == device::KvLayout::separate;
      const std::uint64_t values_at = keeps_keys ? std::uint64_t{half.kv_heads} * head_dim : 0;
      for (unsigned part = 0; part < 2; ++part) {
        const std::uint64_t at = head_at + element + part * (head_dim / 2);
        load_chunk(kv.type, row, values_at + at, values[part]);
        if (keeps_keys) load_chunk(kv.type, row, at, keys[part]);
      }
      if (!keeps_keys) {  // K is the vector times the norm weight, rotated (model-spec 2.5)
        for (unsigned e = 0; e < kChunk; ++e) {
          keys[0][e] = values[0][e] * half.k_norm[element + e];
          keys[1][e] = values[1][e] * half.k_norm[element + e + head_dim / 2];
          const double inv_freq = half.inv_freq[element + e];
          if (inv_freq == 0) continue;
          rotate_pair(position, turns_per_position(inv_freq), &keys[0][e], &keys[1][e]);
        }
      }
    }
    for (unsigned e = 0; e < kChunk; ++e) {
      key[e] = keys[0][e];
      key[e + head_dim / 2] = keys[1][e];
      value[e] = values[0][e];
      value[e + head_dim / 2] = values[1][e];
    }
  }
}

/// Scores of all queries against the block of keys; minus infinity where a query does not see the key.
__device__ void score_keys(const AttendStep& attention, const Queries& queries, std::uint64_t block,
                           std::uint64_t begin, std::uint64_t end, const Tiles& tiles, Softmax& softmax) {
  const std::uint32_t head_dim = attention.half.head_dim;
  const unsigned slot = threadIdx.x % kKeys;
  const float* key = tiles.keys + slot * (head_dim + kPad);
  for (unsigned q = threadIdx.x / kKeys; q < queries.count(); q += kThreads / kKeys) {
    const float* query = tiles.queries + q * head_dim;
    float sums[4] = {};
#pragma unroll 4
    for (std::uint32_t i = 0; i < head_dim; i += 4) {
      for (unsigned k = 0; k < 4; ++k) sums[k] += query[i + k] * key[i + k];
    }
    const std::uint64_t position = block + slot;
    const std::uint64_t first =
        first_visible(attention.half.window, queries.sequence.first_key, queries.position(q));
    const bool visible =
        position >= begin && position < end && position >= first && position <= queries.position(q);
    softmax.scores[slot][q] = visible ? (sums[0] + sums[1]) + (sums[2] + sums[3]) : kMinusInfinity;
  }
}

/// Puts the part's softmax of query `q` into the total's and starts a new part.
__device__ __forceinline__ void end_part(Softmax& softmax, unsigned q) {
  softmax.total_scale[q] = 1;
  softmax.part_scale[q] = 0;
  if (softmax.peak[q] == kMinusInfinity) return;
  const float peak = fmaxf(softmax.total_peak[q], softmax.peak[q]);
  softmax.total_scale[q] = expf(softmax.total_peak[q] - peak);
  softmax.part_scale[q] = expf(softmax.peak[q] - peak);
  softmax.total_weight[q] =
      merged(softmax.total_weight[q], softmax.total_scale[q], softmax.weight[q], softmax.part_scale[q]);
  softmax.total_peak[q] = peak;
  softmax.peak[q] = kMinusInfinity;
  softmax.weight[q] = 0;
}

/// Takes the scores of a block of keys into the running softmax of query `q`; they become weights.
__device__ __forceinline__ void take_scores(Softmax& softmax, unsigned q) {
  float peak = softmax.peak[q];
  for (unsigned k = 0; k < kKeys; ++k) peak = fmaxf(peak, softmax.scores[k][q]);
  softmax.rescale[q] = 1;
  if (peak == kMinusInfinity) {  // nothing seen yet
    for (unsigned k = 0; k < kKeys; ++k) softmax.scores[k][q] = 0;
    return;
  }
  softmax.rescale[q] = expf(softmax.peak[q] - peak);
  float sum = 0;
  for (unsigned k = 0; k < kKeys; ++k) {
    const float weight = expf(softmax.scores[k][q] - peak);
    softmax.scores[k][q] = weight;
    sum += weight;
  }
  softmax.weight[q] = softmax.weight[q] * softmax.rescale[q] + sum;
  softmax.peak[q] = peak;
}

/// Merges parts where end_part said so.
template <unsigned kDims>
__device__ __forceinline__ void merge_sums(const Softmax& softmax, std::uint32_t n_queries,
                                           Sums<kDims>& total, Sums<kDims>& part) {
  for (unsigned q = 0; q < kQueries; ++q) {
    if (q >= n_queries || softmax.part_scale[q] == 0) continue;
    for (unsigned i = 0; i < kDims; ++i) {
      total.of[q][i] = merged(total.of[q][i], softmax.total_scale[q], part.of[q][i], softmax.part_scale[q]);
      part.of[q][i] = 0;
    }
  }
}

template <unsigned kDims>
__device__ __forceinline__ void add_values(const Softmax& softmax, const Tiles& tiles,
                                           std::uint32_t n_queries, std::uint32_t head_dim,
                                           Sums<kDims>& sums) {
  for (unsigned q = 0; q < kQueries; ++q) {
    if (q >= n_queries) break;
    for (unsigned i = 0; i < kDims; ++i) sums.of[q][i] *= softmax.rescale[q];
  }
#pragma unroll 1  // or the compiler keeps all weights in registers
  for (unsigned k = 0; k < kKeys; ++k) {
    float values[kDims] = {};
    for (unsigned i = 0; i < kDims; ++i) {
      const std::uint32_t d = threadIdx.x + i * kThreads;
      if (d < head_dim) values[i] = tiles.values[k * head_dim + d];
    }
    for (unsigned q = 0; q < kQueries; ++q) {
      if (q >= n_queries) break;
      for (unsigned i = 0; i < kDims; ++i) sums.of[q][i] += softmax.scores[k][q] * values[i];
    }
  }
}

__device__ void start_queries(const AttendStep& attention, const Queries& queries, const Tiles& tiles,
                              Softmax& softmax) {
  const std::uint32_t head_dim = attention.half.head_dim;
  for (std::uint32_t i = threadIdx.x; i < queries.count() * head_dim; i += kThreads) {
    tiles.queries[i] = attention.q[queries.at(i / head_dim, attention.half) + i % head_dim];
  }
  if (threadIdx.x < kQueries) {
    softmax.peak[threadIdx.x] = softmax.total_peak[threadIdx.x] = kMinusInfinity;
    softmax.weight[threadIdx.x] = softmax.total_weight[threadIdx.x] = 0;
  }
}

/// Goes through positions [begin, end), merging parts into `total` where they end; null where the positions
/// are one part.  Afterwards `sums` and `softmax` hold the last part.
template <unsigned kDims>
__device__ void go_through_keys(const AttendStep& attention, const Queries& queries, std::uint64_t begin,
                                std::uint64_t end, const Tiles& tiles, Softmax& softmax, Sums<kDims>* total,
                                Sums<kDims>& sums) {
  const std::uint32_t n_queries = queries.count();
  start_queries(attention, queries, tiles, softmax);
#pragma unroll 1
  for (std::uint64_t block = begin / kKeys * kKeys; block < end; block += kKeys) {
    load_keys(attention, queries, block, begin, end, tiles);
    sync_threads();
    score_keys(attention, queries, block, begin, end, tiles, softmax);
    sync_threads();
    if (threadIdx.x < n_queries) {
      const std::uint64_t length =
          part_length(queries.position(threadIdx.x), attention.half.window, attention.max_splits);
      softmax.part_scale[threadIdx.x] = 0;
      if (total != nullptr && block % length == 0) end_part(softmax, threadIdx.x);
      take_scores(softmax, threadIdx.x);
    }
    sync_threads();
    if (total != nullptr) merge_sums(softmax, n_queries, *total, sums);
    add_values(softmax, tiles, n_queries, attention.half.head_dim, sums);
    sync_threads();
  }
}

/// The whole of a block's queries: all parts, merged.
template <unsigned kDims>
__device__ void attend_whole(const AttendStep& attention, const Queries& queries, const Tiles& tiles,
                             Softmax& softmax) {
  const device::AttentionHalf& half = attention.half;
  Sums<kDims> total, sums;
  const std::uint64_t begin =
      first_visible(half.window, queries.sequence.first_key, queries.sequence.position);
  go_through_keys(attention, queries, begin, queries.sequence.position + queries.n_rows, tiles, softmax,
                  &total, sums);
  if (threadIdx.x < queries.count()) end_part(softmax, threadIdx.x);
  sync_threads();
  merge_sums(softmax, queries.count(), total, sums);
  for (unsigned q = 0; q < kQueries; ++q) {
    for (unsigned i = 0; i < kDims; ++i) {
      const std::uint32_t d = threadIdx.x + i * kThreads;
      if (q >= queries.count() || d >= half.head_dim) continue;
      attention.out[queries.at(q, half) + d] = total.of[q][i] / softmax.total_weight[q];
    }
  }
  sync_threads();
}

/// Where the part `part` of a query's result lies: head_dim sums, the peak, the weight.
__device__ __forceinline__ float* part_of(const AttendStep& attention, std::uint64_t row, std::uint64_t head,
                                          std::uint64_t part) {
  const std::uint64_t number = (row * attention.half.heads + head) * attention.max_splits + part;
  return attention.parts + number * (attention.half.head_dim + 2);
}

/// Part number blockIdx.z of the keys of one row.
template <unsigned kDims>
__device__ void attend_part(const AttendStep& attention, const Queries& queries, const Tiles& tiles,
                            Softmax& softmax) {
  const device::AttentionHalf& half = attention.half;
  const std::uint64_t position = queries.sequence.position;
  const std::uint64_t length = part_length(position, half.window, attention.max_splits);
  const std::uint64_t oldest = first_visible(half.window, queries.sequence.first_key, position);
  const std::uint64_t number = oldest / length + blockIdx.z;
  const std::uint64_t begin = number * length > oldest ? number * length : oldest;
  const std::uint64_t end = position + 1 - number * length < length ? position + 1 : (number + 1) * length;
  if (number * length > position) return;
  Sums<kDims> sums;
  go_through_keys<kDims>(attention, queries, begin, end, tiles, softmax, nullptr, sums);
  for (unsigned q = 0; q < kQueries; ++q) {
    if (q >= queries.count()) break;
    float* part = part_of(attention, queries.first_row, queries.first_head + q, blockIdx.z);
    for (unsigned i = 0; i < kDims; ++i) {
      const std::uint32_t d = threadIdx.x + i * kThreads;
      if (d < half.head_dim) part[d] = sums.of[q][i];
    }
    if (threadIdx.x == 0) {
      part[half.head_dim] = softmax.peak[q];
      part[half.head_dim + 1] = softmax.weight[q];
    }
  }
}

template <unsigned kDims, bool kSplits>
__global__ void __launch_bounds__(kThreads) attend_tile(AttendStep attention, Grid grid) {
  __shared__ Softmax softmax;
  const device::AttentionHalf& half = attention.half;
  const Tiles tiles(half.head_dim);
  const std::uint32_t group = half.heads / half.kv_heads;
  const std::uint32_t head_in_group = blockIdx.y % grid.head_tiles * grid.heads_together;
  const std::uint32_t end = (blockIdx.x + 1) * grid.rows_together < attention.step.n_rows
                                ? (blockIdx.x + 1) * grid.rows_together
                                : attention.step.n_rows;
  Queries queries;
  queries.kv_head = blockIdx.y / grid.head_tiles;
  queries.first_head = queries.kv_head * group + head_in_group;
  queries.n_heads = group - head_in_group < grid.heads_together ? group - head_in_group : grid.heads_together;
  for (std::uint32_t row = blockIdx.x * grid.rows_together; row < end; row += queries.n_rows) {
    queries.sequence = attention.step.rows[row];  // rows of a tile may belong to several sequences
    queries.first_row = row;
    queries.n_rows = (queries.sequence.end_row < end ? queries.sequence.end_row : end) - row;
    if (kSplits) {
      attend_part<kDims>(attention, queries, tiles, softmax);
    } else {
      attend_whole<kDims>(attention, queries, tiles, softmax);
    }
  }
}

/// Merges the parts of one query, oldest first, as attend_whole does.
__global__ void __launch_bounds__(kThreads) merge_parts(AttendStep attention) {
  const device::AttentionHalf& half = attention.half;
  const std::uint64_t head = blockIdx.x, row = blockIdx.y;
  const StepRow& its_row = attention.step.rows[row];
  const std::uint64_t length = part_length(its_row.position, half.window, attention.max_splits);
  const std::uint64_t oldest = first_visible(half.window, its_row.first_key, its_row.position);
  const std::uint64_t parts = its_row.position / length - oldest / length + 1;
  float peak = kMinusInfinity, weight = 0;
  constexpr unsigned kDims = kMaxHeadDim / kThreads;
  float sums[kDims] = {};
  for (std::uint64_t p = 0; p < parts; ++p) {
    const float* part = part_of(attention, row, head, p);
    const float part_peak = part[half.head_dim];
    const float new_peak = fmaxf(peak, part_peak);
    const float scale = expf(peak - new_peak), part_scale = expf(part_peak - new_peak);
    weight = merged(weight, scale, part[half.head_dim + 1], part_scale);
    for (unsigned i = 0; i < kDims; ++i) {
      const std::uint32_t d = threadIdx.x + i * kThreads;
      if (d < half.head_dim) sums[i] = merged(sums[i], scale, part[d], part_scale);
    }
    peak = new_peak;
  }
  float* out = attention.out + (row * half.heads + head) * half.head_dim;
  for (unsigned i = 0; i < kDims; ++i) {
    const std::uint32_t d = threadIdx.x + i * kThreads;
    if (d < half.head_dim) out[d] = sums[i] / weight;
  }
}

/// Calls `start` with the elements of a result that a thread sums up, as a type.
template <class Start>
void for_dims(std::uint32_t head_dim, Start start) {
  if (head_dim <= kThreads) return start(std::integral_constant<unsigned, 1>());
  if (head_dim <= 2 * kThreads) return start(std::integral_constant<unsigned, 2>());
  return start(std::integral_constant<unsigned, 4>());
}

}  // namespace

void attend(Stream& stream, const AttendStep& attention) {
  const device::AttentionHalf& half = attention.half;
  const std::uint32_t rows = attention.step.n_rows;
  const std::uint32_t group = half.heads / half.kv_heads;
  const bool splits = rows <= kSplitRows && attention.max_splits >= 3;
  Grid grid;
  grid.heads_together = group < kQueries ? group : kQueries;
  grid.head_tiles = divide_up(group, grid.heads_together);
  grid.rows_together = splits ? 1 : kQueries / grid.heads_together;
  const dim3 blocks(divide_up(rows, grid.rows_together), half.kv_heads * grid.head_tiles,
                    splits ? attention.max_splits : 1);
  const Launch shape{"attend", blocks, dim3(kThreads), Tiles::bytes(half.head_dim)};
  for_dims(half.head_dim, [&](auto dims) {
    const auto kernel = splits ? attend_tile<dims(), true> : attend_tile<dims(), false>;
    launch(stream, shape, kernel, attention, grid);
  });
  if (splits) {
    launch(stream, {"merge_parts", dim3(half.heads, rows), dim3(kThreads)}, merge_parts, attention);
  }
}

}  // namespace tandem::cuda
