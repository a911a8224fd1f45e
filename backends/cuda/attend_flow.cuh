#pragma once

// How attention goes through the keys, whatever the arithmetic.  A block takes up to sixteen queries (rows
// times heads) that share a KV head, and goes through their keys in blocks of sixteen that start at multiples
// of sixteen positions.  Keys are cut into parts at positions that a query's own position decides; each part
// has a softmax of its own, and parts are merged oldest first: by the block itself, or, where there are few
// rows, by another kernel after as many blocks as there are parts.
//
// An Arithmetic has tiles of queries, keys and values in shared memory, its Softmax, and Sums: a thread's
// elements of the sums over keys of weight * value.  kBlocksOfSm bounds its registers: so many blocks fit an
// SM.

#include "backends/cuda/attend.h"
#include "backends/cuda/attend_grid.h"
#include "backends/cuda/kv_rows.cuh"
#include "backends/cuda/launch.cuh"

namespace tandem::cuda {

constexpr float kMinusInfinity = -INFINITY;

/// Length of the parts that the keys of a query at `position` are cut into, a power of two.
__host__ __device__ __forceinline__ std::uint64_t part_length(std::uint64_t position, std::uint64_t window,
                                                              std::uint32_t max_splits) {
  if (max_splits < kFewestSplits) return std::uint64_t{1} << 62;
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
  return fused_multiply_add(total, scale, part * part_scale);
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

/// A block of keys: those of positions [begin, end) among the sixteen from `first` on.
struct KeyBlock {
  std::uint64_t first;
  std::uint64_t begin;
  std::uint64_t end;

  __device__ bool has(std::uint64_t position) const { return position >= begin && position < end; }
};

/// The KV rows of a block of keys; null where there is no key.
struct KeyRows {
  const std::byte* of[kKeys];

  /// One that there is.
  __device__ const std::byte* operator[](unsigned slot) const { return on_device(of[slot]); }
};

/// The KV row of a position: in staging if it belongs to this micro-batch, else in the cache.
__device__ __forceinline__ const std::byte* kv_row(const AttendStep& attention, const StepRow& sequence,
                                                   std::uint64_t position) {
  const device::KvCache& kv = attention.half.kv;
  if (position >= sequence.first_position) {
    return attention.staging + (sequence.first_row + (position - sequence.first_position)) * kv.row_bytes;
  }
  return kv.rows + kv_cell(kv, attention.step, sequence, position) * kv.row_bytes;
}

/// Finds the rows of a block of keys, each once for all threads: it takes divisions of 64 bits.
__device__ __forceinline__ void find_rows(const AttendStep& attention, const StepRow& sequence,
                                          const KeyBlock& keys, KeyRows& rows) {
  if (threadIdx.x >= kKeys) return;
  const std::uint64_t position = keys.first + threadIdx.x;
  rows.of[threadIdx.x] = keys.has(position) ? kv_row(attention, sequence, position) : nullptr;
}

/// K from the one cached vector (model-spec 2.5): it times the norm weight, rotated; for kChunk elements from
/// `element` on and their partners half a head further.  `rate(i)` is what the angle of pair i grows by with
/// each position (turns_per_position), 0 = not rotated.
template <unsigned kChunk, class Rate>
__device__ __forceinline__ void derive_keys(const device::AttentionHalf& half, const Rate& rate,
                                            std::uint64_t position, std::uint32_t element,
                                            const float (&values)[2][kChunk], float (&keys)[2][kChunk]) {
  for (unsigned e = 0; e < kChunk; ++e) {
    keys[0][e] = values[0][e] * half.k_norm[element + e];
    keys[1][e] = values[1][e] * half.k_norm[element + e + half.head_dim / 2];
    const std::uint64_t turns = rate(element + e);
    if (turns != 0) rotate_pair(position, turns, &keys[0][e], &keys[1][e]);
  }
}

/// Running softmaxes, one a query: of the part at hand, and of all parts before.  Queries have their scores
/// `kStride` words apart.
template <unsigned kStride>
struct Softmax {
  float peak[kQueries];
  float weight[kQueries];  ///< sum of e^(score - peak), in the arithmetic's units
  float total_peak[kQueries];
  float total_weight[kQueries];
  float rescale[kQueries];      ///< of the part's sums, before the block of keys at hand
  float total_scale[kQueries];  ///< for merging the part into the total; part_scale 0: nothing to merge
  float part_scale[kQueries];
  alignas(16) float scores[2][kQueries][kStride];  ///< to be added up; then weights in the first
};

/// Puts the part's softmax of query `q` into the total's and starts a new part.
template <unsigned kStride>
__device__ __forceinline__ void end_part(Softmax<kStride>& softmax, unsigned q) {
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

/// Takes the scores of a block of keys into the running softmax of query `q`, by eight lanes with two keys
/// each; scores become weights, in units of 1 / `unit`.
template <unsigned kStride>
__device__ __forceinline__ void take_scores(const AttendStep& attention, const Queries& queries,
                                            const KeyBlock& keys, float unit, unsigned q,
                                            Softmax<kStride>& softmax) {
  const unsigned first = threadIdx.x % kLanesOfQuery * 2;
  const std::uint64_t position = queries.position(q);
  const std::uint64_t oldest = first_visible(attention.half.window, queries.sequence.first_key, position);
  const float old_peak = softmax.peak[q];
  float scores[2], peak = old_peak;
  for (unsigned i = 0; i < 2; ++i) {
    const std::uint64_t key = keys.first + first + i;
    const bool visible = q < queries.count() && keys.has(key) && key >= oldest && key <= position;
    scores[i] = visible ? softmax.scores[0][q][first + i] + softmax.scores[1][q][first + i] : kMinusInfinity;
    peak = fmaxf(peak, scores[i]);
  }
  for (unsigned bits = 1; bits < kLanesOfQuery; bits *= 2) peak = fmaxf(peak, shuffle_xor(peak, bits));
  const bool seen = peak != kMinusInfinity;
  for (float& score : scores) score = seen ? expf(score - peak) * unit : 0.0f;
  float sum = scores[0] + scores[1];
  for (unsigned bits = 1; bits < kLanesOfQuery; bits *= 2) sum += shuffle_xor(sum, bits);
  for (unsigned i = 0; i < 2; ++i) softmax.scores[0][q][first + i] = scores[i];
  if (first != 0) return;
  const float rescale = seen ? expf(old_peak - peak) : 1.0f;
  softmax.rescale[q] = rescale;
  softmax.weight[q] = fused_multiply_add(softmax.weight[q], rescale, sum);
  softmax.peak[q] = peak;
}

/// Goes through positions [begin, end), merging parts into `total` where they end; null where the positions
/// are one part.  Afterwards `sums` and `softmax` hold the last part.
template <class Arithmetic>
__device__ void go_through_keys(const AttendStep& attention, const Queries& queries, std::uint64_t begin,
                                std::uint64_t end, const Arithmetic& arithmetic,
                                typename Arithmetic::Softmax& softmax, typename Arithmetic::Sums* total,
                                typename Arithmetic::Sums& sums) {
  auto& rows = block_variable<KeyRows>();
  const std::uint64_t first_block = begin / kKeys * kKeys;
  arithmetic.start(attention, queries);
  find_rows(attention, queries.sequence, {first_block, begin, end}, rows);
  const unsigned q = threadIdx.x / kLanesOfQuery;
  const std::uint64_t length =
      total != nullptr ? part_length(queries.position(q), attention.half.window, attention.max_splits) : 0;
  if (threadIdx.x < kQueries) {
    softmax.peak[threadIdx.x] = softmax.total_peak[threadIdx.x] = kMinusInfinity;
    softmax.weight[threadIdx.x] = softmax.total_weight[threadIdx.x] = 0;
  }
  sync_threads();
#pragma unroll 1
  for (std::uint64_t first = first_block; first < end; first += kKeys) {
    const KeyBlock keys{first, begin, end};
    arithmetic.load(attention, queries, first, rows);
    sync_threads();
    find_rows(attention, queries.sequence, {first + kKeys, begin, end}, rows);
    arithmetic.score(attention, queries, softmax);
    if (threadIdx.x % kLanesOfQuery == 0) {
      softmax.part_scale[q] = 0;
      if (total != nullptr && (first & (length - 1)) == 0) end_part(softmax, q);
    }
    sync_threads();
    take_scores(attention, queries, keys, Arithmetic::weight_unit(attention), q, softmax);
    sync_threads();
    if (total != nullptr) arithmetic.merge(softmax, *total, sums);
    arithmetic.add_values(attention, queries, softmax, sums);
    sync_threads();
  }
}

/// The whole of a block's queries: all parts, merged.
template <class Arithmetic>
__device__ void attend_whole(const AttendStep& attention, const Queries& queries,
                             const Arithmetic& arithmetic, typename Arithmetic::Softmax& softmax) {
  const device::AttentionHalf& half = attention.half;
  typename Arithmetic::Sums total, sums;
  const std::uint64_t begin =
      first_visible(half.window, queries.sequence.first_key, queries.sequence.position);
  go_through_keys(attention, queries, begin, queries.sequence.position + queries.n_rows, arithmetic, softmax,
                  &total, sums);
  if (threadIdx.x < kQueries) end_part(softmax, threadIdx.x);
  sync_threads();
  arithmetic.merge(softmax, total, sums);
  arithmetic.for_elements(half.head_dim, total, [&](unsigned q, std::uint32_t d, float sum) {
    if (q < queries.count()) attention.out[queries.at(q, half) + d] = sum / softmax.total_weight[q];
  });
  sync_threads();
}

/// Where the part `part` of a query's result lies: head_dim sums, the peak, the weight.
__device__ __forceinline__ float* part_of(const AttendStep& attention, std::uint64_t row, std::uint64_t head,
                                          std::uint64_t part) {
  const std::uint64_t number = (row * attention.half.heads + head) * attention.max_splits + part;
  return attention.parts + number * (attention.half.head_dim + 2);
}

/// Part number blockIdx.z of the keys of one row.
template <class Arithmetic>
__device__ void attend_part(const AttendStep& attention, const Queries& queries, const Arithmetic& arithmetic,
                            typename Arithmetic::Softmax& softmax) {
  const device::AttentionHalf& half = attention.half;
  const std::uint64_t position = queries.sequence.position;
  const std::uint64_t length = part_length(position, half.window, attention.max_splits);
  const std::uint64_t oldest = first_visible(half.window, queries.sequence.first_key, position);
  const std::uint64_t number = oldest / length + blockIdx.z;
  const std::uint64_t begin = number * length > oldest ? number * length : oldest;
  const std::uint64_t end = position + 1 - number * length < length ? position + 1 : (number + 1) * length;
  if (number * length > position) return;
  typename Arithmetic::Sums sums;
  go_through_keys<Arithmetic>(attention, queries, begin, end, arithmetic, softmax, nullptr, sums);
  const auto part = [&](unsigned q) {
    return part_of(attention, queries.first_row, queries.first_head + q, blockIdx.z);
  };
  arithmetic.for_elements(half.head_dim, sums, [&](unsigned q, std::uint32_t d, float sum) {
    if (q < queries.count()) part(q)[d] = sum;
  });
  const unsigned q = threadIdx.x;
  if (q >= queries.count()) return;
  part(q)[half.head_dim] = softmax.peak[q];
  part(q)[half.head_dim + 1] = softmax.weight[q];
}

template <class Arithmetic, bool kSplits>
__global__ void __launch_bounds__(kAttendThreads, Arithmetic::kBlocksOfSm)
    attend_tile(AttendStep attention, AttendGrid grid) {
  auto& softmax = block_variable<typename Arithmetic::Softmax>();
  const device::AttentionHalf& half = attention.half;
  const Arithmetic arithmetic(half);
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
      attend_part(attention, queries, arithmetic, softmax);
    } else {
      attend_whole(attention, queries, arithmetic, softmax);
    }
  }
}

/// Starts attend_tile with an arithmetic.
template <class Arithmetic>
void launch_attend(Stream& stream, const AttendStep& attention, const AttendGrid& grid) {
  const Launch shape{"attend", grid.blocks, dim3(kAttendThreads), Arithmetic::shared_bytes(attention.half)};
  const auto kernel = grid.blocks.z > 1 ? attend_tile<Arithmetic, true> : attend_tile<Arithmetic, false>;
  launch(stream, shape, kernel, attention, grid);
}

}  // namespace tandem::cuda
