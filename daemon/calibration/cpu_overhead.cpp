#include "daemon/calibration/cpu_overhead.h"

#include <algorithm>

#include "backends/cpu/dequantise.h"
#include "backends/cpu/repacked.h"
#include "daemon/calibration/cpu_units.h"
#include "planner/cost.h"

namespace tandem::calibration {
namespace {

constexpr std::uint32_t kFewSmallRows = planner::kMeasuredRows.back();
constexpr std::uint32_t kManySmallRows = 64;
constexpr std::uint32_t kFfnWidth = 1024;
constexpr std::size_t kLeastRuns = 15;  ///< of a sample: most of them are short even beside other work
constexpr AttentionShape kSmall{
    256, 4, 2, 64, 32, device::KvLayout::separate, kManySmallRows, device::BlockType::q4_0};

planner::UnitWeights weights_of_elems(std::uint64_t elems) {
  const auto type = model::TensorType::q4_0;
  planner::UnitWeights weights;
  weights.bytes = elems / 32 * cpu::row_bytes(kSmall.type, 32);
  weights.shares = {{type, weights.bytes, elems}};
  return weights;
}

/// The two units as plans see them.
planner::ModelInput small_model() {
  const std::uint64_t width = kSmall.width;
  const auto kv_width = std::uint64_t{kSmall.kv_heads} * kSmall.head_dim;
  planner::ModelInput input;
  input.hyper.width = kSmall.width;
  input.hyper.layers = {{.heads = kSmall.heads,
                         .kv_heads = kSmall.kv_heads,
                         .head_dim = kSmall.head_dim,
                         .ffn_width = kFfnWidth}};
  const auto q_width = std::uint64_t{kSmall.heads} * kSmall.head_dim;
  input.layers = {
      {weights_of_elems(2 * width * (q_width + kv_width)), weights_of_elems(3 * width * kFfnWidth)}};
  return input;
}

/// Layers of one shape, an attention half and an FFN half each.
class Layers {
 public:
  Layers(const AttentionShape& shape, std::uint32_t ffn_width, std::size_t layers) : shape_(shape) {
    const auto repacked = memory_.view(&cpu::best_repacker());
    for (std::size_t i = 0; i < layers; ++i) {
      units_.push_back(attention_unit(shape, repacked));
      units_.push_back(ffn_unit(shape.width, ffn_width, shape.type, repacked));
    }
    scratch_ = scratch_for(units_, shape.width, shape.context, memory_.view());
  }

  /// Microseconds of a step of a new sequence through the first `layers`, in samples.
  std::vector<double> samples_us(Pace& pace, cpu::Team& team, const cpu::KernelSet& kernels,
                                 std::size_t layers, std::uint32_t rows) const {
    const std::vector some(units_.begin(), units_.begin() + static_cast<std::ptrdiff_t>(2 * layers));
    auto samples = step_samples_s(pace, team, kernels, some, shape_.width, scratch_, shape_.context, rows,
                                  rows, kLeastRuns);
    for (auto& sample : samples) sample *= 1e6;
    return samples;
  }

  /// The shortest of them: what is left of it once rates have explained the most is little beside what may
  /// hold it up.
  double step_us(Pace& pace, cpu::Team& team, const cpu::KernelSet& kernels, std::size_t layers,
                 std::uint32_t rows) const {
    return std::ranges::min(samples_us(pace, team, kernels, layers, rows));
  }

 private:
  AttentionShape shape_;
  HostMemory memory_;
  std::vector<device::Unit> units_;
  device::Scratch scratch_;
};

IdleStep idle_step(Pace& pace, cpu::Team& team, const cpu::KernelSet& kernels) {
  constexpr std::uint32_t kWidth = 32;
  constexpr std::size_t kMany = 12;
  const Layers layers(
      {kWidth, 1, 1, kWidth, kWidth / 2, device::KvLayout::separate, 1, device::BlockType::q8_0}, kWidth,
      kMany);
  const auto one_us = layers.samples_us(pace, team, kernels, 1, 1);
  return idle_step_of(one_us, layers.samples_us(pace, team, kernels, kMany, 1), kMany);
}

}  // namespace

IdleStep idle_step_of(const std::vector<double>& one_us, const std::vector<double>& all_us,
                      std::size_t layers) {
  const auto many = static_cast<double>(layers);
  const auto read_one_us = std::ranges::min(one_us);
  const auto shortest_all_us = std::min(std::ranges::min(all_us), many * read_one_us);
  const auto shortest_one_us = std::min(read_one_us, shortest_all_us);
  const auto layer_us = (shortest_all_us - shortest_one_us) / (many - 1);
  return {std::max(0.0, shortest_one_us - layer_us), shortest_all_us / (2 * many)};
}

StepOverhead step_overhead(Pace& pace, cpu::Team& team, const cpu::KernelSet& kernels,
                           const planner::MachineProfile& rates) {
  constexpr std::size_t kLayers = 8;
  const Layers layers(kSmall, kFfnWidth, kLayers);
  const auto model = small_model();
  // Of a layer's two units together.
  const auto explained_us = [&](std::uint32_t rows) {
    planner::Picoseconds both = 0;
    for (const auto kind : {planner::UnitKind::attention, planner::UnitKind::ffn}) {
      both += planner::unit_ps(model, planner::KvType::f16, rates, planner::Device::cpu, {kind, 0},
                               {rows, rows, 1});
    }
    return planner::milliseconds(both) * 1e3;
  };
  const auto idle = idle_step(pace, team, kernels);
  StepOverhead overhead;
  overhead.stage_us = idle.stage_us;
  const auto unit_us = [&](std::uint32_t rows) {
    const auto layer_us = (layers.step_us(pace, team, kernels, kLayers, rows) - overhead.stage_us) / kLayers;
    return std::max(0.0, layer_us - explained_us(rows)) / 2;
  };
  // Caches hold these units, memory those that rates are of: where other work takes much of what memory has
  // to give, or few threads pass few barriers, rates explain more than steps take.
  overhead.unit_us = std::max(unit_us(1), idle.unit_us);
  const auto few_us = std::max(unit_us(kFewSmallRows), overhead.unit_us);
  overhead.unit_few_rows_us = (few_us - overhead.unit_us) / (kFewSmallRows - 1);
  overhead.unit_many_rows_us =
      std::max(unit_us(kManySmallRows) - few_us, 0.0) / (kManySmallRows - kFewSmallRows);
  return overhead;
}

}  // namespace tandem::calibration
