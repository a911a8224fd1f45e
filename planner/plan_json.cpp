#include "planner/plan_json.h"

#include <nlohmann/json.hpp>

#include "planner/unit_name.h"

namespace tandem::planner {
namespace {

using Json = nlohmann::ordered_json;

Json model_json(const ModelFacts& model) {
  return {{"name", model.name},
          {"family", model.family},
          {"layers", model.layers},
          {"tensors", model.tensors},
          {"tensor_bytes", model.tensor_bytes},
          {"unplaced_bytes", model.unplaced_bytes},
          {"missing_bytes", model.missing_bytes},
          {"context_length", model.context_length}};
}

Json workload_json(const Workload& workload) {
  return {{"max_seq_len", workload.max_seq_len},
          {"sequences", workload.sequences},
          {"micro_batch", workload.micro_batch},
          {"draft_rows", workload.draft_rows},
          {"kv_type", to_string(workload.kv_type)},
          {"expected_context", workload.expected_context},
          {"optimise", to_string(workload.optimise)},
          {"head_type", to_string(workload.head_type)},
          {"stream_rows", workload.stream_rows ? Json(*workload.stream_rows) : Json(nullptr)},
          {"cpu_weights", to_string(workload.cpu_weights)}};
}

Json budget_json(const Budget& budget) {
  return {{"vram_bytes", budget.vram_bytes},
          {"ram_bytes", budget.ram_bytes},
          {"vram_reserve_bytes", budget.vram_reserve_bytes},
          {"ram_reserve_bytes", budget.ram_reserve_bytes}};
}

Json layer_json(const LayerPlan& layer) {
  return {{"index", layer.index},
          {"kind", to_string(layer.kind)},
          {"kv_cells", layer.kv_cells},
          {"kv_bytes", layer.kv_bytes},
          {"kv_layout", to_string(layer.kv_layout)},
          {"weight_bytes", layer.weight_bytes},
          {"attention_device", to_string(layer.attention_device)},
          {"ffn_device", to_string(layer.ffn_device)},
          {"ffn_gpu_rows", layer.ffn_gpu_rows},
          {"kv_device", to_string(layer.kv_device)}};
}

Json stage_json(const StagePlan& stage) {
  auto units = Json::array();
  for (const auto unit : stage.units) units.push_back(unit_name(unit));
  return {{"device", to_string(stage.device)}, {"units", std::move(units)}};
}

template <typename Items, typename ToJson>
Json array_json(const Items& items, ToJson to_json) {
  auto array = Json::array();
  for (const auto& item : items) array.push_back(to_json(item));
  return array;
}

/// "KEY": [ with an item a line, as a diff or a reader wants long lists.
std::string array_text(const std::string& key, const Json& items) {
  std::string text = "  " + Json(key).dump() + ": [";
  const char* separator = "\n    ";
  for (const auto& item : items) {
    text += separator + item.dump();
    separator = ",\n    ";
  }
  return text + (items.empty() ? "]" : "\n  ]");
}

}  // namespace

nlohmann::ordered_json plan_to_json(const Plan& plan) {
  Json json;
  json["schema"] = kPlanSchema;
  json["model"] = model_json(plan.model);
  json["workload"] = workload_json(plan.workload);
  json["requested"] = workload_json(plan.requested);
  json["budget"] = budget_json(plan.budget);
  json["machine"] = {{"name", plan.machine}};
  json["fits"] = plan.fits;
  json["shortfalls"] = {{"vram_bytes", plan.vram_short_bytes}, {"ram_bytes", plan.ram_short_bytes}};
  json["largest_context"] = plan.largest_context ? Json(*plan.largest_context) : Json(nullptr);
  json["layers"] = array_json(plan.layers, layer_json);
  json["head"] = {{"device", to_string(plan.head.device)},
                  {"type", plan.head.type},
                  {"bytes", plan.head.bytes},
                  {"file_type", plan.head.file_type},
                  {"file_bytes", plan.head.file_bytes}};
  json["embedding"] = {{"device", to_string(plan.embedding.device)}, {"bytes", plan.embedding.bytes}};
  json["kv_pages"] = {{"page_tok", plan.kv_pages.page_tok},
                      {"pages", plan.kv_pages.pages},
                      {"rounding_bytes", plan.kv_pages.rounding_bytes}};
  json["weights_overhead_bytes"] = plan.weights_overhead_bytes;
  json["arenas"] = array_json(plan.arenas, [](const ArenaPlan& arena) {
    return Json{
        {"device", to_string(arena.device)}, {"purpose", to_string(arena.purpose)}, {"bytes", arena.bytes}};
  });
  json["totals"] = {{"vram_bytes", plan.vram_bytes}, {"ram_bytes", plan.ram_bytes}};
  json["stages"] = array_json(plan.stages, stage_json);
  json["predicted"] = {{"decode_tok_per_s", plan.predicted.decode_tok_per_s},
                       {"prefill_tok_per_s", plan.predicted.prefill_tok_per_s},
                       {"throughput_tok_per_s", plan.predicted.throughput_tok_per_s},
                       {"ideal_tok_per_s", plan.predicted.ideal_tok_per_s}};
  json["reasons"] = plan.reasons;
  return json;
}

std::string plan_to_text(const Plan& plan) {
  const auto json = plan_to_json(plan);
  std::string text = "{";
  const char* separator = "\n";
  for (const auto& [key, value] : json.items()) {
    text += separator;
    text += value.is_array() ? array_text(key, value) : "  " + Json(key).dump() + ": " + value.dump();
    separator = ",\n";
  }
  return text + "\n}\n";
}

}  // namespace tandem::planner
