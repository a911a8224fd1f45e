#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "backends/device.h"
#include "memory/arena.h"
#include "memory/repacking.h"
#include "memory/vram_use.h"
#include "memory/weight_store.h"
#include "model/gguf.h"
#include "model/hyperparameters.h"
#include "planner/model_input.h"
#include "planner/plan.h"

namespace tandem::memory {

/// One stage of the plan with its units' memory; the head is not among them.
struct BoundStage {
  planner::Device device = planner::Device::cpu;
  std::vector<device::Unit> units;
};

/// What a device works in, on that device.
struct WorkingMemory {
  device::Scratch scratch;
  std::span<float> residual;  ///< (most_rows, width)
  std::span<float> logits;    ///< (logit_rows, vocab), if the device has the head
};

/// Where rows of logits are edited and reduced to candidates, on an accelerator that has the head or in the
/// pinned memory that this goes through; empty where it has not.
struct ChoiceMemory {
  std::span<std::uint32_t> unusable;        ///< (choice_rows); the candidates follow, one copy brings both
  std::span<device::Candidate> candidates;  ///< (choice_rows, kMostCandidates)
  std::span<device::TokenEdit> edits;       ///< (choice_rows * planner::kMostEdits)
};

/// Pinned rows (most_crossing_rows, width) in which micro-batches cross, two for each direction; empty where
/// none cross that way.
struct CrossingRows {
  std::array<std::span<float>, 2> to_accelerator;
  std::array<std::span<float>, 2> to_cpu;
};

/// A plan made true: every arena allocated, every tensor, cache and buffer in its place.  What it hands out
/// stays valid as long as it lives, also when it is moved.
class BoundPlan {
 public:
  /// `accelerator` is the device that the plan calls its GPU; none for plans of the CPU alone.  `repacker`
  /// puts weights that the CPU multiplies with into the layout that it reads fastest, where the plan says so;
  /// without one they stay as they are in the file.  Both outlive the object.  Throws planner::BadPlan if the
  /// plan does not fit its budget, is not for this model or not for what is there; BadModel and
  /// UnsupportedModel if the file's data is missing or cannot be used in place; OutOfMemory; PlanViolated if
  /// what was bound is not what the plan counts, byte for byte; std::runtime_error if the accelerator fails.
  BoundPlan(planner::Plan plan, model::Header header, model::Hyperparameters hyper,
            device::Accelerator* accelerator = nullptr, const device::Repacker* repacker = nullptr);

  [[nodiscard]] const planner::Plan& plan() const noexcept { return plan_; }
  [[nodiscard]] const model::Hyperparameters& hyper() const noexcept { return hyper_; }
  /// As it is once loaded (planner/head_type.h).
  [[nodiscard]] const planner::ModelInput& model() const noexcept { return model_; }
  [[nodiscard]] device::Accelerator* accelerator() const noexcept { return accelerator_; }

  [[nodiscard]] std::span<const BoundStage> stages() const noexcept { return stages_; }
  /// A half as a stage on `device` computes it: elsewhere than where the plan has it, its weights are
  /// streamed.
  [[nodiscard]] device::Unit unit(planner::UnitRef unit, planner::Device device) const;
  [[nodiscard]] const device::Head& head() const noexcept { return head_; }
  [[nodiscard]] const device::Embedding& embedding() const noexcept { return embedding_; }
  [[nodiscard]] device::StageShape shape() const noexcept;

  [[nodiscard]] const WorkingMemory& cpu() const noexcept { return cpu_; }
  [[nodiscard]] const WorkingMemory& on_accelerator() const noexcept { return on_accelerator_; }
  [[nodiscard]] const CrossingRows& crossing() const noexcept { return crossing_; }
  /// Where tokens are chosen from, whoever has the head: (logit_rows, vocab).
  [[nodiscard]] std::span<float> logits() const noexcept { return logits_; }
  /// For what a grammar allows the sequence in `slot` (planner::answer_mask_bytes).
  [[nodiscard]] std::span<std::byte> masks(std::uint32_t slot) const noexcept { return masks_[slot]; }
  [[nodiscard]] const ChoiceMemory& choices() const noexcept { return choices_; }
  [[nodiscard]] const ChoiceMemory& choices_on_accelerator() const noexcept {
    return choices_on_accelerator_;
  }

