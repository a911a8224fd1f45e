#include "daemon/status.h"

#include <string>
#include <vector>

#include "planner/names.h"

namespace tandem::daemon {

namespace {

using ipc::OrderedJson;

std::vector<memory::LedgerLine> planned_lines(const planner::Plan& plan) {
  std::vector<memory::LedgerLine> lines;
  for (const auto& arena : plan.arenas) lines.push_back({arena.device, arena.purpose, arena.bytes, 0, 0});
  return lines;
}

OrderedJson device_of(const planner::Plan& plan, planner::Device device,
                      std::span<const memory::LedgerLine> ledger) {
  OrderedJson purposes = OrderedJson::array();
  for (const auto& line : ledger) {
    if (line.device != device) continue;
    purposes.push_back({{"purpose", planner::to_string(line.purpose)},
                        {"planned_bytes", line.planned_bytes},
                        {"allocated_bytes", line.allocated_bytes},
                        {"used_bytes", line.used_bytes},
                        {"high_water_bytes", line.high_water_bytes}});
  }
  if (purposes.empty()) return nullptr;
  const bool host = device == planner::Device::cpu;
  return {{"device", planner::to_string(device)},
          {"budget_bytes", host ? plan.budget.ram_bytes : plan.budget.vram_bytes},
          {"planned_bytes", host ? plan.ram_bytes : plan.vram_bytes},
          {"purposes", std::move(purposes)}};
}

/// Those with memory, the GPU first.
OrderedJson devices_of(const planner::Plan& plan, std::span<const memory::LedgerLine> ledger) {
  OrderedJson devices = OrderedJson::array();
  for (const auto device : {planner::Device::cuda0, planner::Device::emulated0, planner::Device::cpu}) {
    auto entry = device_of(plan, device, ledger);
    if (!entry.is_null()) devices.push_back(std::move(entry));
  }
  return devices;
}

OrderedJson layers_of(const planner::Plan& plan) {
  OrderedJson layers = OrderedJson::array();
  for (const auto& layer : plan.layers) {
    layers.push_back({{"index", layer.index},
                      {"kind", planner::to_string(layer.kind)},
                      {"attention", planner::to_string(layer.attention_device)},
                      {"ffn", planner::to_string(layer.ffn_device)},
                      {"ffn_gpu_rows", layer.ffn_gpu_rows},
                      {"kv_bytes", layer.kv_bytes},
                      {"weight_bytes", layer.weight_bytes}});
  }
  return layers;
}

}  // namespace

OrderedJson status_of(const planner::Plan& plan, const engine::Stats& stats,
                      std::span<const memory::LedgerLine> ledger) {
  const auto lines =
      ledger.empty() ? planned_lines(plan) : std::vector<memory::LedgerLine>(ledger.begin(), ledger.end());
  return {{"devices", devices_of(plan, lines)},
          {"layers", layers_of(plan)},
          {"head",
           {{"device", planner::to_string(plan.head.device)},
            {"type", plan.head.type},
            {"bytes", plan.head.bytes}}},
          {"predicted",
           {{"decode_tok_per_s", plan.predicted.decode_tok_per_s},
            {"prefill_tok_per_s", plan.predicted.prefill_tok_per_s}}},
          {"rates",
           {{"generated_tok_per_s", stats.now.generated_tok_per_s},
            {"prompt_tok_per_s", stats.now.prompt_tok_per_s},
            {"gb_per_s", stats.now.gb_per_s}}},
          {"sequences",
           {{"queued", stats.queued}, {"running", stats.running}, {"slots", plan.workload.sequences}}},
          {"kv_pages", {{"free", stats.free_pages}, {"total", plan.kv_pages.pages}}},
          {"totals",
           {{"requests", stats.submitted},
            {"prompt_tok", stats.prompt_tok},
            {"generated_tok", stats.generated_tok}}}};
}

}  // namespace tandem::daemon
