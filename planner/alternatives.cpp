#include "planner/alternatives.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "planner/head_type.h"
#include "planner/names.h"
#include "planner/optimum.h"
#include "planner/plan_consistency.h"
#include "planner/repacking.h"
#include "planner/rules.h"
#include "planner/sharing.h"
#include "planner/size_text.h"

namespace tandem::planner {
namespace {

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;
constexpr std::size_t kFewLabels = 500'000;

/// A question beside the one that was asked.
struct Variant {
  std::string change;  ///< "with 1 GiB more of VRAM"
  Budget budget;
  Workload workload;  ///< as asked for
};

/// The best time of a variant; nothing if it does not fit.  A rough search does: nothing is planned by it.
std::optional<Picoseconds> best_ps(const Considered& considered, const Variant& variant) {
  const auto workload =
      effective_workload(considered.file, variant.workload, considered.machine, considered.devices.gpu);
  const auto model = as_loaded(considered.file, workload);
  if (considered.devices.gpu) {
    const auto choice = fastest(model, variant.budget, workload, considered.machine, *considered.devices.gpu,
                                {std::nullopt, kFewLabels});
    return choice ? std::optional(choice->time_ps) : std::nullopt;
  }
  const auto placement = Placement::all_on(Device::cpu, model.layers.size());
  const auto plan =
      plan_for_placement(considered.file, variant.budget, workload, considered.machine, placement);
  if (!plan.fits) return std::nullopt;
  return objective_ps(model, workload, considered.machine, placement);
}

void add_head_types(std::vector<Variant>& variants, const Considered& considered) {
  const auto& plan = considered.plan;
  if (!has_float_head(considered.file)) return;
  for (const auto& type : kHeadTypeNames) {
    if (type.value == plan.workload.head_type) continue;
    const auto block_elems = type.value == HeadType::q6_k ? 256 : 32;
    if (type.value != HeadType::keep && considered.file.hyper.width % block_elems != 0) continue;
    Variant variant{"with the head kept in " + considered.file.head_type, plan.budget, plan.requested};
    if (type.value != HeadType::keep) variant.change = "with --head-type " + std::string(type.text);
    variant.workload.head_type = type.value;
    variants.push_back(std::move(variant));
  }
}

std::vector<Variant> variants_of(const Considered& considered) {
  const auto& plan = considered.plan;
  std::vector<Variant> variants;
  if (considered.devices.gpu && plan.budget.vram_bytes <= UINT64_MAX - kGiB) {
    variants.push_back({"with 1 GiB more of VRAM", plan.budget, plan.requested});
    variants.back().budget.vram_bytes += kGiB;
  }
  if (plan.workload.kv_type != KvType::q8_0) {
    const bool whole_blocks = std::ranges::all_of(considered.file.hyper.layers,
                                                  [](const auto& layer) { return layer.head_dim % 32 == 0; });
    variants.push_back({"with --kv-type q8_0", plan.budget, plan.requested});
    variants.back().workload.kv_type = KvType::q8_0;
    if (!whole_blocks) variants.pop_back();
  }
  const auto smaller = plan.workload.micro_batch / 4;
  if (plan.workload.optimise != Optimise::prefill && smaller >= plan.requested.stream_rows.value_or(0) &&
      smaller >= std::uint64_t{plan.workload.sequences} * (plan.workload.draft_rows + 1)) {
    variants.push_back({"with --micro-batch " + std::to_string(smaller), plan.budget, plan.requested});
    variants.back().workload.micro_batch = smaller;
  }
  if (plan.workload.optimise != Optimise::throughput && plan.workload.sequences > 1) {
    variants.push_back({"with --sequences 1", plan.budget, plan.requested});
    variants.back().workload.sequences = 1;
  }
  add_head_types(variants, considered);
  return variants;
}

/// What the same model, placed for something else, would do better, and what that would cost.
std::optional<std::string> other_objective_line(const Considered& considered, Optimise optimise) {
  const auto& plan = considered.plan;
  auto workload = plan.workload;
  workload.optimise = optimise;
  const auto model = as_loaded(considered.file, workload);
  const auto choice = fastest(model, plan.budget, workload, considered.machine, *considered.devices.gpu,
                              {std::nullopt, kFewLabels});
  if (!choice) return std::nullopt;
  const auto other = predict(model, workload, considered.machine, choice->placement);
  const auto compared = [](double after, double before, const std::string& what) {
    return three_digits(after) + " tok/s " + what + " instead of " + three_digits(before);
  };
  struct Speed {
    double after;
    double before;
    std::string what;
  };
  Speed gain{other.decode_tok_per_s, plan.predicted.decode_tok_per_s, "decode"};
  Speed loss{other.prefill_tok_per_s, plan.predicted.prefill_tok_per_s, "prompt"};
  if (loss.after * gain.before > gain.after * loss.before) std::swap(gain, loss);
  if (optimise == Optimise::throughput) {
    loss = {other.decode_tok_per_s, plan.predicted.decode_tok_per_s, "decode"};
    gain = {other.throughput_tok_per_s, plan.predicted.throughput_tok_per_s, "of all sequences"};
  }
  if (gain.after < 1.01 * gain.before) return std::nullopt;
  return "with --optimise " + std::string(to_string(optimise)) + " it would be " +
         compared(gain.after, gain.before, gain.what) + ", and " +
         compared(loss.after, loss.before, loss.what);
}

}  // namespace

std::string objective_text(const Workload& workload, Picoseconds time) {
  const auto ms = three_digits(milliseconds(time));
  switch (workload.optimise) {
    case Optimise::decode:
      return ms + " ms a token";
    case Optimise::prefill:
      return ms + " ms a prompt's chunk";
    case Optimise::request:
      return ms + " ms a token of an answer and " + std::to_string(kPromptTokPerAnswerTok) + " of its prompt";
    case Optimise::throughput:
      return ms + " ms a token of every sequence";
    case Optimise::context:
      return ms + " ms a token with the context full";
  }
  return ms + " ms";
}

std::vector<std::string> runner_up_lines(const Considered& considered) {
  constexpr std::size_t kMost = 3;
  const auto& plan = considered.plan;
  const auto chosen = placement_of(plan);
  const auto gpu = *considered.devices.gpu;
  const auto model = as_loaded(considered.file, plan.workload);
  std::vector<std::pair<Picoseconds, std::string>> others;
  const auto other_head = chosen.head == Device::cpu ? gpu : Device::cpu;
  const auto turned =
      fastest(model, plan.budget, plan.workload, considered.machine, gpu, {other_head, kFewLabels});
  if (turned) others.emplace_back(turned->time_ps, "the head on " + std::string(to_string(other_head)));
  for (const auto& [rule, placement] :
       rules_of_thumb(model, plan.budget, plan.workload, considered.machine, gpu)) {
    if (placement == chosen) continue;
    others.emplace_back(objective_ps(model, plan.workload, considered.machine, placement), rule);
  }
  std::ranges::stable_sort(others, {}, &std::pair<Picoseconds, std::string>::first);
  std::vector<std::string> lines;
  const auto best = static_cast<double>(considered.choice.time_ps);
  for (const auto& [time, how] : others) {
    if (lines.size() == kMost) break;
    const auto more = three_digits(100 * (static_cast<double>(time) - best) / best);
    auto& line = lines.emplace_back("runner-up: ");
    line.append(how).append(", ").append(objective_text(plan.workload, time));
    line.append(" (").append(more).append(" % more)");
  }
  return lines;
}

std::vector<std::string> what_if_lines(const Considered& considered) {
  const auto& plan = considered.plan;
  std::vector<std::string> lines;
  for (const auto& variant : variants_of(considered)) {
    const auto time = best_ps(considered, variant);
    if (!time) continue;
    const auto text = objective_text(variant.workload, *time);
    if (!plan.fits) {
      lines.push_back(variant.change + " it would fit, at " + text);
      continue;
    }
    const auto before = static_cast<double>(considered.choice.time_ps);
    const auto change = (static_cast<double>(*time) - before) / before;
    if (change > 0.01) lines.push_back(variant.change + " it would be slower: " + text);
    if (change < -0.01) lines.push_back(variant.change + " it would be faster: " + text);
  }
  if (!plan.fits || !considered.devices.gpu) return lines;
  for (const auto optimise : {Optimise::decode, Optimise::prefill, Optimise::request, Optimise::throughput}) {
    const bool is_decode = optimise == Optimise::throughput && plan.workload.sequences == 1;
    if (optimise == plan.workload.optimise || is_decode) continue;
    auto line = other_objective_line(considered, optimise);
    if (line) lines.push_back(*std::move(line));
  }
  return lines;
}

std::vector<std::string> not_yet_lines(const Considered& considered) {
  const auto& plan = considered.plan;
  const auto gpu = *considered.devices.gpu;
  const auto model = as_loaded(considered.file, plan.workload);
  std::vector<std::string> lines;
  const auto shared = shared_ffn(model, plan.budget, plan.workload, considered.machine, gpu);
  const auto decode = step_time(model, plan.workload.kv_type, considered.machine, placement_of(plan),
                                decode_step(plan.workload));
  if (shared && shared->time_ps < decode.serial_ps()) {
    lines.push_back("not yet executed: with every FFN half shared by both devices at once, " +
                    grouped(shared->gpu_rows) + " of " + grouped(model.hyper.layers.front().ffn_width) +
                    " rows on " + std::string(to_string(gpu)) + ", and all else there, " +
                    three_digits(milliseconds(shared->time_ps)) + " ms a token instead of " +
                    three_digits(milliseconds(decode.serial_ps())));
  }
  return lines;
}

}  // namespace tandem::planner
