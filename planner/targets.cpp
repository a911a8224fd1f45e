#include "planner/targets.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "planner/errors.h"
#include "planner/gpu_rules.h"
#include "planner/names.h"
#include "planner/size_text.h"

namespace tandem::planner {
namespace {

AnswerRow row_of(std::string label, Plan plan, const Target& target) {
  const bool holds = reaches(plan, target);
  return {std::move(label), std::nullopt, std::move(plan), holds};
}

Plan plan_with(Setting setting, std::uint64_t vram_bytes) {
  setting.budget.vram_bytes = vram_bytes;
  return plan_of(setting);
}

/// Bytes of VRAM with which everything is on the GPU that it can run: more change nothing.
std::uint64_t enough_vram(const Setting& setting, Device gpu) {
  return plan_for_placement(setting.model, setting.budget, setting.workload, setting.machine,
                            most_on(gpu, setting.model))
      .vram_bytes;
}

AnswerRow least_vram_row(const Setting& setting, const Target& target, std::uint64_t enough_bytes) {
  std::uint64_t least = 0;
  auto reaching = enough_bytes;
  auto plan = plan_with(setting, enough_bytes);
  if (!reaches(plan, target)) return {"all on the GPU", std::nullopt, std::move(plan), false};
  while (least < reaching) {
    const auto middle = least + (reaching - least) / 2;
    auto other = plan_with(setting, middle);
    if (!reaches(other, target)) {
      least = middle + 1;
      continue;
    }
    reaching = middle;
    plan = std::move(other);
  }
  return {"least VRAM", reaching, std::move(plan), true};
}

/// The plan with another KV type; nothing where the model's heads are no whole blocks of it.
std::optional<Plan> with_kv_type(Setting setting, KvType type) {
  setting.workload.kv_type = type;
  try {
    return plan_of(setting);
  } catch (const BadQuestion&) {
    return std::nullopt;
  }
}

AnswerRow card_row(Setting setting, const Target& target, const GpuPart& card) {
  setting.machine = with_card(setting.machine, card, known_assumptions());
  setting.budget.vram_bytes = card.vram_bytes;
  auto row = row_of(card.name, plan_of(setting), target);
  row.value = card.vram_bytes;
  return row;
}

/// By memory, then by bandwidth.
std::vector<GpuPart> sorted(std::vector<GpuPart> cards) {
  std::ranges::sort(cards, {},
                    [](const GpuPart& card) { return std::pair(card.vram_bytes, card.peak_gb_per_s()); });
  return cards;
}

Setting placed_for(Setting setting, const Target& target) {
  const bool decodes = target.kind == TargetKind::decode_tok_per_s;
  setting.workload.optimise = decodes ? Optimise::decode : Optimise::prefill;
  return setting;
}

std::string text_of(const Target& target) {
  if (target.kind == TargetKind::decode_tok_per_s) return "target-tps " + three_digits(target.value);
  return "target-ttft " + three_digits(target.value) + " s";
}

}  // namespace

double first_token_s(const Plan& plan) noexcept {
  return static_cast<double>(plan.workload.expected_context) / plan.predicted.prefill_tok_per_s;
}

bool reaches(const Plan& plan, const Target& target) noexcept {
  if (!plan.fits) return false;
  if (target.kind == TargetKind::decode_tok_per_s) return plan.predicted.decode_tok_per_s >= target.value;
  return first_token_s(plan) <= target.value;
}

MachineProfile with_card(const MachineProfile& machine, const GpuPart& card, const AssumedFacts& assumed) {
  CpuPart slot;
  slot.pcie_generation = card.pcie_generation;
  const auto of_card = combine(card, slot, assumed);
  auto result = machine;
  result.name = card.name + " in " + machine.name;
  result.description = card.description + ", instead of the card of: " + machine.description;
  result.vram_read_gb_per_s = of_card.vram_read_gb_per_s;
  result.gpu_int8_tops = of_card.gpu_int8_tops;
  result.gpu_float_tops = of_card.gpu_float_tops;
  result.pcie_gb_per_s = of_card.pcie_gb_per_s;
  result.gpu_launch_us = of_card.gpu_launch_us;
  result.driver_bytes = of_card.driver_bytes;
  // What was measured on the old card says nothing of this one.
  result.gpu_attention_gb_per_s = of_card.gpu_attention_gb_per_s;
  result.gpu_attention_tops = of_card.gpu_attention_tops;
  result.gpu_types = of_card.gpu_types;
  result.stream_rows = of_card.stream_rows;
  return result;
}

Answer what_reaches(const Setting& asked, const Target& target, const std::vector<GpuPart>& cards) {
  const auto setting = placed_for(asked, target);
  Answer answer{text_of(target), setting.name(), "bytes", ""};
  answer.rows.push_back(row_of("as asked", plan_of(setting), target));
  answer.searched =
      "placed for " + std::string(to_string(setting.workload.optimise)) + ": the plan as asked; ";
  if (setting.devices.gpu) {
    const auto enough_bytes = enough_vram(setting, *setting.devices.gpu);
    answer.searched += "VRAM of 0 to " + grouped(enough_bytes) + " bytes, by bisection; ";
    answer.rows.push_back(least_vram_row(setting, target, enough_bytes));
  }
  answer.searched += "other KV types";
  for (const auto& type : kKvTypeNames) {
    if (type.value == setting.workload.kv_type) continue;
    auto plan = with_kv_type(setting, type.value);
    if (plan) answer.rows.push_back(row_of("KV in " + std::string(type.text), *std::move(plan), target));
  }
  if (!setting.devices.gpu) return answer;
  answer.notes = gpu_rule_lines(setting.model);
  answer.searched += "; " + std::to_string(cards.size()) + " cards with their own memory";
  for (const auto& card : sorted(cards)) answer.rows.push_back(card_row(setting, target, card));
  return answer;
}

}  // namespace tandem::planner