  /// Of a plan with an accelerator.
  [[nodiscard]] VramUse vram_use() const;
  [[nodiscard]] std::span<const Arena> arenas() const noexcept { return arenas_; }
  /// Planned against actual bytes, a line for each arena of the plan in its order.
  [[nodiscard]] std::vector<LedgerLine> ledger() const;

  /// Bytes of weights that `load` repacks: the CPU has them in own memory then, and not in the file's.
  [[nodiscard]] std::uint64_t repacked_bytes() const noexcept { return repacked_bytes_; }

  /// Brings the weights to where they belong and touches every page of the arenas, on `threads` threads; what
  /// was promised is there then.  A plan with an accelerator, or with weights that are not used as they are
  /// in the file, computes nothing before.  Throws OutOfMemory, Error if a file cannot be read, and
  /// std::runtime_error if the accelerator fails; what `progress` throws ends it too.
  void load(const Progress& progress, unsigned threads = std::thread::hardware_concurrency());

 private:
  struct Tensors;

  Arena* find(planner::Device device, planner::Purpose purpose);
  Arena& arena(planner::Device device, planner::Purpose purpose);
  Tensors tensors_of(planner::Device device, planner::Purpose purpose);
  void allocate();
  Arena around_file(const planner::ArenaPlan& line, std::uint64_t own_bytes,
                    const std::vector<RepackedTensor>& repacked);
  Arena allocated(const planner::ArenaPlan& line);
  void check_free_memory();
  [[nodiscard]] std::uint64_t rope_table_bytes(planner::Device device) const;
  [[nodiscard]] std::uint64_t quantised_head_bytes() const;
  void bind_transfer();
  void bind_streaming(planner::Device gpu, std::span<std::byte> pinned);
  void bind_stages();
  void bind_head();
  std::span<float> take_logits(planner::Device device);
  ChoiceMemory take_choices(Arena& transfer) const;
  void bind_working_memory(planner::Device device, WorkingMemory& memory);
  void check_ledger() const;
  [[nodiscard]] std::uint64_t draft_bytes(planner::Device device) const;
  std::byte* take_drafts(planner::Device device, std::uint64_t row_bytes);
  const double* rope_table(planner::Device device, model::LayerKind kind);
  device::AttentionHalf attention_half(std::uint32_t layer);
  device::FfnHalf ffn_half(std::uint32_t layer);

  planner::Plan plan_;
  model::Hyperparameters hyper_;
  planner::ModelInput model_;
  device::Accelerator* accelerator_;
  const device::Repacker* repacker_;  ///< null where the plan wants weights as in the file
  WeightStore weights_;
  std::map<std::string, std::byte*, std::less<>> repacked_;  ///< by name: where tensors are to lie
  std::uint64_t repacked_bytes_ = 0;
  std::vector<Arena> arenas_;
  std::uint64_t driver_bytes_ = 0;       ///< that the driver took, measured
  std::uint64_t free_before_bytes_ = 0;  ///< on the accelerator
  std::span<std::byte> quantised_rows_;  ///< of an accelerator's weights, while they are loaded
  std::map<std::pair<planner::Device, model::LayerKind>, const double*> rope_tables_;
  std::map<planner::Device, std::span<std::byte>> drafts_left_;  ///< of kv_staging, while units are bound
  std::vector<BoundStage> stages_;
  device::Head head_;
  device::Embedding embedding_;
  WorkingMemory cpu_;
  WorkingMemory on_accelerator_;
  CrossingRows crossing_;
  std::span<float> logits_;
  std::vector<std::span<std::byte>> masks_;  ///< by slot
  ChoiceMemory choices_;
  ChoiceMemory choices_on_accelerator_;
};

}  // namespace tandem::memory
