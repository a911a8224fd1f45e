#pragma once

#include <cstdint>
#include <vector>

#include "planner/activations.h"
#include "planner/byte_count.h"
#include "planner/machine.h"
#include "planner/model_input.h"
#include "planner/placement.h"
#include "planner/plan.h"

namespace tandem::planner {

/// Cells of one sequence in one layer: min(max_seq_len, window) where attention slides, else max_seq_len.
std::uint64_t kv_cells(const model::LayerSpec& layer, std::uint64_t max_seq_len) noexcept;

/// One vector a token where there is no V projection, K and V where there is.
///
/// Never `vector_rotated` (model-spec 2.5 b): for the sake of rotating no key while it is read it takes 5/4
/// of the vector's bytes.  By the formulas of planner/cost.h that is never faster on a GPU, nor on a CPU that
/// is specified and not measured: attention takes the larger of bytes over bandwidth and operations over
/// throughput, and the operations are the same.  On a measured CPU it could be faster only where
/// 640 / cpu_attention_gb_per_s < 512 / cpu_attention_vector_gb_per_s, and no more than that; the machines
/// that Tandem knows have one rate for both.  So no machine and model of the catalogue is faster with it.
/// Measured (bench/results/2026-11-roofline.md, "One vector"): turning keys takes 2 to 7 % of attention,
/// which is the most it saves.
KvLayout kv_layout(const model::LayerSpec& layer) noexcept;

/// Pages in the pool of global KV: whole pages for every sequence at full length.
ByteCount kv_pages(const Workload& workload);

/// Bytes of one layer's KV for all sequences, as allocated: a ring for each sequence where attention slides,
/// else all pages of the pool.
ByteCount kv_arena_bytes(const model::LayerSpec& layer, const Workload& workload);

/// What one device carries, grown unit by unit.  Lines of design.md's `arena`, in bytes:
///  - weights: tensors of the device's halves, on the CPU as many bytes as in the file, in place there or
///    repacked, elsewhere copied to aligned places; and a table of rotation frequencies, doubles
///    (head_dim/2), for each kind of attention it runs;
///  - head: its matrix and output_norm;
///  - kv: `kv_arena_bytes` of its attention halves;
///  - kv_staging: sequences * draft_rows rows of KV of all its layers, and of the largest as many as a
///    micro-batch may have;
///  - activations: `activation_layout`;
///  - logits: `logit_rows` rows of vocab floats, on the head's device; on the CPU, where tokens are chosen,
///    also `mask_bytes`;
///  - graphs: of its halves, `recorded_steps` records of kGraphOperationBytes an operation, on a GPU;
///  - transfer, on a GPU: `steps`, and two of `stream_buffer_bytes` (planner/streaming.h) where some unit is
///    streamed through them.
class DeviceLoad {
 public:
  DeviceLoad(const ModelInput& model, const Workload& workload, Device device) noexcept
      : model_(&model), workload_(&workload), device_(device) {}

  void add(UnitRef unit);

  /// An FFN half on the CPU is streamed to this GPU, which has units of its own.
  void stream(UnitRef ffn);

  /// FFN halves of this CPU are streamed to a GPU.
  void lie_beside_streams() noexcept { beside_streams_ = true; }

  /// No unit is here.
  [[nodiscard]] bool idle() const noexcept { return widths_.empty(); }

  [[nodiscard]] ByteCount weights() const;
  [[nodiscard]] ByteCount head() const noexcept { return head_; }
  [[nodiscard]] ByteCount kv() const noexcept { return kv_; }
  [[nodiscard]] ByteCount kv_staging() const;
  [[nodiscard]] ByteCount activations() const;
  [[nodiscard]] ByteCount logits() const;
  [[nodiscard]] ByteCount graphs() const;
  [[nodiscard]] ByteCount transfer() const;
  /// On a GPU: its step buffers, and what tokens are chosen in if it has the head (planner/activations.h).
  [[nodiscard]] ByteCount steps() const;
  /// Pinned memory beside a GPU: the other end of `steps`, the buffer that weights are loaded through, and
  /// two buffers for the rows that cross in each direction.
  [[nodiscard]] ByteCount pinned(Directions<std::uint32_t> crossing_rows) const;

  /// What each unit brings with it, and what units of a device share: buffers as large as the largest needs.
  /// `own`, `drafts` aligned and `shared` are all lines above.
  [[nodiscard]] ByteCount own() const { return tensors_ + head_ + kv_ + graphs(); }
  [[nodiscard]] ByteCount drafts() const;  ///< staged rows of draft tokens, not aligned
  [[nodiscard]] ByteCount shared() const;

 private:
  void include(UnitRef unit);
  void add_attention(std::uint32_t layer);
  [[nodiscard]] ByteCount rope_tables() const;
  [[nodiscard]] ByteCount chunk() const;
  [[nodiscard]] RowCounts most() const noexcept {
    return beside_streams_ ? most_rows_beside_streams(*workload_) : most_rows(*workload_);
  }

  const ModelInput* model_;
  const Workload* workload_;
  Device device_;
  RowWidths widths_;
  ByteCount tensors_;
  ByteCount head_;
  ByteCount kv_;
  ByteCount kv_row_sum_;  ///< KV of one token over this device's layers
  ByteCount kv_row_max_;
  ByteCount operations_;                    ///< of its halves in a decode step
  std::uint64_t largest_tensor_bytes_ = 0;  ///< of what is loaded or streamed there
  bool rotates_sliding_ = false;
  bool rotates_global_ = false;
  bool streams_ = false;
  bool beside_streams_ = false;
};

/// Bytes of logits kept at once.
ByteCount logit_bytes(const ModelInput& model, const Workload& workload);

/// Of what grammars allow, for every sequence (`answer_mask_bytes`).
ByteCount mask_bytes(const ModelInput& model, const Workload& workload);

/// Bytes a GPU takes before any unit is on it: the driver's (none on an emulated one) and the reserve.
ByteCount gpu_fixed_bytes(Device gpu, const Budget& budget, const MachineProfile& machine);

/// Every byte of a placement.
struct Footprint {
  std::vector<ArenaPlan> arenas;  ///< by device, then purpose; no zero lines
  EmbeddingPlan embedding;
  PagePlan kv_pages;
  std::uint64_t weights_overhead_bytes = 0;
  std::uint64_t vram_bytes = 0;
  std::uint64_t ram_bytes = 0;
};

/// Beside the lines of DeviceLoad, the CPU has
///  - weights: an embedding of its own, if the head is not tied to it, in place in the mapped file;
///  - logits, also where the head is elsewhere: tokens are chosen on the CPU;
///  - transfer: pinned memory for the GPU (DeviceLoad::pinned), rows of it (most_crossing_rows, width)
///    floats.  Two micro-batches are on their way at once, each with a buffer of its own, which all stages
///    share.
/// A GPU with no unit on it has no lines at all.  Throws BadQuestion on overflow.
Footprint footprint(const ModelInput& model, const Budget& budget, const Workload& workload,
                    const MachineProfile& machine, const Placement& placement);

}  // namespace tandem::planner
