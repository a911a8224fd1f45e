// What happens to q, k and v between their projections and attention.  A block takes one head of one row, its
// pairs of elements in registers.
//
// What limits it: latency; a row of a 12B layer is 24 blocks of 128 threads.  The angle is an integer product
// and one cos/sin, no double beyond the rate of each pair.

#include "backends/cuda/block_sum.cuh"
#include "backends/cuda/heads.h"
#include "backends/cuda/kv_rows.cuh"
#include "backends/cuda/launch.cuh"

namespace tandem::cuda {
namespace {

constexpr unsigned kThreads = 128;  ///< of a block, at most
constexpr unsigned kMaxHeadDim = 512;
constexpr unsigned kPairs = kMaxHeadDim / 2 / kThreads;  ///< of a thread, at most

/// A thread's pairs (i, i + head_dim / 2) of a head, i = thread, thread + blockDim.x, ...
struct Pairs {
  float first[kPairs] = {};
  float second[kPairs] = {};
};

/// Calls work(pair of the thread, i) for the thread's pairs.
template <class Work>
__device__ __forceinline__ void for_pairs(std::uint32_t head_dim, const Work& work) {
  for (unsigned p = 0; p < kPairs; ++p) {
    const std::uint32_t i = threadIdx.x + p * blockDim.x;
    if (i < head_dim / 2) work(p, i);
  }
}

__device__ __forceinline__ Pairs load_head(const float* head, std::uint32_t head_dim) {
  Pairs pairs;
  for_pairs(head_dim, [&](unsigned p, std::uint32_t i) {
    pairs.first[p] = head[i];
    pairs.second[p] = head[i + head_dim / 2];
  });
  return pairs;
}

__device__ __forceinline__ float rms_factor(const Pairs& pairs, std::uint32_t head_dim, float eps,
                                            float* scratch) {
  float sum = 0;
  for (unsigned p = 0; p < kPairs; ++p) {
    sum += pairs.first[p] * pairs.first[p] + pairs.second[p] * pairs.second[p];
  }
  return 1.0f / sqrtf(block_sum(sum, scratch) / static_cast<float>(head_dim) + eps);
}

/// pairs = pairs * factor * weight, rotated.
__device__ __forceinline__ void norm_and_rotate(const HeadStep& heads, std::uint64_t position, float factor,
                                                const float* weight, Pairs& pairs) {
  for_pairs(heads.half.head_dim, [&](unsigned p, std::uint32_t i) {
    pairs.first[p] = pairs.first[p] * factor * weight[i];
    pairs.second[p] = pairs.second[p] * factor * weight[i + heads.half.head_dim / 2];
    if (heads.half.inv_freq[i] == 0) return;
    rotate_pair(position, turns_per_position(heads.half.inv_freq[i]), &pairs.first[p], &pairs.second[p]);
  });
}

__device__ __forceinline__ void store_pairs(const Pairs& pairs, std::uint32_t head_dim, float* head) {
  for_pairs(head_dim, [&](unsigned p, std::uint32_t i) {
    head[i] = pairs.first[p];
    head[i + head_dim / 2] = pairs.second[p];
  });
}

/// A head in shared memory to the KV type.  q8_0 is the GGUF block: fp16 scale, int8 quants to nearest.
__device__ void encode(const float* head, std::uint32_t n, device::KvType type, std::byte* to) {
  if (type == device::KvType::f32) {
    for (std::uint32_t i = threadIdx.x; i < n; i += blockDim.x) reinterpret_cast<float*>(to)[i] = head[i];
    return;
  }
  if (type == device::KvType::f16) {
    for (std::uint32_t i = threadIdx.x; i < n; i += blockDim.x) {
      reinterpret_cast<Half*>(to)[i] = to_half(head[i]);
    }
    return;
  }
  for (std::uint32_t b = threadIdx.x / kWarp; b < n / 32; b += blockDim.x / kWarp) {
    const float value = head[32 * b + lane_id()];
    const Half scale = to_half(warp_max(fabsf(value)) / 127.0f);
    const float rounded = to_float(scale);
    const float quant = rounded > 0 ? fminf(fmaxf(roundf(value / rounded), -127.0f), 127.0f) : 0.0f;
    std::byte* block = to + 34 * b;
    reinterpret_cast<std::int8_t*>(block)[2 + lane_id()] = static_cast<std::int8_t>(quant);
    if (lane_id() == 0) *reinterpret_cast<Half*>(block) = scale;
  }
}

__device__ void finish_query(const HeadStep& heads, std::uint64_t row, std::uint32_t head, float* scratch) {
  const device::AttentionHalf& half = heads.half;
  float* q = heads.q + (row * half.heads + head) * half.head_dim;
  Pairs pairs = load_head(q, half.head_dim);
  const float factor = rms_factor(pairs, half.head_dim, heads.eps, scratch);
  norm_and_rotate(heads, heads.step.rows[row].position, factor, half.q_norm, pairs);
  for (unsigned p = 0; p < kPairs; ++p) {
    pairs.first[p] *= half.attention_scale;
    pairs.second[p] *= half.attention_scale;
    if (half.kv.type == device::KvType::f32) continue;
    pairs.first[p] = to_float(to_half(pairs.first[p]));
    pairs.second[p] = to_float(to_half(pairs.second[p]));
  }
  store_pairs(pairs, half.head_dim, q);
}

__device__ void finish_key_and_value(const HeadStep& heads, std::uint64_t row, std::uint32_t head,
                                     float* scratch, float* shared_head) {
  const device::AttentionHalf& half = heads.half;
  const std::uint64_t at = (row * half.kv_heads + head) * half.head_dim;
  const bool keeps_keys = half.kv.layout == device::KvLayout::separate;
  std::byte* to = heads.staging + row * half.kv.row_bytes;

  Pairs keys = load_head(heads.k + at, half.head_dim);
  const float key_factor = rms_factor(keys, half.head_dim, heads.eps, scratch);
  Pairs values = keys;
  float value_factor = key_factor;
  if (heads.v != nullptr) {
    values = load_head(heads.v + at, half.head_dim);
    value_factor = half.v_norm ? rms_factor(values, half.head_dim, heads.eps, scratch) : 1.0f;
  }
  for (unsigned p = 0; p < kPairs; ++p) {
    values.first[p] *= value_factor;
    values.second[p] *= value_factor;
  }
  store_pairs(values, half.head_dim, shared_head);
  sync_threads();
  const std::uint64_t values_at = keeps_keys ? std::uint64_t{half.kv_heads} * half.head_dim : 0;
  const std::uint64_t head_at = std::uint64_t{head} * half.head_dim;
  encode(shared_head, half.head_dim, half.kv.type, to + kv_bytes(half.kv.type, values_at + head_at));
  if (!keeps_keys) return;
  sync_threads();
  norm_and_rotate(heads, heads.step.rows[row].position, key_factor, half.k_norm, keys);
  store_pairs(keys, half.head_dim, shared_head);
  sync_threads();
  encode(shared_head, half.head_dim, half.kv.type, to + kv_bytes(half.kv.type, head_at));
}

__global__ void __launch_bounds__(kThreads) finish_head(HeadStep heads) {
  auto& scratch = block_variable<float[kThreads / kWarp]>();
  auto& shared_head = block_variable<float[kMaxHeadDim]>();
  const std::uint32_t head = blockIdx.x;
  if (head < heads.half.heads) {
    finish_query(heads, blockIdx.y, head, scratch);
  } else {
    finish_key_and_value(heads, blockIdx.y, head - heads.half.heads, scratch, shared_head);
  }
}

/// Copies a KV row, all threads of a block together.
__device__ __forceinline__ void copy_row(const std::byte* from, std::byte* to, std::uint64_t row_bytes) {
  const auto aligned =
      reinterpret_cast<std::uintptr_t>(from) | reinterpret_cast<std::uintptr_t>(to) | row_bytes;
  if (aligned % sizeof(Bits128) == 0) {
    for (std::uint64_t i = threadIdx.x; i < row_bytes / sizeof(Bits128); i += blockDim.x) {
      reinterpret_cast<Bits128*>(to)[i] = reinterpret_cast<const Bits128*>(from)[i];
    }
    return;
  }
  for (std::uint64_t i = threadIdx.x; i < row_bytes / sizeof(Half); i += blockDim.x) {
    reinterpret_cast<Half*>(to)[i] = reinterpret_cast<const Half*>(from)[i];
  }
}

__device__ __forceinline__ std::byte* draft_row(const device::KvCache& kv, const StepRow& row,
                                                std::uint64_t draft) {
  return kv.drafts + (std::uint64_t{row.slot} * kv.draft_rows + draft) * kv.row_bytes;
}

__global__ void __launch_bounds__(kThreads) commit_row(HeadStep heads) {
  const device::KvCache& kv = heads.half.kv;
  const StepRow row = heads.step.rows[blockIdx.x];
  if (row.slot == kNoSlot) return;
  const std::byte* from = heads.staging + blockIdx.x * kv.row_bytes;
  const std::uint64_t end = row.first_position + (row.end_row - row.first_row) - row.draft_rows;
  if (row.position >= end) return copy_row(from, draft_row(kv, row, row.position - end), kv.row_bytes);
  if (kv.cells != 0 && row.position + kv.cells < end) return;
  copy_row(from, kv.rows + kv_cell(kv, heads.step, row, row.position) * kv.row_bytes, kv.row_bytes);
}

/// A block has the drafts of the sequence that a row is the first of.
__global__ void __launch_bounds__(kThreads) commit_draft(device::KvCache kv, StepRows step) {
  const StepRow row = step.rows[blockIdx.x];
  if (row.slot == kNoSlot || row.first_row != blockIdx.x) return;
  for (std::uint32_t draft = 0; draft < row.accepted_rows; ++draft) {
    const std::uint64_t position = row.first_position - row.accepted_rows + draft;
    copy_row(draft_row(kv, row, draft), kv.rows + kv_cell(kv, step, row, position) * kv.row_bytes,
             kv.row_bytes);
  }
}

/// Whole warps for `pieces` pieces of work.
dim3 threads_for(std::uint32_t pieces) {
  const unsigned threads = divide_up(pieces, kWarp) * kWarp;
  return dim3(threads < kThreads ? threads : kThreads);
}

dim3 threads_for_row(const device::KvCache& kv) {
  return threads_for(static_cast<std::uint32_t>(kv.row_bytes / sizeof(Bits128) + 1));
}

}  // namespace

void finish_heads(Stream& stream, const HeadStep& heads) {
  launch(stream,
         {"finish_heads", dim3(heads.half.heads + heads.half.kv_heads, heads.step.n_rows),
          threads_for(heads.half.head_dim / 2)},
         finish_head, heads);
}

void commit_rows(Stream& stream, const HeadStep& heads) {
  launch(stream, {"commit_rows", dim3(heads.step.n_rows), threads_for_row(heads.half.kv)}, commit_row, heads);
}

void commit_accepted(Stream& stream, const device::KvCache& kv, const StepRows& step) {
  if (kv.draft_rows == 0) return;
  launch(stream, {"commit_accepted", dim3(step.n_rows), threads_for_row(kv)}, commit_draft, kv, step);
}

}  // namespace tandem::cuda
