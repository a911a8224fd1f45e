#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "planner/plan.h"

namespace tandem::memory {

/// One allocation on one device for one purpose, as the plan says.  `take` hands out pieces until it is used
/// up.
class Arena {
 public:
  virtual ~Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  [[nodiscard]] planner::Device device() const noexcept { return device_; }
  [[nodiscard]] planner::Purpose purpose() const noexcept { return purpose_; }
  [[nodiscard]] std::uint64_t size_bytes() const noexcept { return size_bytes_; }
  [[nodiscard]] std::uint64_t used_bytes() const noexcept { return used_bytes_; }

  /// The next `bytes`, aligned to planner::kBufferAlignmentBytes.  Throws memory::PlanViolated when the arena
  /// is too small: the plan and the code disagree.
  std::span<std::byte> take(std::uint64_t bytes);

 protected:
  Arena(planner::Device device, planner::Purpose purpose, std::uint64_t size_bytes);
  std::byte* base_ = nullptr;

 private:
  planner::Device device_;
  planner::Purpose purpose_;
  std::uint64_t size_bytes_;
  std::uint64_t used_bytes_ = 0;
};

/// Planned against actual bytes of one purpose on one device.
struct LedgerLine {
  planner::Device device;
  planner::Purpose purpose;
  std::uint64_t planned_bytes = 0;
  std::uint64_t allocated_bytes = 0;
  std::uint64_t used_bytes = 0;
};

}  // namespace tandem::memory
