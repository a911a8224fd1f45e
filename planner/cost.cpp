#include "planner/cost.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "planner/activations.h"
#include "planner/attention_tiles.h"
#include "planner/footprint.h"
#include "planner/row_work.h"
#include "planner/streaming.h"

namespace tandem::planner {
namespace {

constexpr double kUsPerSecond = 1e6;
constexpr double kPsPerUs = 1e6;
constexpr double kPsPerSecond = 1e12;

double bytes_us(double bytes, double gb_per_s) {
  return bytes / (gb_per_s * 1e9) * kUsPerSecond;
}
double ops_us(double ops, double tops) {
  return ops / (tops * 1e12) * kUsPerSecond;
}

Picoseconds picoseconds(double us) {
  return static_cast<Picoseconds>(std::llround(std::min(us * kPsPerUs, static_cast<double>(kMaxUnitPs))));
}

/// At least a picosecond, so that a rate is finite.
double seconds(Picoseconds time) {
  return static_cast<double>(std::max<Picoseconds>(time, 1)) / kPsPerSecond;
}

/// Rates of one device.
struct Rates {
  double read_gb_per_s;
  double int8_tops;
  double float_tops;
  double attention_gb_per_s;
  double attention_vector_gb_per_s;
  double attention_tops;
  double attention_scores_g_per_s;  ///< 0: in the operations
  double unit_us;
  double few_rows_us;
  double many_rows_us;
  ElementRates elems;
  double threads;  ///< 0: unknown
  std::span<const TypeRates> types;
  double mapped_slowdown = 1;
};

double or_general(double rate, double general) {
  return rate > 0 ? rate : general;
}

/// Whether what a step reads on the CPU is in its cache still since the step before.
enum class KvFrom { memory, cache };

Rates rates_of(const MachineProfile& machine, Device device, KvFrom kv_from) {
  if (device == Device::cpu) {
    auto attention_gb_per_s = or_general(machine.cpu_attention_gb_per_s, machine.ram_read_gb_per_s);
    auto vector_gb_per_s = or_general(machine.cpu_attention_vector_gb_per_s, attention_gb_per_s);
    if (kv_from == KvFrom::cache) {
      attention_gb_per_s = or_general(machine.cpu_cached_attention_gb_per_s, attention_gb_per_s);
      vector_gb_per_s = or_general(machine.cpu_cached_attention_vector_gb_per_s, vector_gb_per_s);
    }
    return {machine.ram_read_gb_per_s,
            machine.cpu_int8_tops,
            machine.cpu_float_tops,
            attention_gb_per_s,
            vector_gb_per_s,
            or_general(machine.cpu_attention_tops, machine.cpu_float_tops),
            machine.cpu_attention_scores_g_per_s,
            machine.cpu_unit_us,
            machine.cpu_unit_few_rows_us,
            machine.cpu_unit_many_rows_us,
            machine.cpu_elems,
            machine.cpu_threads,
            machine.cpu_types,
            or_general(machine.cpu_mapped_slowdown, 1)};
  }
  const auto attention_gb_per_s = or_general(machine.gpu_attention_gb_per_s, machine.vram_read_gb_per_s);
  return {machine.vram_read_gb_per_s,
          machine.gpu_int8_tops,
          machine.gpu_float_tops,
          attention_gb_per_s,
          attention_gb_per_s,
          or_general(machine.gpu_attention_tops, machine.gpu_float_tops),
          0,
          machine.gpu_launch_us,
          0,
          0,
          {},
          0,
          machine.gpu_types};
}

/// Time of reading `bytes` in a step of at most 8 rows: in proportion between the measured ones.
double measured_us(const TypeRates& rates, double bytes, double rows) {
  std::size_t above = 0;
  while (above + 1 < kMeasuredRows.size() && kMeasuredRows[above] < rows) ++above;
  const auto us_at = [&](std::size_t i) { return bytes_us(bytes, rates.read_gb_per_s[i]); };
  if (above == 0) return us_at(0);
  const double low = kMeasuredRows[above - 1];
  const double high = kMeasuredRows[above];
  const auto part = (std::min(rows, high) - low) / (high - low);
  return us_at(above - 1) + part * (us_at(above) - us_at(above - 1));
}

double share_us(const Rates& rates, const TypeShare& share, bool mapped, double rows) {
  const bool slowed = mapped && !model::is_float(share.type);
  const auto bytes = static_cast<double>(share.bytes) * (slowed ? rates.mapped_slowdown : 1);
  const auto ops = 2 * rows * static_cast<double>(share.elems);
  const auto measured = std::ranges::find(rates.types, share.type, &TypeRates::type);
  if (measured == rates.types.end()) {
    const auto tops = model::is_float(share.type) ? rates.float_tops : rates.int8_tops;
    return std::max(bytes_us(bytes, rates.read_gb_per_s), ops_us(ops, tops));
  }
  const auto read_us = measured_us(*measured, bytes, rows);
  return rows <= kMeasuredRows.back() ? read_us : std::max(read_us, ops_us(ops, measured->tops));
}

/// What a unit costs beside its operations.
double overhead_us(const Rates& rates, double rows) {
  const double few_rows = std::min<double>(rows, kMeasuredRows.back());
  return rates.unit_us + (few_rows - 1) * rates.few_rows_us + (rows - few_rows) * rates.many_rows_us;
}

/// Keys that the rows of one sequence see, summed over rows: row r sees r keys, or `window` of them.
double visible_keys(const model::LayerSpec& layer, StepShape step) {
  const auto first = step.context - step.rows + 1;
  const auto sum_to = [](std::uint64_t n) {
    return static_cast<double>(n) * (static_cast<double>(n) + 1) / 2;
  };
  if (layer.kind == model::LayerKind::global) return sum_to(step.context) - sum_to(first - 1);
  const auto growing = std::clamp<std::uint64_t>(layer.window, first - 1, step.context);
  const auto full = static_cast<double>(step.context - growing);
  return sum_to(growing) - sum_to(first - 1) + full * layer.window;
}

/// Cells of one sequence that at least one row sees.
std::uint64_t seen_cells(const model::LayerSpec& layer, StepShape step) {
  if (layer.kind == model::LayerKind::global) return step.context;
  return std::min(step.context, layer.window + step.rows - 1);
}

double kv_bytes(const model::LayerSpec& layer, KvLayout layout, KvType kv_type, StepShape step) {
  return static_cast<double>(step.sequences) * static_cast<double>(seen_cells(layer, step)) *
         static_cast<double>(kv_row_bytes(layer, layout, kv_type));
}

/// Weights count whole, wherever they are placed: what a unit takes must not hang on where others are.
KvFrom kv_from(const ModelInput& model, KvType kv_type, const MachineProfile& machine, StepShape step) {
  auto bytes = static_cast<double>(model.head.bytes);
  for (const auto& layer : model.layers)
    bytes += static_cast<double>(layer.attention.bytes + layer.ffn.bytes);
  if (bytes > machine.cpu_cache_bytes) return KvFrom::memory;
  for (const auto& layer : model.hyper.layers) bytes += kv_bytes(layer, kv_layout(layer), kv_type, step);
  return bytes > machine.cpu_cache_bytes ? KvFrom::memory : KvFrom::cache;
}

/// Time of attention whose work is cut into tiles.
double tiled_attention_us(const model::LayerSpec& layer, KvLayout layout, KvType kv_type, const Rates& rates,
                          StepShape step) {
  const auto tiles = attention_tiles(layer, step.rows, step.sequences, rates.threads);
  const auto keys = static_cast<double>(step.sequences) * visible_keys(layer, step);
  const auto loaded_bytes =
      keys * static_cast<double>(kv_row_bytes(layer, layout, kv_type)) * tiles.loads_a_key;
  const bool derives = layout == KvLayout::vector;
  auto total_us =
      bytes_us(loaded_bytes, derives ? rates.attention_vector_gb_per_s : rates.attention_gb_per_s) +
      ops_us(4.0 * layer.heads * layer.head_dim * keys, rates.attention_tops);
  if (rates.attention_scores_g_per_s > 0)
    total_us += layer.heads * keys / (rates.attention_scores_g_per_s * 1e3);
  return tiles.imbalance * total_us;
}

double attention_us(const model::LayerSpec& layer, KvLayout layout, KvType kv_type, const Rates& rates,
                    StepShape step) {
  if (rates.threads > 0) return tiled_attention_us(layer, layout, kv_type, rates, step);
  const auto ops =
      4.0 * layer.heads * layer.head_dim * static_cast<double>(step.sequences) * visible_keys(layer, step);
  return std::max(bytes_us(kv_bytes(layer, layout, kv_type, step), rates.attention_gb_per_s),
                  ops_us(ops, rates.attention_tops));
}

/// Bytes of a decode step over the bandwidth of where they are.
double ideal_us(const ModelInput& model, KvType kv_type, const MachineProfile& machine,
                const Placement& placement, StepShape step) {
  double total_us = 0;
  for (const auto unit : all_units(model.layers.size())) {
    auto bytes = static_cast<double>(weights_of(model, unit).bytes);
    if (unit.kind == UnitKind::attention) {
      const auto& layer = model.hyper.layers[unit.layer];
      bytes += kv_bytes(layer, kv_layout(layer), kv_type, step);
    }
    const bool on_cpu = placement.device_of(unit) == Device::cpu;
    total_us += bytes_us(bytes, on_cpu ? machine.ram_read_gb_per_s : machine.vram_read_gb_per_s);
  }
  return total_us;
}

}  // namespace

StepShape decode_step(const Workload& workload) noexcept {
  return {1, workload.expected_context, 1};
}

StepShape prefill_step(const Workload& workload) noexcept {
  const auto rows = std::min<std::uint64_t>(workload.micro_batch, workload.expected_context);
  return {rows, std::max(rows, workload.expected_context / 2), 1};
}

Picoseconds unit_ps(const ModelInput& model, KvType kv_type, const MachineProfile& machine, Device device,
                    UnitRef unit, StepShape step) {
  const auto rates = rates_of(machine, device, kv_from(model, kv_type, machine, step));
  const auto rows_each = unit.kind == UnitKind::head ? 1 : step.rows;
  const auto rows = static_cast<double>(rows_each) * static_cast<double>(step.sequences);
  auto total_us = overhead_us(rates, rows);
  const auto& weights = weights_of(model, unit);
  for (const auto& share : weights.shares) total_us += share_us(rates, share, weights.mapped, rows);
  if (unit.kind == UnitKind::head && device == Device::cpu) {
    total_us += machine.cpu_stage_us * (model.embedding.bytes == 0 ? 2 : 1);
  }
  if (unit.kind == UnitKind::attention) {
    const auto& layer = model.hyper.layers[unit.layer];
    total_us += attention_us(layer, kv_layout(layer), kv_type, rates, step);
  }
  total_us += row_work_us(row_elems(model, unit), rates.elems, rows, rates.threads);
  return picoseconds(total_us);
}

Picoseconds attention_ps(const ModelInput& model, KvType kv_type, const MachineProfile& machine,
                         Device device, std::uint32_t layer, KvLayout layout, StepShape step) {
  const auto rates = rates_of(machine, device, kv_from(model, kv_type, machine, step));
  return picoseconds(attention_us(model.hyper.layers[layer], layout, kv_type, rates, step));
}

Picoseconds crossing_ps(const ModelInput& model, const MachineProfile& machine, StepShape step) {
  const auto rows = static_cast<double>(step.rows) * static_cast<double>(step.sequences);
  const auto bytes = rows * model.hyper.width * sizeof(float);
  return picoseconds(machine.crossing_us + bytes_us(bytes, machine.pcie_gb_per_s));
}

Picoseconds transfer_ps(const MachineProfile& machine, std::uint64_t bytes) {
  return picoseconds(bytes_us(static_cast<double>(bytes), machine.pcie_gb_per_s));
}

Picoseconds stage_ps(const MachineProfile& machine, Device device) {
  return picoseconds(device == Device::cpu ? machine.cpu_stage_us : machine.gpu_stage_us);
}

Picoseconds StepTime::overlapped_ps() const noexcept {
  return std::max({2 * cpu_ps, 2 * gpu_ps, serial_ps()});
}

StepTime step_time(const ModelInput& model, KvType kv_type, const MachineProfile& machine,
                   const Placement& placement, StepShape step, Picoseconds parts) {
  const auto stages = stages_of(placement);
  StepTime time;
  for (const auto& stage : stages) {
    auto& busy_ps = stage.device == Device::cpu ? time.cpu_ps : time.gpu_ps;
    busy_ps += stage_ps(machine, stage.device) / parts;
    for (const auto unit : stage.units)
      busy_ps += unit_ps(model, kv_type, machine, stage.device, unit, step) / parts;
  }
  const auto embedding = model.embedding.bytes == 0 ? placement.head : Device::cpu;
  time.crossing_ps = crossings_of(stages, embedding) * (crossing_ps(model, machine, step) / parts);
  return time;
}

Picoseconds all_sequences_ps(const ModelInput& model, const Workload& workload, const MachineProfile& machine,
                             const Placement& placement) {
  const auto time_of = [&](std::uint64_t sequences) {
    return step_time(model, workload.kv_type, machine, placement, {1, workload.expected_context, sequences});
  };
  const auto together_ps = time_of(workload.sequences).serial_ps();
  if (workload.sequences == 1) return together_ps;
  return std::min(together_ps, time_of((workload.sequences + 1) / 2).overlapped_ps());
}

Predicted predict(const ModelInput& model, const Workload& workload, const MachineProfile& machine,
                  const Placement& placement) {
  const auto decode = decode_step(workload);
  const auto prefill = prefill_step(workload);
  const auto serial_s = [&](StepShape step) {
    return seconds(step_time(model, workload.kv_type, machine, placement, step).serial_ps());
  };
  Predicted predicted;
  predicted.decode_tok_per_s = 1 / serial_s(decode);
  predicted.prefill_tok_per_s =
      static_cast<double>(prefill.rows) / seconds(prefill_ps(model, workload, machine, placement));
  predicted.throughput_tok_per_s =
      workload.sequences / seconds(all_sequences_ps(model, workload, machine, placement));
  predicted.ideal_tok_per_s = kUsPerSecond / ideal_us(model, workload.kv_type, machine, placement, decode);
  return predicted;
}

}  // namespace tandem::planner
