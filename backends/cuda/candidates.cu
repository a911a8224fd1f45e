// Reduces rows of logits to the best few of each, so that a sampler on the host needs 2 kB of a row and not 1
// MB. A row is cut into slices; a block sorts one and puts its best back where the slice began, then others
// sort eight of these lists at a time until one is left.  Nothing but the logits' own memory is used.
//
// What limits it: the sort of a slice, 78 steps between barriers for 4,096 keys, on as many SMs as there are
// slices; a row of 262,144 logits is 128 of them and three rounds of lists.

#include "backends/cuda/candidates.h"
#include "backends/cuda/launch.cuh"

namespace tandem::cuda {
namespace {

constexpr unsigned kThreads = 256;
constexpr unsigned kKeys = 4096;           ///< that a block sorts
constexpr unsigned kShortestSlice = 2048;  ///< where there is more than one; has room for a list
constexpr unsigned kBest = device::kMostCandidates;
constexpr unsigned kLists = 8;  ///< that a block takes together

/// Orders (logit, token) as samplers do: a larger logit first, then the smaller token.  0 = none.
using Key = std::uint64_t;

/// How a row is cut into slices of about equal length.
struct Slices {
  std::uint64_t vocab;
  std::uint32_t count;

  explicit Slices(std::uint32_t vocab_size)
      : vocab(vocab_size), count(vocab_size < 2 * kShortestSlice ? 1 : vocab_size / kShortestSlice) {}

