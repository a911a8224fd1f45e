#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "planner/plan.h"

namespace tandem::memory {

/// Called while memory is filled: `done_bytes` of `total_bytes`.
using Progress = std::function<void(std::uint64_t done_bytes, std::uint64_t total_bytes)>;

/// Planned against actual bytes of one purpose on one device.
struct LedgerLine {
  planner::Device device = planner::Device::cpu;
  planner::Purpose purpose = planner::Purpose::weights;
  std::uint64_t planned_bytes = 0;
  std::uint64_t allocated_bytes = 0;
  std::uint64_t used_bytes = 0;  ///< handed out
  std::uint64_t high_water_bytes =
      0;  ///< of them in use at some time (memory/high_water.h), where that is known

  /// Allocated exactly as planned; a reserve is left free, and the driver allocates for itself, no more than
  /// planned.
  [[nodiscard]] bool balances() const noexcept {
    if (purpose == planner::Purpose::reserve) return allocated_bytes == 0;
    if (purpose == planner::Purpose::driver) return allocated_bytes <= planned_bytes;
    return allocated_bytes == planned_bytes;
  }

  bool operator==(const LedgerLine&) const = default;
};

/// One line of the plan made true: memory on one device for one purpose.  Part of it may lie elsewhere (a
/// model file used in place); the rest is one allocation, handed out piece after piece without gaps.
class Arena {
 public:
  /// All of `line`, as zeroed host memory.  Throws OutOfMemory.
  static Arena host(const planner::ArenaPlan& line);

  /// All of `line`, in `memory` that somebody else frees, later than the arena goes.
  static Arena lent(const planner::ArenaPlan& line, std::byte* memory);

  /// `line` where all but `own_bytes` is memory that exists already and is `adopt`ed.  Throws OutOfMemory,
  /// and PlanViolated if the line is smaller than `own_bytes`.
  static Arena around_file(const planner::ArenaPlan& line, std::uint64_t own_bytes);

  [[nodiscard]] planner::Device device() const noexcept { return line_.device; }
  [[nodiscard]] planner::Purpose purpose() const noexcept { return line_.purpose; }
  /// Bytes of the allocation, without what is adopted.
  [[nodiscard]] std::uint64_t own_bytes() const noexcept { return own_bytes_; }
  [[nodiscard]] LedgerLine ledger_line() const noexcept;
  /// The allocation.
  [[nodiscard]] std::span<std::byte> own_memory() const noexcept { return {base_, own_bytes_}; }

  /// The next `bytes` of the allocation.  A piece takes up a multiple of planner::kBufferAlignmentBytes, so
  /// that the next one is aligned; the plan counts the same.  Throws PlanViolated when fewer are left.
  std::span<std::byte> take(std::uint64_t bytes);

  /// The last `bytes` of the allocation that are left, to be touched by whoever fills them: `prefault` leaves
  /// them alone.  Of any length, so that only their beginning is aligned, where the whole but for `bytes` is
  /// a multiple of planner::kBufferAlignmentBytes.  Throws PlanViolated when fewer are left.
  std::span<std::byte> take_last(std::uint64_t bytes);

  /// Counts `bytes` of the model file as used in place.  Throws PlanViolated beyond what the plan says.
  void adopt(std::uint64_t bytes);

  /// What `prefault` touches.
  [[nodiscard]] std::uint64_t prefaulted_bytes() const noexcept { return own_bytes_ - last_bytes_; }

  /// Touches every page of the allocation but what is taken from its end, on `threads` threads, so that the
  /// kernel has it from now on; lent memory is there already.  Throws OutOfMemory.
  void prefault(unsigned threads) const;

 private:
  struct Unmap {
    std::uint64_t bytes = 0;
    void operator()(std::byte* base) const noexcept;
  };

  Arena(const planner::ArenaPlan& line, std::uint64_t own_bytes);
  Arena(const planner::ArenaPlan& line, std::byte* lent);

  [[noreturn]] void refuse(std::uint64_t bytes, std::uint64_t left_bytes) const;

  planner::ArenaPlan line_;
  std::uint64_t own_bytes_ = 0;
  std::uint64_t taken_bytes_ = 0;  ///< from the beginning
  std::uint64_t last_bytes_ = 0;   ///< taken from the end
  std::uint64_t adopted_bytes_ = 0;
  std::unique_ptr<std::byte, Unmap> mapped_;  ///< null where the memory is lent
  std::byte* base_ = nullptr;
};

}  // namespace tandem::memory
