// Attention in fp32 throughout, for caches that are not rounded.
//
// What limits it: shared memory.  Every product reads one element of K or V from it, 32 products a clock and
// SM.  These caches are for comparisons; the others have tensor cores.

#include "backends/cuda/attend_flow.cuh"

namespace tandem::cuda {
namespace {

constexpr unsigned kChunk = 4;  ///< elements loaded together
constexpr unsigned kPad = 4;    ///< between rows of keys: sixteen keys, all banks

__device__ __forceinline__ void load_chunk(const std::byte* row, std::uint64_t first, float (&to)[kChunk]) {
  const Bits128 bits = *reinterpret_cast<const Bits128*>(row + 4 * first);
  const std::uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
  for (unsigned i = 0; i < kChunk; ++i) to[i] = bits_to_float(words[i]);
}

/// A thread sums up kDims elements of each query, 128 apart.
template <unsigned kDims>
class Floats {
 public:
  static constexpr unsigned kBlocksOfSm = 2;

  /// With the three tiles at head_dim 512 just under the 99 KiB that a block has on 8.6, 8.9 and 12.0.
  using Softmax = cuda::Softmax<kKeys>;

  struct Sums {
    float of[kQueries][kDims] = {};
  };

  __device__ explicit Floats(const device::AttentionHalf& half)
      : queries_(shared_memory<float>()),
        keys_(queries_ + kQueries * half.head_dim),
        values_(keys_ + kKeys * (half.head_dim + kPad)) {}

  static std::size_t shared_bytes(const device::AttentionHalf& half) {
    return sizeof(float) *
           (kQueries * half.head_dim + kKeys * (half.head_dim + kPad) + kKeys * half.head_dim);
  }

  __device__ static float weight_unit(const AttendStep&) { return 1.0f; }

  __device__ void start(const AttendStep& attention, const Queries& queries) const {
    const std::uint32_t head_dim = attention.half.head_dim;
    for (std::uint32_t i = threadIdx.x; i < queries.count() * head_dim; i += kAttendThreads) {
      queries_[i] = attention.q[queries.at(i / head_dim, attention.half) + i % head_dim];
    }
  }

  /// K and V of the sixteen positions from `first` on; zeros where there is no key.
  __device__ void load(const AttendStep& attention, const Queries& queries, std::uint64_t first,
                       const KeyRows& rows) const {
    const device::AttentionHalf& half = attention.half;
    const std::uint32_t chunks = half.head_dim / 2 / kChunk;  // of half a head
#pragma unroll 1
    for (std::uint32_t i = threadIdx.x; i < kKeys * chunks; i += kAttendThreads) {
      const std::uint32_t slot = i / chunks, element = i % chunks * kChunk;
      float keys[2][kChunk] = {}, values[2][kChunk] = {};
      if (rows.of[slot] != nullptr) {
        const std::byte* row = rows[slot];
        load_pairs(attention.half, row, queries.kv_head, first + slot, element, keys, values);
      }
      for (unsigned e = 0; e < 2 * kChunk; ++e) {
        const std::uint32_t at = element + e % kChunk + e / kChunk * (half.head_dim / 2);
        keys_[slot * (half.head_dim + kPad) + at] = keys[e / kChunk][e % kChunk];
        values_[slot * half.head_dim + at] = values[e / kChunk][e % kChunk];
      }
    }
  }

  __device__ void score(const AttendStep& attention, const Queries& queries, Softmax& softmax) const {
    const std::uint32_t head_dim = attention.half.head_dim;
    const unsigned slot = threadIdx.x % kKeys;
    const float* key = keys_ + slot * (head_dim + kPad);
    for (unsigned q = threadIdx.x / kKeys; q < queries.count(); q += kAttendThreads / kKeys) {
      const float* query = queries_ + q * head_dim;
      float sums[4] = {};
#pragma unroll 4
      for (std::uint32_t i = 0; i < head_dim; i += 4) {
        for (unsigned k = 0; k < 4; ++k) sums[k] = fused_multiply_add(query[i + k], key[i + k], sums[k]);
      }
      softmax.scores[0][q][slot] = sums[0] + sums[1];
      softmax.scores[1][q][slot] = sums[2] + sums[3];
    }
  }

