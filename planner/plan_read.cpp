#include <algorithm>
#include <set>
#include <utility>

#include "planner/byte_count.h"
#include "planner/errors.h"
#include "planner/json_reader.h"
#include "planner/make_plan.h"
#include "planner/plan_consistency.h"
#include "planner/plan_json.h"
#include "planner/unit_name.h"

namespace tandem::planner {
namespace {

/// More layers than any model of these families has; keeps a hostile plan small.
constexpr std::uint32_t kMaxLayers = 4096;

std::string item_path(std::string_view key, std::size_t index) {
  return std::string(key) + "[" + std::to_string(index) + "]";
}

/// Every item of the array `key` through `read_item(item, path)`.
template <typename ReadItem>
auto read_array(ObjectReader& root, std::string_view key, ReadItem read_item) {
  const auto& array = root.array(key);
  std::vector<decltype(read_item(array, std::string{}))> items;
  for (std::size_t i = 0; i < array.size(); ++i) items.push_back(read_item(array[i], item_path(key, i)));
  return items;
}

ModelFacts read_model(ObjectReader reader) {
  ModelFacts model;
  model.name = reader.text("name");
  model.family = reader.text("family");
  if (model.family != "gemma3" && model.family != "gemma4") reader.fail("family", "must be gemma3 or gemma4");
  model.layers = reader.uint32("layers", 1, kMaxLayers);
  model.tensors = reader.uint("tensors", 1);
  model.tensor_bytes = reader.uint("tensor_bytes", 1);
  model.unplaced_bytes = reader.uint("unplaced_bytes", 0, model.tensor_bytes);
  model.missing_bytes = reader.uint("missing_bytes", 0, model.tensor_bytes);
  model.context_length = reader.uint("context_length", 1);
  reader.finish();
  return model;
}

Workload read_workload(ObjectReader reader) {
  Workload workload;
  workload.max_seq_len = reader.uint("max_seq_len", 1, kMaxContext);
  workload.sequences = reader.uint32("sequences", 1, kMaxSequences);
  workload.micro_batch = reader.uint32("micro_batch", 1, kMaxMicroBatch);
  workload.draft_rows = reader.uint32("draft_rows", 0, kMaxDraftRows);
  workload.kv_type = reader.choice("kv_type", kKvTypeNames);
  workload.expected_context = reader.uint("expected_context", 0, workload.max_seq_len);
  workload.optimise = reader.choice("optimise", kOptimiseNames);
  workload.head_type = reader.choice("head_type", kHeadTypeNames);
  if (!reader.at("stream_rows").is_null()) {
    workload.stream_rows = reader.uint32("stream_rows", 0, kMaxMicroBatch);
  }
  // Plans that do not say so were made before anything was repacked.
  workload.cpu_weights =
      reader.has("cpu_weights") ? reader.choice("cpu_weights", kCpuWeightsNames) : CpuWeights::mapped;
  reader.finish();
  return workload;
}

Budget read_budget(ObjectReader reader) {
  Budget budget;
  budget.vram_bytes = reader.uint("vram_bytes");
  budget.ram_bytes = reader.uint("ram_bytes");
  budget.vram_reserve_bytes = reader.uint("vram_reserve_bytes");
  budget.ram_reserve_bytes = reader.uint("ram_reserve_bytes");
  reader.finish();
  return budget;
}

LayerPlan read_layer(const nlohmann::json& value, const std::string& path) {
  ObjectReader reader(value, path);
  LayerPlan layer;
  layer.index = reader.uint32("index", 0, kMaxLayers - 1);
  layer.kind = reader.choice("kind", kLayerKindNames);
  layer.kv_cells = reader.uint("kv_cells", 1, kMaxContext);
  layer.kv_bytes = reader.uint("kv_bytes", 1);
  layer.kv_layout = reader.choice("kv_layout", kKvLayoutNames);
  layer.weight_bytes = reader.uint("weight_bytes", 1);
  layer.attention_device = reader.choice("attention_device", kDeviceNames);
  layer.ffn_device = reader.choice("ffn_device", kDeviceNames);
  layer.ffn_gpu_rows = reader.uint32("ffn_gpu_rows");
  layer.kv_device = reader.choice("kv_device", kDeviceNames);
  reader.finish();
  return layer;
}

ArenaPlan read_arena(const nlohmann::json& value, const std::string& path) {
  ObjectReader reader(value, path);
  ArenaPlan arena;
  arena.device = reader.choice("device", kDeviceNames);
  arena.purpose = reader.choice("purpose", kPurposeNames);
  arena.bytes = reader.uint("bytes", 1);
  reader.finish();
  return arena;
}

StagePlan read_stage(const nlohmann::json& value, const std::string& path) {
  ObjectReader reader(value, path);
  StagePlan stage;
  stage.device = reader.choice("device", kDeviceNames);
  for (const auto& name : reader.array("units")) {
    const auto unit = name.is_string() ? unit_from_name(name.get<std::string>()) : std::nullopt;
    if (!unit) reader.fail("units", name.dump() + " is not a unit");
    stage.units.push_back(*unit);
  }
  reader.finish();
  return stage;
}

std::string read_reason(const nlohmann::json& value, const std::string& path) {
  if (!value.is_string()) throw BadField(path, "must be a string");
  return value.get<std::string>();
}

void read_scalars(ObjectReader& root, Plan& plan) {
  auto machine = root.object("machine");
  plan.machine = machine.text("name");
  machine.finish();
  plan.fits = root.boolean("fits");
  auto shortfalls = root.object("shortfalls");
  plan.vram_short_bytes = shortfalls.uint("vram_bytes");
  plan.ram_short_bytes = shortfalls.uint("ram_bytes");
  shortfalls.finish();
  if (!root.at("largest_context").is_null()) {
    plan.largest_context = root.uint("largest_context", 1, kMaxContext);
  }
  plan.weights_overhead_bytes = root.uint("weights_overhead_bytes");
  auto totals = root.object("totals");
  plan.vram_bytes = totals.uint("vram_bytes");
  plan.ram_bytes = totals.uint("ram_bytes");
  totals.finish();
  auto predicted = root.object("predicted");
  plan.predicted.decode_tok_per_s = predicted.number("decode_tok_per_s", 0, 1e16);
  plan.predicted.prefill_tok_per_s = predicted.number("prefill_tok_per_s", 0, 1e16);
  plan.predicted.throughput_tok_per_s = predicted.number("throughput_tok_per_s", 0, 1e16);
  plan.predicted.ideal_tok_per_s = predicted.number("ideal_tok_per_s", 0, 1e16);
  predicted.finish();
}

void read_ends(ObjectReader& root, Plan& plan) {
  auto head = root.object("head");
  plan.head.device = head.choice("device", kDeviceNames);
  plan.head.type = head.text("type");
  plan.head.bytes = head.uint("bytes", 1);
  plan.head.file_type = head.text("file_type");
  plan.head.file_bytes = head.uint("file_bytes", 1);
  head.finish();
  auto embedding = root.object("embedding");
  plan.embedding.device = embedding.choice("device", kDeviceNames);
  plan.embedding.bytes = embedding.uint("bytes");
  embedding.finish();
  auto pages = root.object("kv_pages");
  plan.kv_pages.page_tok = pages.uint32("page_tok", kPageTok, kPageTok);
  plan.kv_pages.pages = pages.uint("pages", 1, UINT32_MAX);
  plan.kv_pages.rounding_bytes = pages.uint("rounding_bytes");
  pages.finish();
}

Plan read_plan(std::string_view text) {
  const auto document = parse_json(text);
  ObjectReader root(document, "");
  if (root.text("schema") != kPlanSchema) root.fail("schema", "must be \"" + std::string(kPlanSchema) + "\"");
  Plan plan;
  plan.model = read_model(root.object("model"));
  plan.workload = read_workload(root.object("workload"));
  plan.requested = read_workload(root.object("requested"));
  plan.budget = read_budget(root.object("budget"));
  read_scalars(root, plan);
  read_ends(root, plan);
  plan.layers = read_array(root, "layers", read_layer);
  plan.arenas = read_array(root, "arenas", read_arena);
  plan.stages = read_array(root, "stages", read_stage);
  plan.reasons = read_array(root, "reasons", read_reason);
  root.finish();
  return plan;
}

}  // namespace

Plan parse_plan(std::string_view text) {
  try {
    auto plan = read_plan(text);
    check_consistency(plan);
    return plan;
  } catch (const BadField& field) {
    throw BadPlan(std::string("plan: ") + field.what());
  } catch (const BadQuestion& overflow) {
    throw BadPlan(std::string("plan: ") + overflow.what());
  }
}

}  // namespace tandem::planner
