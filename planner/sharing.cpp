#include "planner/sharing.h"

#include <algorithm>

#include "planner/footprint.h"
#include "planner/gpu_rules.h"

namespace tandem::planner {
namespace {

/// `part` of a unit's time, its fixed cost apart.
double part_ps(Picoseconds unit, double fixed_us, double part) {
  const auto fixed_ps = fixed_us * 1e6;
  return fixed_ps + std::max(0.0, static_cast<double>(unit) - fixed_ps) * part;
}

/// The step's time where every FFN half has `rows` of its rows on the GPU.
Picoseconds shared_step_ps(const ModelInput& model, const Workload& workload, const MachineProfile& machine,
                           Device gpu, std::uint32_t rows) {
  const auto step = decode_step(workload);
  const auto unit = [&](Device device, UnitRef ref) {
    return unit_ps(model, workload.kv_type, machine, device, ref, step);
  };
  auto total = stage_ps(machine, gpu) + unit(gpu, {UnitKind::head, 0});
  for (std::uint32_t i = 0; i < model.layers.size(); ++i) {
    const auto part = static_cast<double>(rows) / model.hyper.layers[i].ffn_width;
    const UnitRef ffn{UnitKind::ffn, i};
    const auto on_gpu = part_ps(unit(gpu, ffn), machine.gpu_launch_us, part);
    const auto on_cpu = part_ps(unit(Device::cpu, ffn), machine.cpu_unit_us, 1 - part);
    total += unit(gpu, {UnitKind::attention, i}) + static_cast<Picoseconds>(std::max(on_gpu, on_cpu)) +
             2 * crossing_ps(model, machine, step);
  }
  return total;
}

/// Bytes of the FFN rows beyond `rows`, which the CPU has.
double bytes_on_cpu(const ModelInput& model, std::uint32_t rows) {
  double bytes = 0;
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    const auto part = static_cast<double>(rows) / model.hyper.layers[i].ffn_width;
    bytes += static_cast<double>(model.layers[i].ffn.copied_bytes) * (1 - part);
  }
  return bytes;
}

}  // namespace

std::optional<SharedFfn> shared_ffn(const ModelInput& model, const Budget& budget, const Workload& workload,
                                    const MachineProfile& machine, Device gpu) {
  const auto width = std::ranges::min(model.hyper.layers, {}, &model::LayerSpec::ffn_width).ffn_width;
  const auto all_on_gpu = Placement::all_on(gpu, model.layers.size());
  if (most_on(gpu, model) != all_on_gpu) return std::nullopt;
  const auto everything = footprint(model, budget, workload, machine, all_on_gpu);
  if (everything.vram_bytes <= budget.vram_bytes) return std::nullopt;
  std::optional<SharedFfn> best;
  for (std::uint32_t rows = kSharedRows; rows < width; rows += kSharedRows) {
    const auto moved_bytes = bytes_on_cpu(model, rows);
    if (static_cast<double>(everything.vram_bytes) - moved_bytes > static_cast<double>(budget.vram_bytes))
      break;
    if (static_cast<double>(everything.ram_bytes) + moved_bytes > static_cast<double>(budget.ram_bytes))
      continue;
    const auto time_ps = shared_step_ps(model, workload, machine, gpu, rows);
    if (!best || time_ps < best->time_ps) best = {rows, time_ps};
  }
  return best;
}

}  // namespace tandem::planner
