#include "daemon/calibration/cpu_units.h"

#include <algorithm>
#include <cstring>
#include <deque>

#include "backends/cpu/stage.h"
#include "daemon/calibration/weight_block.h"

namespace tandem::calibration {
namespace {

/// Memory of the host.
class HostMemory {
 public:
  [[nodiscard]] UnitMemory view() {
    return {[this](std::size_t bytes) { return blocks_.emplace_back(bytes + 1).bytes().data(); },
            [](std::byte* to, const void* from, std::size_t bytes) { std::memcpy(to, from, bytes); }};
  }

 private:
  std::deque<WeightBlock> blocks_;
};

/// Seconds of a step over `units`, `rows` rows that end at `context`.
double step_s(const Pace& pace, cpu::Team& team, const cpu::KernelSet& kernels,
              const std::vector<device::Unit>& units, std::uint32_t width, const device::Scratch& scratch,
              std::uint32_t rows, std::uint64_t context) {
  const device::StageShape shape{width, 1e-6f, rows};
  const auto stage = cpu::make_stage(units, shape, scratch, team, kernels);
  const OneSequence sequence(rows, context);
  const std::vector<float> before(std::size_t{rows} * width, 1.0f);
  auto x = before;
  return pace.median_s([&] {
    std::copy(before.begin(), before.end(), x.begin());
    stage->step(sequence.batch(), x.data());
  });
}

}  // namespace

double attention_s(const Pace& pace, cpu::Team& team, const cpu::KernelSet& kernels,
                   const AttentionShape& shape, std::uint32_t rows, std::uint64_t context,
                   std::size_t halves) {
  HostMemory memory;
  std::vector<device::Unit> units;
  for (std::size_t i = 0; i < halves; ++i) units.push_back(attention_unit(shape, memory.view()));
  const auto scratch = scratch_for(units, shape.width, rows, memory.view());
  const auto at = [&](std::uint64_t end) {
    return step_s(pace, team, kernels, units, shape.width, scratch, rows, end);
  };
  return std::max(at(context) - at(rows), 1e-9);
}

StepOverhead step_overhead(const Pace& pace, cpu::Team& team, const cpu::KernelSet& kernels) {
  constexpr std::uint32_t kWidth = 32;
  constexpr std::size_t kLayers = 24;
  HostMemory memory;
  const AttentionShape shape{kWidth, 1, 1, 32, 16, device::KvLayout::separate, 1};
  std::vector<device::Unit> units;
  for (std::size_t i = 0; i < kLayers; ++i) {
    units.push_back(attention_unit(shape, memory.view()));
    units.push_back(ffn_unit(kWidth, kWidth, device::BlockType::q8_0, memory.view()));
  }
  const auto scratch = scratch_for(units, kWidth, 1, memory.view());
  const auto seconds = [&](std::size_t n) {
    return step_s(pace, team, kernels, {units.begin(), units.begin() + static_cast<std::ptrdiff_t>(n)},
                  kWidth, scratch, 1, 1);
  };
  const auto few_s = seconds(2);
  const auto unit_s = std::max(0.0, (seconds(units.size()) - few_s) / static_cast<double>(units.size() - 2));
  return {unit_s * 1e6, std::max(0.0, few_s - 2 * unit_s) * 1e6};
}

}  // namespace tandem::calibration
