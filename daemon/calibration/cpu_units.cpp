#include "daemon/calibration/cpu_units.h"

#include <algorithm>
#include <cstring>

#include "backends/cpu/stage.h"

namespace tandem::calibration {
const std::vector<double>& step_samples_s(Pace& pace, cpu::Team& team, const cpu::KernelSet& kernels,
                                          const std::vector<device::Unit>& units, std::uint32_t width,
                                          const device::Scratch& scratch, std::uint32_t most_rows,
                                          std::uint32_t rows, std::uint64_t context, std::size_t least_runs) {
  const device::StageShape shape{width, 1e-6f, most_rows};
  const auto stage = cpu::make_stage(units, shape, scratch, team, kernels);
  const OneSequence sequence(rows, context);
  const std::vector<float> before(std::size_t{rows} * width, 1.0f);
  auto x = before;
  return pace.samples_s(
      [&] {
        std::copy(before.begin(), before.end(), x.begin());
        stage->step(sequence.batch(), x.data());
      },
      least_runs);
}

double step_s(Pace& pace, cpu::Team& team, const cpu::KernelSet& kernels,
              const std::vector<device::Unit>& units, std::uint32_t width, const device::Scratch& scratch,
              std::uint32_t most_rows, std::uint32_t rows, std::uint64_t context) {
  return median(step_samples_s(pace, team, kernels, units, width, scratch, most_rows, rows, context, 1));
}

UnitMemory HostMemory::view(const device::Repacker* repacker) {
  return {[this](std::size_t bytes) { return blocks_.emplace_back(bytes + 1).bytes().data(); },
          [](std::byte* to, const void* from, std::size_t bytes) { std::memcpy(to, from, bytes); }, repacker};
}

AttentionHalves::AttentionHalves(const AttentionShape& shape, std::size_t halves, std::uint32_t most_rows)
    : shape_(shape), most_rows_(most_rows) {
  for (std::size_t i = 0; i < halves; ++i) units_.push_back(attention_unit(shape, memory_.view()));
  scratch_ = scratch_for(units_, shape.width, most_rows, memory_.view());
}

double AttentionHalves::seconds(Pace& pace, cpu::Team& team, const cpu::KernelSet& kernels,
                                std::uint32_t rows, std::size_t halves) const {
  const std::vector some(units_.begin(), units_.begin() + static_cast<std::ptrdiff_t>(halves));
  const auto at = [&](std::uint64_t end) {
    return step_s(pace, team, kernels, some, shape_.width, scratch_, most_rows_, rows, end);
  };
  return std::max(at(shape_.context) - at(rows), 1e-9);
}

}  // namespace tandem::calibration
