#include "planner/cost.h"

#include <algorithm>

#include "planner/activations.h"
#include "planner/footprint.h"

namespace tandem::planner {
namespace {

constexpr double kUsPerSecond = 1e6;

double bytes_us(double bytes, double gb_per_s) {
  return bytes / (gb_per_s * 1e9) * kUsPerSecond;
}
double ops_us(double ops, double tops) {
  return ops / (tops * 1e12) * kUsPerSecond;
}

/// Rates of one device.
struct Rates {
  double read_gb_per_s;
  double int8_tops;
  double float_tops;
  double unit_us;
};

Rates rates_of(const MachineProfile& machine, Device device) {
  if (device == Device::cpu) {
    return {machine.ram_read_gb_per_s, machine.cpu_int8_tops, machine.cpu_float_tops, machine.cpu_unit_us};
  }
  return {machine.vram_read_gb_per_s, machine.gpu_int8_tops, machine.gpu_float_tops, machine.gpu_launch_us};
}

const UnitWeights& weights_of(const ModelInput& model, UnitRef unit) {
  switch (unit.kind) {
    case UnitKind::attention:
      return model.layers[unit.layer].attention;
    case UnitKind::ffn:
      return model.layers[unit.layer].ffn;
    case UnitKind::head:
      break;
  }
  return model.head;
}

/// Keys that the rows of a step see, summed over rows.
double visible_keys(const model::LayerSpec& layer, StepShape step) {
  const auto first = static_cast<double>(step.context - step.rows + 1);
  const auto last = static_cast<double>(step.context);
  const auto mean = (first + last) / 2;
  const auto limit = layer.kind == model::LayerKind::sliding ? static_cast<double>(layer.window) : mean;
  return static_cast<double>(step.rows) * std::min(mean, limit);
}

}  // namespace

double unit_us(const ModelInput& model, KvType kv_type, const MachineProfile& machine, Device device,
               UnitRef unit, StepShape step) {
  const auto rates = rates_of(machine, device);
  const auto& weights = weights_of(model, unit);
  // The head sees one row of a prompt: the one whose next token is wanted.
  const auto rows = unit.kind == UnitKind::head ? 1.0 : static_cast<double>(step.rows);
  auto bytes = static_cast<double>(weights.bytes);
  auto compute_us = ops_us(2 * rows * static_cast<double>(weights.quantised_elems), rates.int8_tops) +
                    ops_us(2 * rows * static_cast<double>(weights.float_elems), rates.float_tops);
  if (unit.kind == UnitKind::attention) {
    const auto& layer = model.hyper.layers[unit.layer];
    const auto row_bytes = kv_row_bytes(layer, kv_layout(layer), kv_type);
    bytes += static_cast<double>(kv_cells(layer, step.context)) * static_cast<double>(row_bytes);
    compute_us += ops_us(4.0 * layer.heads * layer.head_dim * visible_keys(layer, step), rates.float_tops);
  }
  return std::max(bytes_us(bytes, rates.read_gb_per_s), compute_us) + rates.unit_us;
}

double crossing_us(const ModelInput& model, const MachineProfile& machine, std::uint64_t rows) {
  const auto bytes = static_cast<double>(rows) * model.hyper.width * sizeof(float);
  return machine.crossing_us + bytes_us(bytes, machine.pcie_gb_per_s);
}

double step_us(const ModelInput& model, KvType kv_type, const MachineProfile& machine,
               const Placement& placement, StepShape step) {
  double total_us = 0;
  auto before = model.embedding.bytes == 0 ? placement.head : Device::cpu;
  for (const auto unit : all_units(model.layers.size())) {
    const auto device = placement.device_of(unit);
    if (device != before) total_us += crossing_us(model, machine, step.rows);
    total_us += unit_us(model, kv_type, machine, device, unit, step);
    before = device;
  }
  return total_us;
}

Predicted predict(const ModelInput& model, const Workload& workload, const MachineProfile& machine,
                  const Placement& placement) {
  const auto context = workload.expected_context;
  const auto chunk_rows = std::min<std::uint64_t>(workload.micro_batch, context);
  const StepShape decode{1, context};
  const StepShape prefill{chunk_rows, std::max(chunk_rows, context / 2)};
  const auto decode_us = step_us(model, workload.kv_type, machine, placement, decode);
  const auto prefill_us = step_us(model, workload.kv_type, machine, placement, prefill);
  return {kUsPerSecond / decode_us, static_cast<double>(chunk_rows) * kUsPerSecond / prefill_us};
}

}  // namespace tandem::planner
