#pragma once

#include <cstdint>
#include <span>

#include "model/hyperparameters.h"
#include "planner/batch_rows.h"
#include "planner/model_input.h"
#include "planner/plan.h"

namespace tandem::planner {

/// Byte sizes of a device's working buffers, one for each field of device::Scratch and the residual stream;
/// the daemon carves the activation arena in this order.  Each is a multiple of `kBufferAlignmentBytes`.
/// Buffers that no unit of the device uses are empty.  M is the most rows of a micro-batch.  FFN halves take
/// `ffn_rows` of them and so do buffers that nothing else uses; the head takes no more rows of `normed` and
/// `quantised` than `logit_rows`.
struct ActivationLayout {
  std::uint64_t residual_bytes = 0;   ///< x: (M, width) f32
  std::uint64_t normed_bytes = 0;     ///< (M, width) f32
  std::uint64_t projected_bytes = 0;  ///< (M, width) f32
  std::uint64_t q_bytes = 0;          ///< (M, largest heads * head_dim) f32
  std::uint64_t k_bytes = 0;          ///< (M, largest kv_heads * head_dim) f32
  std::uint64_t v_bytes = 0;          ///< the same; on a GPU, of layers with a V projection
  std::uint64_t attended_bytes = 0;   ///< (M, largest heads * head_dim) f32
  std::uint64_t gate_bytes = 0;       ///< (ffn_rows, largest ffn_width) f32
  std::uint64_t up_bytes = 0;         ///< (ffn_rows, largest ffn_width) f32
  std::uint64_t quantised_bytes = 0;  ///< (M, longest row that matrices multiply as integers) in blocks of
                                      ///< kQuantisedBlockElems

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
  std::uint64_t attention_elems = 0;  ///< of the residual stream, where attention halves are
  std::uint64_t q_elems = 0;
  std::uint64_t k_elems = 0;
  std::uint64_t v_elems = 0;
  std::uint64_t attention_quantised_elems = 0;  ///< that their matrices multiply as integers
  std::uint64_t ffn_input_elems = 0;            ///< of the residual stream, where FFN halves are
  std::uint64_t ffn_elems = 0;
  std::uint64_t ffn_quantised_elems = 0;
  std::uint64_t head_elems = 0;  ///< of the residual stream, where the head is
  std::uint64_t head_quantised_elems = 0;

  /// No unit is there.
  [[nodiscard]] bool empty() const noexcept { return attention_elems + ffn_input_elems + head_elems == 0; }

  /// Makes room for `unit` on `device`.
  void include(const ModelInput& model, UnitRef unit, Device device) noexcept;
};

/// Buffers for rows of `widths`.  Throws BadQuestion on overflow.
ActivationLayout activation_layout(const RowWidths& widths, RowCounts counts);

/// Buffers that `device` needs for `units` (those of a plan: `units_on`).
ActivationLayout activation_layout(const ModelInput& model, std::span<const UnitRef> units, Device device,
                                   RowCounts counts);

/// Elements that one token caches in one layer (model-spec 2.5): K and V; or the one vector both come from,
/// for `vector_rotated` with the rotated quarter of K beside it.
std::uint64_t kv_row_elems(const model::LayerSpec& layer, KvLayout layout) noexcept;

/// KV row of one token in one layer.  q8_0 is the GGUF block, 34 bytes for 32 elements; head_dim is then a
/// multiple of 32.  Throws BadQuestion on overflow.
std::uint64_t kv_row_bytes(const model::LayerSpec& layer, KvLayout layout, KvType type);

/// How much of each sort an accelerator is told of a micro-batch.
struct StepCounts {
  std::uint32_t rows = 0;           ///< where they stand: kStepRowBytes each
  std::uint32_t embedded_rows = 0;  ///< their tokens, where it has the embedding
  std::uint32_t logit_rows = 0;     ///< their numbers, where it has the head
  std::uint64_t pages = 0;          ///< of its global layers: their numbers, of every sequence in it
};
inline constexpr std::uint64_t kStepRowBytes = 48;

/// What an accelerator is told of a micro-batch (device::StepBuffers), once on the device and once pinned, in
/// pieces that start at multiples of kBufferAlignmentBytes.  Throws BadQuestion on overflow.
std::uint64_t step_buffer_bytes(const StepCounts& counts);

/// The most that the GPU of `plan` is told of one micro-batch.
StepCounts most_step_counts(const Plan& plan) noexcept;

/// Shapes of decode steps that each stage on a GPU records ahead: 1, 2, 4 or 8 rows, as many as can decode at
/// once, times contexts of a power of two from 256 on to the whole one; at most kMostRecordedSteps.
std::uint64_t recorded_steps(const Workload& workload) noexcept;
inline constexpr std::uint64_t kMostRecordedSteps = 64;

/// Device memory set aside for what is recorded of one operation.  The emulated device charges just that; on
/// others as many steps are recorded as fit.
inline constexpr std::uint64_t kGraphOperationBytes = 1024;

/// Operations of a half in a recorded step (backends/cuda/stage.cpp).  The norm before a half belongs to the
/// one before it; before a stage's first half it is not recorded, so that stages need nothing of their own.
std::uint64_t recorded_operations(const ModelInput& model, const Workload& workload, UnitRef half) noexcept;

/// Pinned memory through which weights go to an accelerator when they are loaded, in chunks, two at least:
/// while some are copied others are filled.  Where the head is stored in another type on the way, its rows
/// wait in a quarter of it.  So large that a copy takes much longer than it takes to begin one, and no larger
/// than half of the largest tensor that goes there, which passes through all of it then.
std::uint64_t load_buffer_bytes(std::uint64_t largest_tensor_bytes);
inline constexpr std::uint64_t kMostLoadBufferBytes = std::uint64_t{4} << 20;

/// What choosing a token on a GPU takes for each row of logits, there and pinned: a count (aligned in all),
/// the best candidates (256 of 8 bytes) and changes of single logits (256 of 24).
inline constexpr std::uint64_t kMostEdits = 256;
inline constexpr std::uint64_t kCandidatesBytes = std::uint64_t{256} * 8;
inline constexpr std::uint64_t kEditBytes = 24;
std::uint64_t choice_bytes(std::uint64_t rows, std::uint64_t edits);

/// What is kept of an answer that a grammar holds: which tokens it allows next, and which a thought before it
/// (model/answer_constraint.h).  A bit each, of all tokens that have logits.
inline constexpr std::uint64_t kAnswerMasks = 2;
std::uint64_t answer_mask_bytes(std::uint64_t vocab);

}  // namespace tandem::planner
