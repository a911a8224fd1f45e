#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backends/device.h"
#include "memory/arena.h"
#include "memory/weight_store.h"
#include "model/gguf.h"
#include "model/hyperparameters.h"
#include "planner/plan.h"

namespace tandem::memory {

/// One stage of the plan with its units' memory; the head is not among them.
struct BoundStage {
  planner::Device device = planner::Device::cpu;
  std::vector<device::Unit> units;
};

/// A plan made true: every arena allocated, every tensor, cache and buffer in its place.  What it hands out
/// stays valid as long as it lives, also when it is moved.
class BoundPlan {
 public:
  /// Throws planner::BadPlan if the plan does not fit its budget, is not for this model or not for this
  /// build (which has no GPU backend and drafts nothing); BadModel and UnsupportedModel if the file's data
  /// is missing or cannot be used in place; OutOfMemory; PlanViolated if what was bound is not what the plan
  /// counts, byte for byte.
  BoundPlan(planner::Plan plan, model::Header header, model::Hyperparameters hyper);

  [[nodiscard]] const planner::Plan& plan() const noexcept { return plan_; }
  [[nodiscard]] const model::Hyperparameters& hyper() const noexcept { return hyper_; }

  [[nodiscard]] std::span<const BoundStage> stages() const noexcept { return stages_; }
  [[nodiscard]] const device::Head& head() const noexcept { return head_; }
  [[nodiscard]] const device::Embedding& embedding() const noexcept { return embedding_; }
  [[nodiscard]] const device::Scratch& scratch() const noexcept { return scratch_; }  ///< of the CPU
  [[nodiscard]] device::StageShape shape() const noexcept;
  [[nodiscard]] std::span<float> residual() const noexcept { return residual_; }  ///< (micro_batch, width)
  [[nodiscard]] std::span<float> logits() const noexcept { return logits_; }      ///< (logit_rows, vocab)

  /// Planned against actual bytes, a line for each arena of the plan in its order.
  [[nodiscard]] std::vector<LedgerLine> ledger() const;

  /// Reads the weights from disk and touches every page of the arenas; what was promised is there then.
  /// Throws OutOfMemory, and Error if a file cannot be read.
  void prefault(const Progress& progress) const;

 private:
  Arena& arena(planner::Purpose purpose);
  void allocate();
  [[nodiscard]] std::uint64_t quantised_head_bytes() const;
  void bind_rope_tables();
  void bind_stages();
  void bind_head();
  void bind_buffers();
  void check_ledger() const;
  device::AttentionHalf attention_half(std::uint32_t layer);
  device::FfnHalf ffn_half(std::uint32_t layer);

  planner::Plan plan_;
  model::Hyperparameters hyper_;
  WeightStore weights_;
  std::vector<Arena> arenas_;
  const double* inv_freq_sliding_ = nullptr;
  const double* inv_freq_global_ = nullptr;
  std::vector<BoundStage> stages_;
  device::Head head_;
  device::Embedding embedding_;
  device::Scratch scratch_;
  std::span<float> residual_;
  std::span<float> logits_;
};

}  // namespace tandem::memory
