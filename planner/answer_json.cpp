#include "planner/answer_json.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "planner/targets.h"

namespace tandem::planner {
namespace {

using json = nlohmann::ordered_json;

json units_on_gpu(const Plan& plan) {
  const auto on_gpu = [](Device device) { return device != Device::cpu; };
  return {{"attention", std::ranges::count_if(plan.layers, on_gpu, &LayerPlan::attention_device)},
          {"ffn", std::ranges::count_if(plan.layers, on_gpu, &LayerPlan::ffn_device)},
          {"head", on_gpu(plan.head.device)}};
}

/// What a table needs of a plan; the plan itself is asked for by its setting.
json summary(const Plan& plan) {
  return {{"model", plan.model.name},
          {"machine", plan.machine},
          {"vram_budget_bytes", plan.budget.vram_bytes},
          {"ram_budget_bytes", plan.budget.ram_bytes},
          {"max_seq_len", plan.workload.max_seq_len},
          {"sequences", plan.workload.sequences},
          {"kv_type", to_string(plan.workload.kv_type)},
          {"expected_context", plan.workload.expected_context},
          {"fits", plan.fits},
          {"vram_bytes", plan.vram_bytes},
          {"ram_bytes", plan.ram_bytes},
          {"vram_short_bytes", plan.vram_short_bytes},
          {"ram_short_bytes", plan.ram_short_bytes},
          {"decode_tok_per_s", plan.predicted.decode_tok_per_s},
          {"prefill_tok_per_s", plan.predicted.prefill_tok_per_s},
          {"throughput_tok_per_s", plan.predicted.throughput_tok_per_s},
          {"first_token_s", first_token_s(plan)},
          {"on_gpu", units_on_gpu(plan)}};
}

json row_to_json(const AnswerRow& row) {
  return {{"label", row.label},
          {"value", row.value ? json(*row.value) : json()},
          {"holds", row.holds},
          {"plan", row.plan ? summary(*row.plan) : json()}};
}

json answer_to_json(const Answer& answer) {
  json rows = json::array();
  for (const auto& row : answer.rows) rows.push_back(row_to_json(row));
  return {{"question", answer.question}, {"model", answer.model},         {"unit", answer.unit},
          {"searched", answer.searched}, {"answered", answer.answered()}, {"rows", std::move(rows)},
          {"notes", answer.notes}};
}

}  // namespace

json answers_to_json(const std::vector<Answer>& answers) {
  json list = json::array();
  for (const auto& answer : answers) list.push_back(answer_to_json(answer));
  return {{"schema", "tandem.answer/1"}, {"answers", std::move(list)}};
}

std::string answers_to_text(const std::vector<Answer>& answers) {
  return answers_to_json(answers).dump(2) + "\n";
}

}  // namespace tandem::planner
