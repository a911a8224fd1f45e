#include "planner/plan_consistency.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "planner/byte_count.h"
#include "planner/errors.h"
#include "planner/gpu_rules.h"
#include "planner/json_reader.h"
#include "planner/make_plan.h"
#include "planner/streaming.h"
#include "planner/unit_name.h"

namespace tandem::planner {
namespace {

void require(bool holds, const std::string& path, const std::string& problem) {
  if (!holds) throw BadField(path, problem);
}

void require_equal(const std::string& path, ByteCount stated, ByteCount computed, const std::string& what) {
  require(stated == computed, path,
          std::to_string(stated.value()) + " is not " + what + ", " + std::to_string(computed.value()));
}

std::string layer_path(std::size_t index, std::string_view key) {
  return "layers[" + std::to_string(index) + "]." + std::string(key);
}

std::string arena_path(Device device, Purpose purpose) {
  return "arenas (" + std::string(to_string(device)) + ", " + std::string(to_string(purpose)) + ")";
}

/// A row of KV is whole elements, or whole blocks.
std::uint64_t kv_granule_bytes(KvType type) {
  switch (type) {
    case KvType::f32:
      return 4;
    case KvType::f16:
      return 2;
    case KvType::q8_0:
      return 34;
  }
  return 1;
}

void check_workload(const Workload& workload) {
  const auto decode_rows = std::uint64_t{workload.sequences} * (std::uint64_t{workload.draft_rows} + 1);
  require(decode_rows <= workload.micro_batch, "workload.micro_batch",
          "cannot hold the newest rows of all sequences, " + std::to_string(decode_rows));
  require(workload.stream_rows.has_value(), "workload.stream_rows", "must be a number");
  require(*workload.stream_rows <= workload.micro_batch, "workload.stream_rows",
          "exceeds workload.micro_batch");
}

void check_layer(const Plan& plan, std::size_t i) {
  const auto& layer = plan.layers[i];
  require_equal(layer_path(i, "index"), layer.index, i, "its place in the list");
  require(layer.kv_device == layer.attention_device, layer_path(i, "kv_device"), "must be attention_device");
  require(layer.ffn_gpu_rows == 0, layer_path(i, "ffn_gpu_rows"), "must be 0: FFN halves are not shared yet");
  const auto context = plan.workload.max_seq_len;
  if (layer.kind == model::LayerKind::global) {
    require_equal(layer_path(i, "kv_cells"), layer.kv_cells, context, "workload.max_seq_len");
  }
  require(layer.kv_cells <= context, layer_path(i, "kv_cells"), "exceeds workload.max_seq_len");
  require(layer.kv_bytes % layer.kv_cells == 0 &&
              layer.kv_bytes / layer.kv_cells % kv_granule_bytes(plan.workload.kv_type) == 0,
          layer_path(i, "kv_bytes"), "is not kv_cells rows of whole elements");
}

void check_layers(const Plan& plan) {
  require_equal("model.layers", plan.model.layers, plan.layers.size(), "the number of layers");
  for (std::size_t i = 0; i < plan.layers.size(); ++i) check_layer(plan, i);
}

void check_one_gpu(const Plan& plan) {
  std::set<Device> gpus;
  for (const auto& stage : plan.stages) gpus.insert(stage.device);
  for (const auto& arena : plan.arenas) gpus.insert(arena.device);
  gpus.erase(Device::cpu);
  require(gpus.size() <= 1, "stages", "use more than one GPU");
}

void check_stages(const Plan& plan) {
  const auto expected = stages_of(placement_of(plan));
  for (std::size_t i = 0; i < std::min(expected.size(), plan.stages.size()); ++i) {
    const auto path = "stages[" + std::to_string(i) + "]";
    require(plan.stages[i].device == expected[i].device, path + ".device",
            "must be " + std::string(to_string(expected[i].device)) + ", where its layers are");
    require(plan.stages[i].units == expected[i].units, path + ".units",
            "must be " + unit_name(expected[i].units.front()) + " to " + unit_name(expected[i].units.back()));
  }
  require_equal("stages", plan.stages.size(), expected.size(), "the number of runs of units on one device");
}

void check_embedding(const Plan& plan) {
  const auto reader = plan.embedding.bytes == 0 ? plan.head.device : Device::cpu;
  require(plan.embedding.device == reader, "embedding.device", "must be " + std::string(to_string(reader)));
}

void check_tensor_bytes(const Plan& plan) {
  ByteCount layers;
  for (const auto& layer : plan.layers) layers += layer.weight_bytes;
  const auto placed = layers + plan.head.file_bytes + plan.embedding.bytes;
  require_equal("model.tensor_bytes", plan.model.tensor_bytes, placed + plan.model.unplaced_bytes,
                "layers + head + embedding + unplaced");
  const auto weights = ByteCount(plan.arena_bytes(Device::cpu, Purpose::weights)) +
                       plan.arena_bytes(Device::cuda0, Purpose::weights) +
                       plan.arena_bytes(Device::emulated0, Purpose::weights);
  require_equal("weights_overhead_bytes", layers + plan.embedding.bytes + plan.weights_overhead_bytes,
                weights, "what makes up the weights arenas");
}

/// KV of the device's layers as allocated: whole pages, and each layer from a multiple of the alignment on.
ByteCount kv_arena(const Plan& plan, Device device) {
  ByteCount bytes;
  for (const auto& layer : plan.layers) {
    if (layer.kv_device != device) continue;
    const auto rows = layer.kind == model::LayerKind::global
                          ? ByteCount(plan.kv_pages.pages) * plan.kv_pages.page_tok
                          : ByteCount(plan.workload.sequences) * layer.kv_cells;
    bytes += (rows * (layer.kv_bytes / layer.kv_cells)).aligned(kBufferAlignmentBytes);
  }
  return bytes;
}

void check_kv(const Plan& plan) {
  const auto& workload = plan.workload;
  const auto pages_per_sequence = (workload.max_seq_len + kPageTok - 1) / kPageTok;
  require_equal("kv_pages.pages", plan.kv_pages.pages, ByteCount(workload.sequences) * pages_per_sequence,
                "whole pages for every sequence");
  ByteCount allocated;
  for (const auto device : {Device::cpu, Device::cuda0, Device::emulated0}) {
    const auto bytes = kv_arena(plan, device);
    require_equal(arena_path(device, Purpose::kv), plan.arena_bytes(device, Purpose::kv), bytes,
                  "the KV of its layers");
    allocated += bytes;
  }
  ByteCount cells;
  for (const auto& layer : plan.layers) cells += ByteCount(layer.kv_bytes) * workload.sequences;
  require_equal("kv_pages.rounding_bytes", cells + plan.kv_pages.rounding_bytes, allocated,
                "what makes up the kv arenas");
}

/// A head is what the file has, or what the workload asks to make of it.
void check_head_type(const Plan& plan) {
  const auto& head = plan.head;
  if (plan.workload.head_type == HeadType::keep) {
    require(head.type == head.file_type, "head.type",
            "must be head.file_type, as workload.head_type is keep");
    require_equal("head.bytes", head.bytes, head.file_bytes, "head.file_bytes");
    return;
  }
  const auto* const type = plan.workload.head_type == HeadType::q8_0 ? "Q8_0" : "Q6_K";
  require(head.type == type, "head.type", "must be " + std::string(type) + ", as workload.head_type says");
  require(head.file_type != type, "head.file_type", "must be another type, one that is quantised at load");
}

void check_head_arenas(const Plan& plan) {
  constexpr std::uint64_t kTensors = 2;
  for (const auto device : {Device::cpu, Device::cuda0, Device::emulated0}) {
    const auto stated = plan.arena_bytes(device, Purpose::head);
    const auto bytes = device == plan.head.device ? plan.head.bytes : 0;
    const auto slack = device == Device::cpu || bytes == 0 ? 0 : kTensors * (kBufferAlignmentBytes - 1);
    require(stated >= bytes && stated - bytes <= slack, arena_path(device, Purpose::head),
            "does not hold head.bytes where head.device says");
  }
}

/// Lines whose size only the model tells, but which must be there, or must not.
void check_presence(const Plan& plan, Device device) {
  const bool has_units = !units_on(plan, device).empty();
  const bool has_attention =
      std::ranges::find(plan.layers, device, &LayerPlan::attention_device) != plan.layers.end();
  const auto check = [&](Purpose purpose, bool expected) {
    require((plan.arena_bytes(device, purpose) > 0) == expected, arena_path(device, purpose),
            expected ? "is missing" : "has no use");
  };
  check(Purpose::activations, has_units);
  check(Purpose::kv_staging, has_attention);
  check(Purpose::logits, device == Device::cpu || device == plan.head.device);
  check(Purpose::transfer, device == Device::cpu ? gpu_of(plan).has_value() : has_units);
  const bool has_halves =
      has_attention || std::ranges::find(plan.layers, device, &LayerPlan::ffn_device) != plan.layers.end();
  check(Purpose::graphs, device != Device::cpu && has_halves);
  if (device != Device::cuda0 || !has_units) check(Purpose::driver, false);
  const auto reserve = device == Device::cpu ? plan.budget.ram_reserve_bytes
                       : has_units           ? plan.budget.vram_reserve_bytes
                                             : 0;
  require_equal(arena_path(device, Purpose::reserve), plan.arena_bytes(device, Purpose::reserve), reserve,
                "the budget's");
}

void check_totals(const Plan& plan) {
  std::set<std::pair<Device, Purpose>> seen;
  ByteCount vram;
  ByteCount ram;
  for (const auto& arena : plan.arenas) {
    require(seen.emplace(arena.device, arena.purpose).second, arena_path(arena.device, arena.purpose),
            "is there twice");
    (arena.device == Device::cpu ? ram : vram) += arena.bytes;
  }
  require_equal("totals.vram_bytes", plan.vram_bytes, vram, "the sum of arenas");
  require_equal("totals.ram_bytes", plan.ram_bytes, ram, "the sum of arenas");
}

void check_fit(const Plan& plan) {
  const auto over = [](std::uint64_t needed, std::uint64_t budget) {
    return needed > budget ? needed - budget : 0;
  };
  require_equal("shortfalls.vram_bytes", plan.vram_short_bytes, over(plan.vram_bytes, plan.budget.vram_bytes),
                "what the totals exceed the budget by");
  require_equal("shortfalls.ram_bytes", plan.ram_short_bytes, over(plan.ram_bytes, plan.budget.ram_bytes),
                "what the totals exceed the budget by");
  const bool fits = plan.vram_short_bytes == 0 && plan.ram_short_bytes == 0;
  require(plan.fits == fits, "fits", "contradicts the shortfalls");
  if (!plan.largest_context) return;
  require(!plan.fits && *plan.largest_context < plan.workload.max_seq_len, "largest_context",
          "is for plans that do not fit, and less than workload.max_seq_len");
}

/// The same tensors; a plan may have been made from the header alone, or from a file of another name.
bool same_model(ModelFacts a, const ModelFacts& b) {
  a.name = b.name;
  a.missing_bytes = b.missing_bytes;
  return a == b;
}

void require_model(bool holds, const std::string& what) {
  if (holds) return;
  throw BadPlan("plan: " + what + " does not match the model file",
                "make a plan from this file: tandem plan");
}

/// What backends would refuse once all is loaded.
void check_gpu_rules(const Plan& plan, const ModelInput& model) {
  const auto placement = placement_of(plan);
  for (const auto unit : all_units(plan.layers.size())) {
    if (placement.device_of(unit) == Device::cpu || may_be_on_gpu(model, unit)) continue;
    throw BadPlan("plan: " + unit_name(unit) + " is on " + std::string(to_string(placement.device_of(unit))) +
                      ", which cannot run it: " + weights_of(model, unit).not_on_gpu,
                  "make a plan from this file: tandem plan");
  }
  require_model(may_stream_ffn(model) || streamed_units(plan).empty(), "workload.stream_rows");
}

}  // namespace

Placement placement_of(const Plan& plan) {
  Placement placement;
  for (const auto& layer : plan.layers) {
    placement.attention.push_back(layer.attention_device);
    placement.ffn.push_back(layer.ffn_device);
  }
  placement.head = plan.head.device;
  return placement;
}

void check_consistency(const Plan& plan) {
  check_workload(plan.workload);
  check_layers(plan);
  check_one_gpu(plan);
  check_stages(plan);
  check_embedding(plan);
  check_totals(plan);
  check_tensor_bytes(plan);
  check_kv(plan);
  check_head_type(plan);
  check_head_arenas(plan);
  for (const auto device : {Device::cpu, Device::cuda0, Device::emulated0}) check_presence(plan, device);
  check_fit(plan);
}

void check_plan(const Plan& plan, const ModelInput& model) {
  require_model(same_model(plan.model, model.facts), "model");
  check_gpu_rules(plan, model);
  auto machine = builtin_machine("default");  // of which only the driver line enters bytes
  machine.driver_bytes = plan.arena_bytes(Device::cuda0, Purpose::driver);
  const auto computed = plan_for_placement(model, plan.budget, plan.workload, machine, placement_of(plan));
  require_model(plan.layers == computed.layers, "layers");
  require_model(plan.head == computed.head, "head");
  require_model(plan.embedding == computed.embedding, "embedding");
  require_model(plan.kv_pages == computed.kv_pages, "kv_pages");
  require_model(plan.stages == computed.stages, "stages");
  require_model(plan.weights_overhead_bytes == computed.weights_overhead_bytes, "weights_overhead_bytes");
  auto stated = plan.arenas;
  auto expected = computed.arenas;
  const auto order = [](const ArenaPlan& a, const ArenaPlan& b) {
    return std::pair(a.device, a.purpose) < std::pair(b.device, b.purpose);
  };
  std::ranges::sort(stated, order);
  std::ranges::sort(expected, order);
  for (std::size_t i = 0; i < std::min(stated.size(), expected.size()); ++i) {
    require_model(stated[i] == expected[i], arena_path(stated[i].device, stated[i].purpose));
  }
  require_model(stated.size() == expected.size(), "the number of arenas");
}

}  // namespace tandem::planner
