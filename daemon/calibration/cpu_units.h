#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "backends/cpu/kernel_set.h"
#include "backends/cpu/team.h"
#include "daemon/calibration/pace.h"
#include "daemon/calibration/synthetic_unit.h"
#include "daemon/calibration/weight_block.h"

namespace tandem::calibration {

/// Memory of the host.
class HostMemory {
 public:
  [[nodiscard]] UnitMemory view(const device::Repacker* repacker = nullptr);

 private:
  std::deque<WeightBlock> blocks_;
};

/// Seconds of a step over `units`, `rows` rows that end at `context`, with scratch for `most_rows`: all
/// samples so far, of at least `least_runs` runs each.
const std::vector<double>& step_samples_s(Pace& pace, cpu::Team& team, const cpu::KernelSet& kernels,
                                          const std::vector<device::Unit>& units, std::uint32_t width,
                                          const device::Scratch& scratch, std::uint32_t most_rows,
                                          std::uint32_t rows, std::uint64_t context, std::size_t least_runs);

/// The median of such samples, of at least a run each.
double step_s(Pace& pace, cpu::Team& team, const cpu::KernelSet& kernels,
              const std::vector<device::Unit>& units, std::uint32_t width, const device::Scratch& scratch,
              std::uint32_t most_rows, std::uint32_t rows, std::uint64_t context);

/// Attention halves that are nothing but attention, each with KV of its own.
class AttentionHalves {
 public:
  AttentionHalves(const AttentionShape& shape, std::size_t halves, std::uint32_t most_rows);

  [[nodiscard]] const AttentionShape& shape() const noexcept { return shape_; }
  [[nodiscard]] std::size_t count() const noexcept { return units_.size(); }

  /// Seconds of attention in a step of `rows` rows at the end of the shape's context, through the first
  /// `halves`: the same step at the start of a sequence is taken off.
  double seconds(Pace& pace, cpu::Team& team, const cpu::KernelSet& kernels, std::uint32_t rows,
                 std::size_t halves) const;

 private:
  AttentionShape shape_;
  std::uint32_t most_rows_;
  HostMemory memory_;
  std::vector<device::Unit> units_;
  device::Scratch scratch_;
};

}  // namespace tandem::calibration
