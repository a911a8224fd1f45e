#pragma once

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <vector>

#include "backends/device.h"
#include "memory/arena.h"
#include "planner/model_input.h"
#include "planner/plan.h"

namespace tandem::memory {

/// Rows of logits that a micro-batch asks for.
struct WantedRows {
  std::uint32_t all = 0;
  std::uint32_t whole = 0;  ///< those up to the last one that comes whole to where tokens are chosen
  std::uint32_t best = 0;   ///< those that are reduced to candidates before
  std::uint32_t edits = 0;  ///< of these
};

/// The most that micro-batches have used so far of what a plan gives them.  Any thread may call any member.
class HighWater {
 public:
  /// Both outlive the object.
  HighWater(const planner::Plan& plan, const planner::ModelInput& model);

  /// Counts a micro-batch; `streamed`: its FFN weights are.
  void note(const device::MicroBatch& batch, const WantedRows& wanted, bool streamed) noexcept;
  /// Counts an answer in `slot` that a grammar holds.
  void note_masks(std::uint32_t slot) noexcept;

  /// Bytes of `line`, of the plan's ledger, that were in use at some time.  Weights and what they are loaded
  /// through are from the start; KV counts in rows of rings and in pages, buffers in rows of the largest
  /// micro-batch.
  [[nodiscard]] std::uint64_t bytes(const LedgerLine& line) const;

 private:
  [[nodiscard]] std::uint32_t rows() const noexcept { return std::max(in_place_rows_, streamed_rows_); }
  [[nodiscard]] std::uint64_t kv_bytes(planner::Device device) const;
  [[nodiscard]] std::uint64_t activation_bytes(planner::Device device) const;
  [[nodiscard]] std::uint64_t kv_staging_bytes(planner::Device device) const;
  [[nodiscard]] std::uint64_t logit_bytes(planner::Device device) const;
  [[nodiscard]] std::uint64_t transfer_bytes(const LedgerLine& line) const;

  const planner::Plan& plan_;
  const planner::ModelInput& model_;
  mutable std::mutex mutex_;         ///< guards all below
  std::uint32_t in_place_rows_ = 0;  ///< of the largest that did not stream
  std::uint32_t streamed_rows_ = 0;  ///< of the largest that did
  std::uint32_t draft_rows_ = 0;     ///< in one micro-batch
  WantedRows wanted_;
  std::uint64_t table_pages_ = 0;        ///< in the page tables of one micro-batch
  std::uint64_t pages_ = 0;              ///< of the pool: those up to the last that was in use
  std::vector<std::uint64_t> slot_end_;  ///< by slot: the longest sequence
  std::uint32_t mask_slots_ = 0;         ///< those up to the last that had a grammar
};

}  // namespace tandem::memory
