#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "model/gguf.h"
#include "model/hyperparameters.h"
#include "planner/machine.h"
#include "planner/placement.h"
#include "planner/plan.h"

namespace tandem::planner_test {

/// What a placement takes, by a walk from unit to unit.
struct WalkResult {
  std::uint64_t vram_bytes = 0;
  std::uint64_t ram_bytes = 0;
  std::uint64_t cpu_ps = 0;
  std::uint64_t gpu_ps = 0;
  std::uint64_t travel_ps = 0;

  [[nodiscard]] std::uint64_t serial_ps() const { return cpu_ps + gpu_ps + travel_ps; }
};

/// Bytes and times of placements of one model, written from the definitions of plan arenas and of the cost
/// model, and independently of the planner: sizes come from the tensor directory; nothing of planner/ is
/// called.  What a unit takes on either device is looked up once, so that thousands of placements can be
/// walked.
class SlowWalk {
 public:
  SlowWalk(const model::Header& header, const model::Hyperparameters& hyper, const planner::Budget& budget,
           const planner::Workload& workload, const planner::MachineProfile& machine, planner::Device gpu);

  /// A step of `rows` tokens of each of `sequences`, the last at position context - 1; each of its times
  /// counts as one part of so many.
  [[nodiscard]] WalkResult walk(const planner::Placement& placement, std::uint64_t rows,
                                std::uint64_t context, std::uint64_t sequences,
                                std::uint64_t parts = 1) const;

  /// Time of such a step, or a part of it, in which FFN halves of the CPU pass through the GPU, where some
  /// unit is on one.
  [[nodiscard]] std::uint64_t streamed_ps(const planner::Placement& placement, std::uint64_t rows,
                                          std::uint64_t context, std::uint64_t parts) const;

  /// Of a prompt's chunk, or a part of it, streamed if the workload does that.
  [[nodiscard]] std::uint64_t chunk_ps(const planner::Placement& placement, std::uint64_t parts) const;

  /// By the workload's `optimise`: the time that is to be short.
  [[nodiscard]] std::uint64_t objective_ps(const planner::Placement& placement) const;

  /// Within both budgets, and the GPU can run what is on it.
  [[nodiscard]] bool fits(const planner::Placement& placement) const;

  /// The GPU can run what is on it: rows of numbers are whole sixteen bytes, heads whole sixteen elements.
  [[nodiscard]] bool can_run(const planner::Placement& placement) const;

  /// All FFN halves could be on the GPU.
  [[nodiscard]] bool can_stream() const;

 private:
  struct Share {
    model::TensorType type;
    double bytes;
    double elems;
  };
  /// One half of a layer, or the head.
  struct Unit {
    std::vector<Share> shares;
    std::uint64_t mapped_bytes = 0;  ///< in the file
    std::uint64_t copied_bytes = 0;  ///< each tensor to a multiple of 64
    bool attends = false;
    bool slides = false;
    std::uint64_t window = 0;
    std::uint64_t q_elems = 0;  ///< of a row
    std::uint64_t k_elems = 0;
    std::uint64_t v_elems = 0;
    std::uint64_t head_elems = 1;
    std::uint64_t kv_row_bytes = 0;
    std::uint64_t kv_bytes = 0;  ///< of all sequences
    std::uint64_t rope_bytes = 0;
    std::uint64_t ffn_elems = 0;
    std::uint64_t integer_elems = 0;  ///< of the longest row that is multiplied as integers
    std::uint64_t largest_bytes = 0;  ///< tensor
    bool only_on_cpu = false;
  };

  [[nodiscard]] std::uint64_t operations_of(const Unit& unit) const;
  [[nodiscard]] double share_s(const Share& share, double rows, bool on_gpu) const;
  [[nodiscard]] double rows_s(const Unit& unit, bool is_head, double rows) const;
  [[nodiscard]] static std::uint64_t cells(const Unit& unit, std::uint64_t rows, std::uint64_t context);
  [[nodiscard]] bool is_cached(std::uint64_t rows, std::uint64_t context, std::uint64_t sequences) const;
  [[nodiscard]] double threads_attention_s(const Unit& unit, std::uint64_t rows, std::uint64_t sequences,
                                           std::uint64_t pairs, bool cached) const;
  [[nodiscard]] std::uint64_t unit_ps(const Unit& unit, bool is_head, bool on_gpu, std::uint64_t rows,
                                      std::uint64_t context, std::uint64_t sequences) const;
  void add_kv(Unit& unit) const;

  const planner::Budget& budget_;
  const planner::Workload& workload_;
  const planner::MachineProfile& machine_;
  planner::Device gpu_;
  bool capped_;                              ///< logits
  std::vector<std::array<Unit, 2>> layers_;  ///< attention, FFN
  Unit head_;
  std::uint64_t own_embedding_bytes_ = 0;  ///< 0: the head's matrix is the embedding
  std::uint64_t stream_bytes_ = 0;         ///< of a buffer that weights are streamed through
  std::uint64_t width_ = 0;
  std::uint64_t vocab_ = 0;
  std::uint64_t recorded_steps_ = 0;  ///< by every stage on the GPU
};

}  // namespace tandem::planner_test
