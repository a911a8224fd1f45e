#pragma once

#include <cstdint>
#include <span>

#include "model/hyperparameters.h"
#include "planner/plan.h"

namespace tandem::planner {

/// Byte sizes of a device's working buffers, one for each field of device::Scratch and the residual stream;
/// the daemon carves the activation arena in this order.  Each is a multiple of `kBufferAlignmentBytes`.
/// Buffers that no unit of the device uses are empty.  M is the workload's micro_batch.
struct ActivationLayout {
  std::uint64_t residual_bytes = 0;   ///< x: (M, width) f32
  std::uint64_t normed_bytes = 0;     ///< (M, width) f32
  std::uint64_t projected_bytes = 0;  ///< (M, width) f32
  std::uint64_t q_bytes = 0;          ///< (M, largest heads * head_dim) f32
  std::uint64_t k_bytes = 0;          ///< (M, largest kv_heads * head_dim) f32
  std::uint64_t v_bytes = 0;          ///< (M, largest kv_heads * head_dim) f32
  std::uint64_t attended_bytes = 0;   ///< (M, largest heads * head_dim) f32
  std::uint64_t gate_bytes = 0;       ///< (M, largest ffn_width) f32
  std::uint64_t up_bytes = 0;         ///< (M, largest ffn_width) f32
  std::uint64_t quantised_bytes = 0;  ///< (M, longest of these rows) in blocks of kQuantisedBlockElems

  [[nodiscard]] std::uint64_t total_bytes() const noexcept {
    return residual_bytes + normed_bytes + projected_bytes + q_bytes + k_bytes + v_bytes + attended_bytes +
           gate_bytes + up_bytes + quantised_bytes;
  }

  bool operator==(const ActivationLayout&) const = default;
};

/// Bytes an activation row needs as integers, for weights of every block type: 40 for 32 elements, which are
/// 32 int8, an fp32 scale and two int16 sums (backends/cpu/quantised_row.h).
inline constexpr std::uint64_t kQuantisedBlockElems = 32;
inline constexpr std::uint64_t kQuantisedBlockBytes = 40;

/// Elements of the longest row of each sort among a device's units.
struct RowWidths {
  std::uint64_t residual_elems = 0;
  std::uint64_t q_elems = 0;
  std::uint64_t kv_elems = 0;  ///< of K, and of V
  std::uint64_t ffn_elems = 0;

  /// Makes room for `unit`.
  void include(const model::Hyperparameters& hyper, UnitRef unit) noexcept;
};

/// Buffers for `micro_batch` rows of `widths`.  Throws BadQuestion on overflow.
ActivationLayout activation_layout(const RowWidths& widths, std::uint32_t micro_batch);

/// Buffers a device needs for `units` (those of a plan: `units_on`) at `micro_batch` rows.
ActivationLayout activation_layout(const model::Hyperparameters& hyper, std::span<const UnitRef> units,
                                   std::uint32_t micro_batch);

/// Elements that one token caches in one layer (model-spec 2.5): K and V; or the one vector both come from,
/// for `vector_rotated` with the rotated quarter of K beside it.
std::uint64_t kv_row_elems(const model::LayerSpec& layer, KvLayout layout) noexcept;

/// KV row of one token in one layer.  q8_0 is the GGUF block, 34 bytes for 32 elements; head_dim is then a
/// multiple of 32.  Throws BadQuestion on overflow.
std::uint64_t kv_row_bytes(const model::LayerSpec& layer, KvLayout layout, KvType type);

/// What an accelerator is told of a micro-batch (device::StepBuffers), once on the device and once pinned:
/// for each row its token, whether its logits are wanted and where it stands, the page tables, and what
/// aligning the pieces takes.  `pages` is PagePlan's.  Throws BadQuestion on overflow.
std::uint64_t step_buffer_bytes(std::uint32_t micro_batch, std::uint64_t pages);

/// Shapes of decode steps that each stage on a GPU records ahead: 1, 2, 4 or 8 rows, as many as can decode at
/// once, times contexts of a power of two from 256 on to the whole one; at most kMostRecordedSteps.
std::uint64_t recorded_steps(const Workload& workload) noexcept;
inline constexpr std::uint64_t kMostRecordedSteps = 64;

/// Device memory set aside for what is recorded of one operation, and the most operations that a half takes.
/// The emulated device charges just that; on others as many steps are recorded as fit.
inline constexpr std::uint64_t kGraphOperationBytes = 1024;
inline constexpr std::uint64_t kAttentionOperations = 11;
inline constexpr std::uint64_t kFfnOperations = 6;

/// Pinned memory through which weights go to an accelerator when they are loaded: in two halves,
/// of which one is copied while the other is filled.  Where the head is stored in another type on the way,
/// its rows wait in a quarter of it.  So large that a copy takes much longer than it takes to begin one.
inline constexpr std::uint64_t kLoadBufferBytes = std::uint64_t{4} << 20;

/// Rows of a prompt's chunk: what is left in a step beside every other sequence's decode row, in whole 32s if
/// it can.
std::uint32_t chunk_rows(std::uint32_t micro_batch, std::uint32_t sequences) noexcept;

/// What choosing a token on a GPU takes for each row of logits, there and pinned: the best candidates (256 of
/// 8 bytes), changes of single logits (256 of 24) and a count.
inline constexpr std::uint64_t kMostEdits = 256;
inline constexpr std::uint64_t kChoiceBytes = 256 * 8 + kMostEdits * 24 + kBufferAlignmentBytes;

/// Rows of logits kept at once: every sequence's newest and its drafts, and at least 8 so that prompts can be
/// scored in groups; never more than a micro-batch has.
std::uint32_t logit_rows(const Workload& workload) noexcept;

}  // namespace tandem::planner
