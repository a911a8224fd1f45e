#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>

#include "backends/cpu/quantised_row.h"
#include "backends/device.h"

namespace tandem::cpu {

/// Outputs a multiply kernel computes at once, and the most activation rows it takes.
inline constexpr std::uint32_t kTileOutputs = 16;
inline constexpr std::uint32_t kTileRows = 512;

/// Largest head_dim, and how many (row, head) pairs one attend call takes.
inline constexpr std::uint32_t kMaxHeadDim = 512;
inline constexpr std::uint32_t kTileQueries = 64;

/// Rows of activations: fp32, or quantised rows (quantised_row.h) for block types.
struct Activations {
  const std::byte* rows = nullptr;
  std::size_t row_bytes = 0;
  std::uint32_t n = 0;  ///< at most kTileRows

  const std::byte* row(std::size_t i) const noexcept { return rows + i * row_bytes; }

  /// Rows from `first` on, at most `most`.
  Activations part(std::uint32_t first, std::uint32_t most) const noexcept {
    return {row(first), row_bytes, n - first < most ? n - first : most};
  }
};

/// y[r][first_out + o] = sum over i of W[first_out + o][i] * x[r][i] for o < n_out.  What a pair (row of W,
/// row of x) gives does not depend on the other rows: its additions have one fixed order.  Of n_out, any
/// number, the kernel makes kTileOutputs streams of weights: they are fast when long.
using MultiplyKernel = void (*)(const device::Matrix& w, std::uint32_t first_out, std::uint32_t n_out,
                                const Activations& x, float* y, std::size_t y_stride) noexcept;

/// Keys of a piece: positions from a multiple of this on.  Each piece has a softmax of its own, and their
/// results are merged oldest first, whichever thread they come from.
inline constexpr std::uint32_t kPieceTok = 256;

/// A query's softmax so far, beside the sum of e^(score - peak) * value.
struct AttendState {
  float peak = -__builtin_inff();  ///< largest score; -inf if no key was seen
  float weight = 0;                ///< sum of e^(score - peak)
};

/// Queries of one sequence: rows [first_row, first_row + n_rows) of it, and of each KV head in
/// [kv_head, kv_head + n_kv_heads) as many heads as in [first_head, first_head + n_heads), which are the
/// first one's; all of them if there are several KV heads.  n_kv_heads * n_rows * n_heads <= kTileQueries.
struct AttendTask {
  const device::AttentionHalf* half = nullptr;
  const device::SequenceRows* sequence = nullptr;
  const std::byte* staging = nullptr;  ///< the micro-batch's KV rows of this layer
  const float* q = nullptr;            ///< (micro-batch rows, heads, head_dim)
  float* out = nullptr;                ///< as q
  std::uint32_t kv_head = 0;
  std::uint32_t n_kv_heads = 1;
  std::uint32_t first_row = 0;
  std::uint32_t n_rows = 0;
  std::uint32_t first_head = 0;
  std::uint32_t n_heads = 0;
  std::uint32_t rotated_pairs = 0;            ///< pairs of a head beyond these have inv_freq 0
  std::uint64_t first_key = 0;                ///< older keys are other tasks'
  std::uint64_t end_key = ~std::uint64_t{0};  ///< so are these and newer ones
  AttendState* states = nullptr;  ///< (micro-batch rows, heads): the keys are within one piece, and `out`
                                  ///< gets sums that are not divided yet.  Null: the keys are all there are
};

/// What the pieces of some keys gave one query: piece p at sums + p * sums_stride and states[p *
/// states_stride].
struct AttendPieces {
  float* sums = nullptr;
  std::size_t sums_stride = 0;
  AttendState* states = nullptr;
  std::size_t states_stride = 0;
  std::size_t count = 0;
  std::uint32_t head_dim = 0;
};

/// The arithmetic of the CPU for one instruction set.  All sets give the same results to the bit; the tests
/// hold them to it.
struct KernelSet {
  const char* name = nullptr;

  /// Elements [first, first + n) of the fp32 row `x` to a quantised row: scale = amax / 127, quants to
  /// nearest, halves away from zero.  `first` and `n` are multiples of 32.
  void (*quantise)(const float* x, QuantisedLayout layout, std::uint32_t first, std::uint32_t n,
                   std::byte* row) noexcept = nullptr;

  /// By BlockType's number; null where the type does not exist.
  MultiplyKernel multiply[40] = {};

  /// y = rms(x) * weight (model-spec 2); a null weight is all ones.  y may be x.
  void (*rms_norm)(const float* x, const float* weight, std::uint32_t n, float eps,
                   float* y) noexcept = nullptr;

  /// x = (x + rms(y) * weight) * scale.
  void (*add_rms_norm)(const float* y, const float* weight, std::uint32_t n, float eps, float scale,
                       float* x) noexcept = nullptr;

  /// gate = gelu_tanh(gate) * up.
  void (*gelu_multiply)(float* gate, const float* up, std::uint32_t n) noexcept = nullptr;

  /// x = cap * tanh(x / cap).
  void (*softcap)(float* x, std::uint32_t n, float cap) noexcept = nullptr;

  /// cos and sin of position * inv_freq[i], the angle in double (model-spec 2.6).
  void (*rotation)(const double* inv_freq, std::uint32_t n, std::uint64_t position, float* cos,
                   float* sin) noexcept = nullptr;

  /// Turns the first n pairs (i, i + head_dim / 2) of a head.
  void (*rotate)(const float* cos, const float* sin, std::uint32_t n, std::uint32_t head_dim,
                 float* head) noexcept = nullptr;

  /// x = x * factor, rounded to what `type` lets a query be: fp32 for an f32 cache, else fp16 (design.md,
  /// KV).
  void (*round_query)(float factor, device::KvType type, std::uint32_t n, float* x) noexcept = nullptr;

  /// `n` elements to the KV type; q8_0 takes multiples of 32.
  void (*encode_kv)(const float* x, std::uint32_t n, device::KvType type, std::byte* to) noexcept = nullptr;

  /// Softmax attention over the visible keys, in key blocks and pieces aligned to absolute positions
  /// (model-spec 2.4).
  void (*attend)(const AttendTask& task) noexcept = nullptr;

  /// Takes the later pieces, in order, into the first one.
  void (*merge_pieces)(const AttendPieces& pieces) noexcept = nullptr;
};

/// The sets this machine can run, the most capable first; the last one, `portable`, runs anywhere.
std::span<const KernelSet* const> supported_kernel_sets() noexcept;

/// TANDEM_KERNELS in the environment names a set that this machine cannot run.
class UnsupportedKernels : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The set to use: the first of the supported ones, or, for tests, the one that TANDEM_KERNELS in the
/// environment names.  Throws UnsupportedKernels.
const KernelSet& best_kernel_set();

/// Whether weights of this type multiply fp32 activations; all others multiply quantised rows.
constexpr bool takes_floats(device::BlockType type) noexcept {
  return device::multiplies_floats(type);
}

}  // namespace tandem::cpu