  /// Merges parts where end_part said so.
  __device__ void merge(const Softmax& softmax, Sums& total, Sums& part) const {
#pragma unroll
    for (unsigned q = 0; q < kQueries; ++q) {
      if (softmax.part_scale[q] == 0) continue;
#pragma unroll
      for (unsigned i = 0; i < kDims; ++i) {
        total.of[q][i] = merged(total.of[q][i], softmax.total_scale[q], part.of[q][i], softmax.part_scale[q]);
        part.of[q][i] = 0;
      }
    }
  }

  __device__ void add_values(const AttendStep& attention, const Queries& queries, const Softmax& softmax,
                             Sums& sums) const {
    const std::uint32_t head_dim = attention.half.head_dim;
#pragma unroll
    for (unsigned q = 0; q < kQueries; ++q) {
      if (q >= queries.count()) continue;
#pragma unroll
      for (unsigned i = 0; i < kDims; ++i) sums.of[q][i] *= softmax.rescale[q];
    }
#pragma unroll 1  // or the compiler keeps all weights in registers
    for (unsigned k = 0; k < kKeys; ++k) {
      float values[kDims] = {};
      for (unsigned i = 0; i < kDims; ++i) {
        const std::uint32_t d = threadIdx.x + i * kAttendThreads;
        if (d < head_dim) values[i] = values_[k * head_dim + d];
      }
#pragma unroll
      for (unsigned q = 0; q < kQueries; ++q) {
        if (q >= queries.count()) continue;
        const float weight = softmax.scores[0][q][k];
#pragma unroll
        for (unsigned i = 0; i < kDims; ++i) {
          sums.of[q][i] = fused_multiply_add(weight, values[i], sums.of[q][i]);
        }
      }
    }
  }

  /// Calls use(query, element, sum) for this thread's sums.
  template <class Use>
  __device__ void for_elements(std::uint32_t head_dim, const Sums& sums, const Use& use) const {
#pragma unroll
    for (unsigned q = 0; q < kQueries; ++q) {
#pragma unroll
      for (unsigned i = 0; i < kDims; ++i) {
        const std::uint32_t d = threadIdx.x + i * kAttendThreads;
        if (d < head_dim) use(q, d, sums.of[q][i]);
      }
    }
  }

 private:
  /// Elements from `element` on of a position's row, and their partners half a head further.
  __device__ void load_pairs(const device::AttentionHalf& half, const std::byte* row, std::uint32_t kv_head,
                             std::uint64_t position, std::uint32_t element, float (&keys)[2][kChunk],
                             float (&values)[2][kChunk]) const {
    const bool keeps_keys = half.kv.layout == device::KvLayout::separate;
    const std::uint64_t values_at = keeps_keys ? std::uint64_t{half.kv_heads} * half.head_dim : 0;
    for (unsigned part = 0; part < 2; ++part) {
      const std::uint64_t at = std::uint64_t{kv_head} * half.head_dim + element + part * (half.head_dim / 2);
      load_chunk(row, values_at + at, values[part]);
      if (keeps_keys) load_chunk(row, at, keys[part]);
    }
    if (keeps_keys) return;
    const auto rate = [&half](std::uint32_t i) { return turns_per_position(half.inv_freq[i]); };
    derive_keys(half, rate, position, element, values, keys);
  }

  float* queries_;  ///< (16, head_dim)
  float* keys_;     ///< (16, head_dim + 4)
  float* values_;   ///< (16, head_dim)
};

}  // namespace

void attend_in_floats(Stream& stream, const AttendStep& attention, const AttendGrid& grid) {
  const std::uint32_t head_dim = attention.half.head_dim;
  if (head_dim <= kAttendThreads) return launch_attend<Floats<1>>(stream, attention, grid);
  if (head_dim <= 2 * kAttendThreads) return launch_attend<Floats<2>>(stream, attention, grid);
  return launch_attend<Floats<4>>(stream, attention, grid);
}

}  // namespace tandem::cuda
