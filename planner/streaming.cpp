#include "planner/streaming.h"

#include <algorithm>
#include <cmath>

#include "planner/activations.h"
#include "planner/plan_consistency.h"

namespace tandem::planner {
namespace {

/// The GPU that some unit is on; the CPU if none is.
Device gpu_of(const Placement& placement) noexcept {
  for (const auto unit : all_units(placement.ffn.size())) {
    if (placement.device_of(unit) != Device::cpu) return placement.device_of(unit);
  }
  return Device::cpu;
}

}  // namespace

ByteCount stream_buffer_bytes(const ModelInput& model) {
  ByteCount largest;
  for (const auto& layer : model.layers) {
    largest = std::max(largest, ByteCount(layer.ffn.largest_tensor_bytes).aligned(kBufferAlignmentBytes));
  }
  return largest + (ByteCount(model.hyper.width) * sizeof(float)).aligned(kBufferAlignmentBytes);
}

std::uint32_t paying_stream_rows(const ModelInput& model, const Workload& workload,
                                 const MachineProfile& machine, Device gpu) {
  const auto largest_chunk = longest_chunk_rows(workload);
  if (machine.stream_rows > 0) {
    const auto rows = std::ceil(machine.stream_rows);
    return rows <= largest_chunk ? static_cast<std::uint32_t>(rows) : 0;
  }
  const auto largest = std::ranges::max_element(
      model.layers, {}, [](const LayerWeights& layer) { return layer.ffn.copied_bytes; });
  const UnitRef ffn{UnitKind::ffn, static_cast<std::uint32_t>(largest - model.layers.begin())};
  const auto pays = [&](std::uint32_t rows) {
    const StepShape chunk{rows, rows, 1};
    const auto streamed = streamed_ps(model, workload.kv_type, machine, gpu, ffn.layer, chunk) +
                          2 * crossing_ps(model, machine, chunk);
    return streamed <= unit_ps(model, workload.kv_type, machine, Device::cpu, ffn, chunk);
  };
  if (!pays(largest_chunk)) return 0;
  std::uint32_t too_few = 0;
  auto paying = largest_chunk;
  while (paying - too_few > 1) {
    const auto middle = too_few + (paying - too_few) / 2;
    (pays(middle) ? paying : too_few) = middle;
  }
  return paying;
}

std::vector<UnitRef> streamed_units(const Workload& workload, const Placement& placement) {
  std::vector<UnitRef> units;
  if (!may_stream(workload) || gpu_of(placement) == Device::cpu) return units;
  for (std::uint32_t i = 0; i < placement.ffn.size(); ++i) {
    if (placement.ffn[i] == Device::cpu) units.push_back({UnitKind::ffn, i});
  }
  return units;
}

std::vector<UnitRef> streamed_units(const Plan& plan) {
  return streamed_units(plan.workload, placement_of(plan));
}

std::uint64_t load_buffer_bytes(const Plan& plan, const ModelInput& model) {
  std::uint64_t largest = 0;
  const auto include = [&](const std::vector<UnitRef>& units) {
    for (const auto unit : units) largest = std::max(largest, weights_of(model, unit).largest_tensor_bytes);
  };
  for (const auto device : {Device::cuda0, Device::emulated0}) include(units_on(plan, device));
  include(streamed_units(plan));
  return load_buffer_bytes(largest);
}

Placement computed_at(const Workload& workload, const Placement& placement) {
  auto computed = placement;
  for (const auto unit : streamed_units(workload, placement)) computed.move(unit, gpu_of(placement));
  return computed;
}

Directions<std::uint32_t> crossing_rows(const Workload& workload, const Placement& placement,
                                        Device embedding_device, std::uint32_t in_place_rows,
                                        std::uint32_t streamed_rows) {
  const auto in_place = directions_of(placement, embedding_device);
  const auto streamed = streamed_units(workload, placement).empty()
                            ? Directions<bool>()
                            : directions_of(computed_at(workload, placement), embedding_device);
  const auto rows = [&](bool cross_in_place, bool cross_streamed) {
    return std::max(cross_in_place ? in_place_rows : 0, cross_streamed ? streamed_rows : 0);
  };
  return {rows(in_place.to_gpu, streamed.to_gpu), rows(in_place.to_cpu, streamed.to_cpu)};
}

Directions<std::uint32_t> most_crossing_rows(const Workload& workload, const Placement& placement,
                                             Device embedding_device) {
  const bool streams = !streamed_units(workload, placement).empty();
  const auto most = streams ? most_rows_beside_streams(workload) : most_rows(workload);
  return crossing_rows(workload, placement, embedding_device, most.ffn_rows, most.rows);
}

RowCounts most_rows(const Plan& plan, Device device) {
  const bool beside_streams = device == Device::cpu && !streamed_units(plan).empty();
  return beside_streams ? most_rows_beside_streams(plan.workload) : most_rows(plan.workload);
}

bool streams_prefill_step(const Workload& workload) noexcept {
  return may_stream(workload) && prefill_step(workload).rows >= *workload.stream_rows;
}

Picoseconds streamed_ps(const ModelInput& model, KvType kv_type, const MachineProfile& machine, Device gpu,
                        std::uint32_t layer, StepShape step) {
  return std::max(unit_ps(model, kv_type, machine, gpu, {UnitKind::ffn, layer}, step),
                  transfer_ps(machine, model.layers[layer].ffn.copied_bytes));
}

Picoseconds prefill_ps(const ModelInput& model, const Workload& workload, const MachineProfile& machine,
                       const Placement& placement, Picoseconds parts) {
  const auto step = prefill_step(workload);
  const auto total_ps = [&](const Placement& computed) {
    return step_time(model, workload.kv_type, machine, computed, step, parts).serial_ps();
  };
  if (!streams_prefill_step(workload)) return total_ps(placement);
  const auto gpu = gpu_of(placement);
  Picoseconds waiting = 0;
  for (const auto unit : streamed_units(workload, placement)) {
    waiting += streamed_ps(model, workload.kv_type, machine, gpu, unit.layer, step) / parts -
               unit_ps(model, workload.kv_type, machine, gpu, unit, step) / parts;
  }
  return total_ps(computed_at(workload, placement)) + waiting;
}

}  // namespace tandem::planner