  __device__ std::uint32_t begin(std::uint32_t slice) const {
    return static_cast<std::uint32_t>(vocab * slice / count);
  }
};

__device__ __forceinline__ Key key_of(float logit, std::uint32_t token) {
  if (logit != logit) return 0;
  const float positive_zero = logit + 0.0f;
  std::uint32_t bits;
  memcpy(&bits, &positive_zero, sizeof bits);
  bits = (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
  return static_cast<Key>(bits) << 32 | ~token;
}

__device__ __forceinline__ device::Candidate candidate_of(Key key) {
  if (key == 0) return {-1, 0.0f};
  const auto bits = static_cast<std::uint32_t>(key >> 32);
  return {static_cast<std::int32_t>(~static_cast<std::uint32_t>(key)),
          bits_to_float((bits & 0x80000000u) != 0 ? bits & 0x7fffffffu : ~bits)};
}

/// Sorts `n` keys, a power of two, the largest first (Batcher's bitonic sort).
__device__ void sort(Key* keys, unsigned n) {
  for (unsigned run = 2; run <= n; run *= 2) {
    for (unsigned distance = run / 2; distance > 0; distance /= 2) {
      sync_threads();
      for (unsigned i = threadIdx.x; i < n / 2; i += kThreads) {
        const unsigned low = i / distance * distance * 2 + i % distance;
        const unsigned high = low + distance;
        const bool descending = (low & run) == 0;
        const Key a = keys[low], b = keys[high];
        if ((a < b) == descending) {
          keys[low] = b;
          keys[high] = a;
        }
      }
    }
  }
  sync_threads();
}

__device__ __forceinline__ unsigned power_of_two_from(unsigned n) {
  unsigned power = 2;
  while (power < n) power *= 2;
  return power;
}

/// Lists lie in words, as rows may begin anywhere.
__device__ __forceinline__ void put_list(const Key* keys, std::uint32_t* words) {
  for (unsigned i = threadIdx.x; i < kBest; i += kThreads) {
    words[2 * i] = static_cast<std::uint32_t>(keys[i]);
    words[2 * i + 1] = static_cast<std::uint32_t>(keys[i] >> 32);
  }
}
__device__ __forceinline__ Key key_at(const std::uint32_t* words, unsigned i) {
  return static_cast<Key>(words[2 * i + 1]) << 32 | words[2 * i];
}

__device__ __forceinline__ void put_candidates(const Key* keys, unsigned n, device::Candidate* to) {
  for (unsigned i = threadIdx.x; i < kBest; i += kThreads) to[i] = candidate_of(i < n ? keys[i] : 0);
}

__global__ void __launch_bounds__(kThreads) edit_logits(device::LogitReduction reduction) {
  const std::uint32_t i = blockIdx.x * kThreads + threadIdx.x;
  if (i >= reduction.n_edits) return;
  const device::TokenEdit edit = reduction.edits[i];
  float& logit = reduction.logits[std::uint64_t{edit.row} * reduction.stride + edit.token];
  logit += edit.added;
  logit = logit > 0 ? logit / edit.penalty : logit * edit.penalty;
  logit = edit.forbidden != 0 ? -INFINITY : logit - edit.subtracted;
}

/// Counts what cannot be chosen from in slice blockIdx.x of row blockIdx.y.
__global__ void __launch_bounds__(kThreads) count_unusable(device::LogitReduction reduction, Slices slices) {
  const float* row = reduction.logits + std::uint64_t{blockIdx.y} * reduction.stride;
  std::uint32_t unusable = 0;
  for (std::uint32_t i = slices.begin(blockIdx.x) + threadIdx.x; i < slices.begin(blockIdx.x + 1);
       i += kThreads) {
    unusable += fabsf(row[i]) < INFINITY ? 0 : 1;
  }
  if (unusable > 0) atomic_add(reduction.unusable + blockIdx.y, unusable);
}

/// The best of slice blockIdx.x of row blockIdx.y.
__global__ void __launch_bounds__(kThreads) best_of_slice(device::LogitReduction reduction, Slices slices) {
  Key* keys = shared_memory<Key>();
  float* row = reduction.logits + std::uint64_t{blockIdx.y} * reduction.stride;
  const std::uint32_t begin = slices.begin(blockIdx.x);
  const std::uint32_t n = slices.begin(blockIdx.x + 1) - begin;
  const unsigned padded = power_of_two_from(n);
  for (unsigned i = threadIdx.x; i < padded; i += kThreads) {
    keys[i] = i < n ? key_of(row[begin + i], begin + i) : 0;
  }
  sort(keys, padded);
  if (slices.count == 1) {
    put_candidates(keys, padded, reduction.candidates + blockIdx.y * kBest);
  } else {
    put_list(keys, reinterpret_cast<std::uint32_t*>(row + begin));
  }
}

/// The best of the lists that begin at slices kLists * distance * blockIdx.x and every `distance` further.
__global__ void __launch_bounds__(kThreads)
    best_of_lists(device::LogitReduction reduction, Slices slices, std::uint32_t distance) {
  Key* keys = shared_memory<Key>();
  float* row = reduction.logits + std::uint64_t{blockIdx.y} * reduction.stride;
  const std::uint32_t first = blockIdx.x * kLists * distance;
  for (unsigned i = threadIdx.x; i < kLists * kBest; i += kThreads) {
    const std::uint32_t slice = first + i / kBest * distance;
    keys[i] = 0;
    if (slice >= slices.count) continue;
    keys[i] = key_at(reinterpret_cast<const std::uint32_t*>(row + slices.begin(slice)), i % kBest);
  }
  sort(keys, kLists * kBest);
  if (gridDim.x == 1) {
    put_candidates(keys, kBest, reduction.candidates + blockIdx.y * kBest);
  } else {
    put_list(keys, reinterpret_cast<std::uint32_t*>(row + slices.begin(first)));
  }
}

}  // namespace

void reduce(Stream& stream, const device::LogitReduction& reduction) {
  if (reduction.rows == 0) return;
  const Slices slices(reduction.vocab);
  if (reduction.unusable != nullptr) {
    stream.fill(reduction.unusable, 0, reduction.rows * sizeof *reduction.unusable);
    launch(stream, {"count_unusable", dim3(slices.count, reduction.rows), dim3(kThreads)}, count_unusable,
           reduction, slices);
  }
  if (reduction.n_edits > 0) {
    launch(stream, {"edit_logits", dim3(divide_up(reduction.n_edits, kThreads)), dim3(kThreads)}, edit_logits,
           reduction);
  }
  launch(stream, {"best_of_slice", dim3(slices.count, reduction.rows), dim3(kThreads), kKeys * sizeof(Key)},
         best_of_slice, reduction, slices);
  for (std::uint32_t distance = 1; distance < slices.count; distance *= kLists) {
    const std::uint32_t blocks = divide_up(slices.count, kLists * distance);
    launch(stream,
           {"best_of_lists", dim3(blocks, reduction.rows), dim3(kThreads), kLists * kBest * sizeof(Key)},
           best_of_lists, reduction, slices, distance);
  }
}

}  // namespace tandem::cuda
