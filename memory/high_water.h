#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "backends/device.h"
#include "memory/arena.h"
#include "model/hyperparameters.h"
#include "planner/plan.h"

namespace tandem::memory {

/// The most that micro-batches have used so far of what a plan gives them.  Any thread may call any member.
class HighWater {
 public:
  /// Both outlive the object.
  HighWater(const planner::Plan& plan, const model::Hyperparameters& hyper);

  /// Counts a micro-batch of which `logit_rows` rows of logits are wanted.
  void note(const device::MicroBatch& batch, std::uint32_t logit_rows) noexcept;

  /// Counts a micro-batch of `rows` rows whose FFN weights are streamed; noted as well.
  void note_streamed(std::uint32_t rows) noexcept;

  /// Bytes of `line`, of the plan's ledger, that were in use at some time.  Weights and what they are loaded
  /// through are from the start; KV counts in rows of rings and in pages, buffers in rows of the largest
  /// micro-batch.
  [[nodiscard]] std::uint64_t bytes(const LedgerLine& line) const;

 private:
  [[nodiscard]] std::uint64_t kv_bytes(planner::Device device) const;
  [[nodiscard]] std::uint64_t activation_bytes(planner::Device device) const;
  [[nodiscard]] std::uint64_t kv_staging_bytes(planner::Device device) const;
  [[nodiscard]] std::uint64_t transfer_bytes(const LedgerLine& line) const;

  const planner::Plan& plan_;
  const model::Hyperparameters& hyper_;
  mutable std::mutex mutex_;  ///< guards all below
  std::uint32_t rows_ = 0;
  std::uint32_t streamed_rows_ = 0;  ///< of the largest that streamed
  std::uint32_t draft_rows_ = 0;     ///< in one micro-batch
  std::uint32_t logit_rows_ = 0;
  std::uint64_t table_pages_ = 0;        ///< in the page tables of one micro-batch
  std::uint64_t pages_ = 0;              ///< of the pool: those up to the last that was in use
  std::vector<std::uint64_t> slot_end_;  ///< by slot: the longest sequence
};

}  // namespace tandem::memory
