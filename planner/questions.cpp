#include "planner/questions.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "planner/footprint.h"
#include "planner/gpu_rules.h"
#include "planner/size_text.h"

namespace tandem::planner {
namespace {

/// The largest of 1 to `limit` at which `fits`, which must hold below every value it holds at; 0 if it never
/// does.
std::uint64_t largest(std::uint64_t limit, const std::function<bool(std::uint64_t)>& fits) {
  if (fits(limit)) return limit;
  std::uint64_t fitting = 0;
  auto too_large = limit;
  while (too_large - fitting > 1) {
    const auto middle = fitting + (too_large - fitting) / 2;
    (fits(middle) ? fitting : too_large) = middle;
  }
  return fitting;
}

/// With every unit on the GPU that it can run.
Plan all_on_gpu(const Setting& setting, Device gpu) {
  return plan_for_placement(setting.model, setting.budget, setting.workload, setting.machine,
                            most_on(gpu, setting.model));
}

/// The largest value of 1 to `limit` at which `fits_at`, and its plan.
template <typename FitsAt, typename PlanAt>
AnswerRow largest_row(std::string label, std::uint64_t limit, FitsAt fits_at, PlanAt plan_at) {
  const auto value = largest(limit, fits_at);
  if (value == 0) return {std::move(label), std::nullopt, std::nullopt, false};
  return {std::move(label), value, plan_at(value), true};
}

/// The largest value of 1 to `limit` at which the setting that `at` makes of it fits: anywhere, and on the
/// GPU.
template <typename At>
std::vector<AnswerRow> largest_rows(const Setting& setting, std::uint64_t limit, At at) {
  const auto anywhere_at = [&](std::uint64_t value) { return plan_of(at(setting, value)); };
  auto rows = std::vector{largest_row(
      "fits", limit, [&](std::uint64_t value) { return fits(at(setting, value)); }, anywhere_at)};
  if (!setting.devices.gpu) return rows;
  const auto on_gpu_at = [&](std::uint64_t value) {
    return all_on_gpu(at(setting, value), *setting.devices.gpu);
  };
  rows.push_back(largest_row(
      "all on the GPU", limit, [&](std::uint64_t value) { return on_gpu_at(value).fits; }, on_gpu_at));
  return rows;
}

/// `notes`, and what "all on the GPU" is without.
std::vector<std::string> notes_of(const Setting& setting, std::vector<std::string> notes) {
  if (!setting.devices.gpu) return notes;
  for (auto& line : gpu_rule_lines(setting.model)) notes.push_back(std::move(line));
  return notes;
}

Setting with_vram(Setting setting, std::uint64_t vram_bytes) {
  setting.budget.vram_bytes = vram_bytes;
  return setting;
}

AnswerRow least_vram_row(const Setting& setting, std::uint64_t enough_bytes) {
  if (!fits(with_vram(setting, enough_bytes))) return {"fits", std::nullopt, std::nullopt, false};
  std::uint64_t least = 0;
  auto fitting = enough_bytes;
  while (least < fitting) {
    const auto middle = least + (fitting - least) / 2;
    if (fits(with_vram(setting, middle))) {
      fitting = middle;
    } else {
      least = middle + 1;
    }
  }
  return {"fits", fitting, plan_of(with_vram(setting, fitting)), true};
}

}  // namespace

bool Answer::answered() const noexcept {
  return std::ranges::any_of(rows, &AnswerRow::holds);
}

Plan plan_of(const Setting& setting) {
  return make_bare_plan(setting.model, setting.budget, setting.workload, setting.machine, setting.devices);
}

bool fits(const Setting& setting) {
  return some_plan_fits(setting.model, setting.budget, setting.workload, setting.machine, setting.devices);
}

Setting with_context(Setting setting, std::uint64_t max_seq_len) {
  setting.workload.max_seq_len = max_seq_len;
  setting.workload.expected_context = std::min(setting.workload.expected_context, max_seq_len);
  return setting;
}

std::string training_note(const ModelInput& model) {
  return "the model was trained for " + grouped(model.facts.context_length) + " tokens";
}

Answer max_context(const Setting& setting) {
  fits(with_context(setting, 1));  // refuses what is out of range beside the context
  const auto longest_pages = UINT32_MAX / setting.workload.sequences;
  const auto limit = std::min<std::uint64_t>(kMaxContext, std::uint64_t{longest_pages} * kPageTok);
  return {"max-context",
          setting.name(),
          "tokens",
          "every context of 1 to " + grouped(limit) + " tokens, by bisection",
          largest_rows(setting, limit, with_context),
          notes_of(setting, {training_note(setting.model)})};
}

Answer max_sequences(const Setting& setting) {
  const auto with_sequences = [](Setting other, std::uint64_t sequences) {
    other.workload.sequences = static_cast<std::uint32_t>(sequences);
    return other;
  };
  fits(with_sequences(setting, 1));
  const auto& workload = setting.workload;
  const auto pages = (workload.max_seq_len + kPageTok - 1) / kPageTok;
  const auto limit = std::min<std::uint64_t>(
      {kMaxSequences, workload.micro_batch / (workload.draft_rows + 1), UINT32_MAX / pages});
  return {"max-sequences",
          setting.name(),
          "sequences",
          "1 to " + grouped(limit) + " sequences, as many as a micro-batch of " +
              grouped(workload.micro_batch) + " rows holds, by bisection",
          largest_rows(setting, limit, with_sequences),
          notes_of(setting, {})};
}

Answer min_vram(const Setting& setting) {
  Answer answer{"min-vram", setting.name(), "bytes", ""};
  if (!setting.devices.gpu) {
    answer.searched = "nothing: only the CPU is allowed";
    answer.rows.push_back(least_vram_row(setting, 0));
    return answer;
  }
  auto everything = all_on_gpu(setting, *setting.devices.gpu);
  const auto enough_bytes = everything.vram_bytes;
  everything = all_on_gpu(with_vram(setting, enough_bytes), *setting.devices.gpu);
  answer.searched =
      "0 to " + grouped(enough_bytes) + " bytes, which everything on the GPU takes, by bisection";
  answer.rows.push_back(least_vram_row(setting, enough_bytes));
  const bool fits = everything.fits;
  answer.rows.push_back({"all on the GPU", enough_bytes, std::move(everything), fits});
  answer.notes = notes_of(setting, {});
  return answer;
}

Answer compare(const std::vector<Setting>& settings) {
  Answer answer{"compare", "", "", std::to_string(settings.size()) + " models, each planned as asked"};
  for (const auto& setting : settings) {
    auto plan = plan_of(setting);
    const bool fits = plan.fits;
    answer.rows.push_back({setting.name(), std::nullopt, std::move(plan), fits});
  }
  return answer;
}

}  // namespace tandem::planner
