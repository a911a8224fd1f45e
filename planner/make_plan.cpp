#include "planner/make_plan.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "planner/cost.h"
#include "planner/errors.h"
#include "planner/footprint.h"
#include "planner/gpu_rules.h"
#include "planner/head_type.h"
#include "planner/optimum.h"
#include "planner/reasons.h"
#include "planner/repacking.h"
#include "planner/streaming.h"

namespace tandem::planner {
namespace {

void check_range(std::string_view what, std::uint64_t value, std::uint64_t min, std::uint64_t max) {
  if (value >= min && value <= max) return;
  throw BadQuestion(std::string(what) + " " + std::to_string(value) + " is out of range: it must be " +
                    std::to_string(min) + " to " + std::to_string(max));
}

void check_kv_type(const model::Hyperparameters& hyper, KvType type) {
  constexpr std::uint32_t kBlockElems = 32;
  if (type != KvType::q8_0) return;
  for (const auto& layer : hyper.layers) {
    if (layer.head_dim % kBlockElems == 0) continue;
    throw BadQuestion("KV type q8_0 stores 32 elements together, and this model has heads of " +
                          std::to_string(layer.head_dim),
                      "ask for f16 or f32");
  }
}

void check_workload(const model::Hyperparameters& hyper, const Workload& workload) {
  check_range("context", workload.max_seq_len, 1, kMaxContext);
  check_range("sequences", workload.sequences, 1, kMaxSequences);
  check_range("micro-batch", workload.micro_batch, 1, kMaxMicroBatch);
  check_range("draft rows", workload.draft_rows, 0, kMaxDraftRows);
  check_range("stream rows", workload.stream_rows.value_or(0), 0, workload.micro_batch);
  if (workload.expected_context > workload.max_seq_len) {
    throw BadQuestion("expected context " + std::to_string(workload.expected_context) +
                          " is out of range: the context is " + std::to_string(workload.max_seq_len),
                      "ask for a longer --context, or expect a shorter one");
  }
  const auto decode_rows = std::uint64_t{workload.sequences} * (std::uint64_t{workload.draft_rows} + 1);
  if (workload.micro_batch < decode_rows) {
    throw BadQuestion("a micro-batch of " + std::to_string(workload.micro_batch) +
                          " rows cannot hold the newest rows of " + std::to_string(workload.sequences) +
                          " sequences, " + std::to_string(decode_rows),
                      "ask for fewer sequences or a larger micro-batch");
  }
  check_range("pages of global KV", kv_pages(workload).value(), 1, UINT32_MAX);
  check_kv_type(hyper, workload.kv_type);
}

std::uint64_t shortfall(std::uint64_t needed, std::uint64_t budget) {
  return needed > budget ? needed - budget : 0;
}

/// The GPU that some unit is on.
std::optional<Device> gpu_of(const Placement& placement) {
  for (const auto& stage : stages_of(placement)) {
    if (stage.device != Device::cpu) return stage.device;
  }
  return std::nullopt;
}

/// The placement to plan.
Choice choose(const ModelInput& model, const Budget& budget, const Workload& workload,
              const MachineProfile& machine, Devices devices) {
  if (devices.gpu) {
    const auto choice = fastest(model, budget, workload, machine, *devices.gpu);
    if (choice) return *choice;
  }
  Choice choice;
  choice.placement = devices.gpu ? roomiest(model, budget, workload, machine, *devices.gpu)
                                 : Placement::all_on(Device::cpu, model.layers.size());
  choice.time_ps = objective_ps(model, workload, machine, choice.placement);
  choice.bound_ps = choice.time_ps;
  return choice;
}

std::vector<LayerPlan> layer_plans(const ModelInput& model, const Workload& workload,
                                   const Placement& placement) {
  std::vector<LayerPlan> layers;
  for (std::uint32_t i = 0; i < model.layers.size(); ++i) {
    const auto& spec = model.hyper.layers[i];
    LayerPlan layer;
    layer.index = i;
    layer.kind = spec.kind;
    layer.kv_cells = kv_cells(spec, workload.max_seq_len);
    layer.kv_layout = kv_layout(spec);
    layer.kv_bytes =
        (ByteCount(layer.kv_cells) * kv_row_bytes(spec, layer.kv_layout, workload.kv_type)).value();
    layer.weight_bytes = (ByteCount(model.layers[i].attention.bytes) + model.layers[i].ffn.bytes).value();
    layer.attention_device = placement.attention[i];
    layer.kv_device = placement.attention[i];
    layer.ffn_device = placement.ffn[i];
    layers.push_back(layer);
  }
  return layers;
}

/// The workload is effective.
bool something_fits(const ModelInput& model, const Budget& budget, const Workload& workload,
                    const MachineProfile& machine, Devices devices) {
  if (devices.gpu) return some_fits(model, budget, workload, machine, *devices.gpu);
  const auto on_cpu = Placement::all_on(Device::cpu, model.layers.size());
  return footprint(model, budget, workload, machine, on_cpu).ram_bytes <= budget.ram_bytes;
}

bool fits_at(std::uint64_t context, const ModelInput& model, const Budget& budget, Workload workload,
             const MachineProfile& machine, Devices devices) {
  workload.max_seq_len = context;
  workload.expected_context = std::min(workload.expected_context, context);
  return something_fits(model, budget, workload, machine, devices);
}

/// The largest context below the one asked for that fits, by bisection.  The bytes of the plan that would be
/// chosen may shrink where a longer context changes the placement; but one fits where any candidate does, and
/// the least RAM of all candidates grows with the context.
std::optional<std::uint64_t> largest_context(const ModelInput& model, const Budget& budget,
                                             const Workload& workload, const MachineProfile& machine,
                                             Devices devices) {
  std::uint64_t fitting = 0;
  std::uint64_t too_large = workload.max_seq_len;
  while (too_large - fitting > 1) {
    const auto middle = fitting + (too_large - fitting) / 2;
    const bool fits = fits_at(middle, model, budget, workload, machine, devices);
    (fits ? fitting : too_large) = middle;
  }
  if (fitting == 0) return std::nullopt;
  return fitting;
}

}  // namespace

Devices parse_devices(std::string_view text) {
  if (text == "cpu") return {std::nullopt};
  for (const auto name : {"auto", "cpu,cuda", "cuda,cpu", "cuda"}) {
    if (text == name) return {Device::cuda0};
  }
  for (const auto name : {"cpu,emulated", "emulated,cpu", "emulated"}) {
    if (text == name) return {Device::emulated0};
  }
  throw BadQuestion("no devices are called \"" + std::string(text) + "\"",
                    "they are auto, cpu, cuda, emulated, and with a comma cpu,cuda or cpu,emulated");
}

Workload default_workload(const model::Hyperparameters& hyper) {
  Workload workload;
  workload.max_seq_len = std::min<std::uint64_t>(hyper.context_length, workload.max_seq_len);
  return workload;
}

Workload effective_workload(const ModelInput& model, const Workload& requested, const MachineProfile& machine,
                            std::optional<Device> gpu) {
  auto workload = requested;
  if (!has_float_head(model)) workload.head_type = HeadType::keep;
  if (workload.expected_context == 0)
    workload.expected_context = std::max<std::uint64_t>(1, requested.max_seq_len / 4);
  if (!may_stream_ffn(model)) workload.stream_rows = 0;
  if (!workload.stream_rows) {
    workload.stream_rows = gpu ? paying_stream_rows(model, workload, machine, *gpu) : 0;
  }
  return workload;
}

Plan make_plan(const ModelInput& model, const Budget& budget, const Workload& requested,
               const MachineProfile& machine, Devices devices) {
  check_workload(model.hyper, requested);
  const auto workload = effective_workload(model, requested, machine, devices.gpu);
  const auto loaded = as_loaded(model, workload);
  const auto choice = choose(loaded, budget, workload, machine, devices);
  auto plan = plan_for_placement(model, budget, requested, machine, choice.placement);
  plan.workload = workload;
  if (!plan.fits) plan.largest_context = largest_context(loaded, budget, workload, machine, devices);
  plan.reasons = reasons_of(plan, choice, model, machine, devices);
  return plan;
}

bool some_plan_fits(const ModelInput& model, const Budget& budget, const Workload& requested,
                    const MachineProfile& machine, Devices devices) {
  check_workload(model.hyper, requested);
  const auto workload = effective_workload(model, requested, machine, devices.gpu);
  return something_fits(as_loaded(model, workload), budget, workload, machine, devices);
}

Plan make_bare_plan(const ModelInput& model, const Budget& budget, const Workload& requested,
                    const MachineProfile& machine, Devices devices) {
  check_workload(model.hyper, requested);
  const auto workload = effective_workload(model, requested, machine, devices.gpu);
  const auto choice = choose(as_loaded(model, workload), budget, workload, machine, devices);
  auto plan = plan_for_placement(model, budget, requested, machine, choice.placement);
  plan.workload = workload;
  return plan;
}

Plan plan_for_placement(const ModelInput& file, const Budget& budget, const Workload& requested,
                        const MachineProfile& machine, const Placement& placement) {
  Plan plan;
  plan.requested = requested;
  plan.workload = effective_workload(file, requested, machine, gpu_of(placement));
  const auto model = as_loaded(file, plan.workload);
  plan.model = model.facts;
  plan.budget = budget;
  plan.machine = machine.name;
  auto bytes = footprint(model, budget, plan.workload, machine, placement);
  plan.layers = layer_plans(model, plan.workload, placement);
  plan.head = {placement.head, model.head_type, model.head.bytes, file.head_type, file.head.bytes};
  plan.embedding = bytes.embedding;
  plan.kv_pages = bytes.kv_pages;
  plan.weights_overhead_bytes = bytes.weights_overhead_bytes;
  plan.arenas = std::move(bytes.arenas);
  plan.vram_bytes = bytes.vram_bytes;
  plan.ram_bytes = bytes.ram_bytes;
  plan.stages = stages_of(placement);
  plan.predicted = predict(model, plan.workload, machine, placement);
  plan.vram_short_bytes = shortfall(plan.vram_bytes, budget.vram_bytes);
  plan.ram_short_bytes = shortfall(plan.ram_bytes, budget.ram_bytes);
  plan.fits = plan.vram_short_bytes == 0 && plan.ram_short_bytes == 0;
  return plan;
}

}  // namespace tandem::planner
