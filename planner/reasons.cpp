#include "planner/reasons.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "planner/alternatives.h"
#include "planner/footprint.h"
#include "planner/gpu_rules.h"
#include "planner/optimum.h"
#include "planner/plan_consistency.h"
#include "planner/printable.h"
#include "planner/repacking.h"
#include "planner/size_text.h"
#include "planner/streaming.h"

namespace tandem::planner {
namespace {

using Lines = std::vector<std::string>;

std::string bytes_text(std::uint64_t bytes) {
  return grouped(bytes) + (bytes == 1 ? " byte" : " bytes");
}

/// Units of each kind that are on `device`, in words: "3 of 62 attention halves, 62 of 62 FFN halves and the
/// head".
std::string units_text(const Plan& plan, Device device) {
  Lines parts;
  const auto add_halves = [&](std::ptrdiff_t count, const std::string& what) {
    if (count == 0) return;
    parts.push_back(std::to_string(count) + " of " + std::to_string(plan.layers.size()) + what);
  };
  add_halves(std::ranges::count(plan.layers, device, &LayerPlan::attention_device), " attention halves");
  add_halves(std::ranges::count(plan.layers, device, &LayerPlan::ffn_device), " FFN halves");
  if (plan.head.device == device) parts.emplace_back("the head");
  std::string text;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) text += i + 1 == parts.size() ? " and " : ", ";
    text += parts[i];
  }
  return text;
}

/// What the placement was chosen for, and what does not count.
std::string purpose_text(const Workload& workload) {
  const auto at = " at " + tokens_text(workload.expected_context);
  switch (workload.optimise) {
    case Optimise::decode:
      return "decode: a token of one sequence" + at +
             (workload.sequences == 1 ? "; prompts do not count"
                                      : "; prompts and other sequences do not count");
    case Optimise::prefill:
      return "prefill: a chunk of a prompt halfway to " + tokens_text(workload.expected_context) +
             "; a token counts where chunks take the same time";
    case Optimise::request:
      return "requests: a token of an answer" + at + " and " + std::to_string(kPromptTokPerAnswerTok) +
             " of its prompt" + (workload.sequences == 1 ? "" : "; other sequences do not count");
    case Optimise::throughput:
      return "throughput: a token of all sequences" + at + "; prompts do not count";
    case Optimise::context:
      return "context: a token of one sequence at " + tokens_text(workload.max_seq_len) +
             "; shorter contexts and prompts do not count";
  }
  return "";
}

/// VRAM that the smallest unit on the CPU lacks to fit on the GPU; 0 if it would fit, or all are there that
/// can be.
std::uint64_t next_unit_bytes(const Considered& considered) {
  const auto& plan = considered.plan;
  const auto gpu = *considered.devices.gpu;
  const auto model = as_loaded(considered.file, plan.workload);
  DeviceLoad load(model, plan.workload, gpu);
  for (const auto unit : units_on(plan, gpu)) load.add(unit);
  std::optional<ByteCount> least;
  for (const auto unit : units_on(plan, Device::cpu)) {
    if (!may_be_on_gpu(model, unit)) continue;
    auto grown = load;
    grown.add(unit);
    auto placement = placement_of(plan);
    placement.move(unit, gpu);
    for (const auto streamed : streamed_units(plan.workload, placement)) grown.stream(streamed);
    const auto needed = gpu_fixed_bytes(gpu, plan.budget, considered.machine) + grown.own() +
                        grown.drafts().aligned(kBufferAlignmentBytes) + grown.shared();
    if (!least || needed < *least) least = needed;
  }
  if (!least || *least <= plan.budget.vram_bytes) return 0;
  return least->value() - plan.budget.vram_bytes;
}

/// What limits the plan, what was chosen by, and what was not chosen.
void add_placement(Lines& lines, const Considered& considered) {
  const auto& plan = considered.plan;
  if (!considered.devices.gpu) {
    lines.emplace_back("only the CPU is allowed");
    return;
  }
  const std::string gpu(to_string(*considered.devices.gpu));
  const auto on_gpu = units_on(plan, *considered.devices.gpu).size();
  if (on_gpu == 2 * plan.layers.size() + 1) {
    lines.push_back("everything is on " + gpu);
    return;
  }
  const bool has_all_it_can =
      placement_of(plan) == most_on(*considered.devices.gpu, considered.file);  // not all there is
  if (on_gpu == 0) {
    lines.push_back((has_all_it_can                    ? gpu + " can run no unit"
                     : next_unit_bytes(considered) > 0 ? "no unit fits on " + gpu
                                                       : "nothing is faster on " + gpu) +
                    ", so everything is on the CPU");
  } else {
    const auto limit = has_all_it_can                    ? gpu + " has all that it can run"
                       : next_unit_bytes(considered) > 0 ? "VRAM is the limit"
                                                         : "this is the fastest, with VRAM left";
    lines.push_back(limit + ": on the CPU are " + units_text(plan, Device::cpu));
  }
  for (auto& line : gpu_rule_lines(considered.file)) lines.push_back(std::move(line));
  if (!plan.fits) return;
  lines.push_back("placed for " + purpose_text(plan.workload));
  const auto time = objective_text(plan.workload, considered.choice.time_ps);
  if (considered.choice.proven()) {
    lines.push_back("no placement that fits is faster: " + time);
  } else {
    lines.push_back("the search was cut short; none is faster than " +
                    objective_text(plan.workload, considered.choice.bound_ps) + ", this takes " + time);
  }
  for (auto& line : runner_up_lines(considered)) lines.push_back(std::move(line));
}

/// Why no weights are streamed, where that was asked for or could be.
void add_not_streaming(Lines& lines, const Considered& considered) {
  const auto& plan = considered.plan;
  const auto asked = plan.requested.stream_rows.value_or(0);
  const auto ffn_on_cpu = std::ranges::count(plan.layers, Device::cpu, &LayerPlan::ffn_device);
  const bool could_be = considered.devices.gpu && ffn_on_cpu > 0;
  const auto wish = asked > 0 ? "no weights are streamed, though asked for in chunks of " + grouped(asked) +
                                    " rows and more: "
                              : "no weights are streamed for prompts: ";
  const bool can_be = may_stream_ffn(considered.file);
  if (asked > 0 && could_be && !can_be) {
    lines.push_back(wish + "no GPU can run every FFN half");
  } else if (asked > 0 && !could_be) {
    lines.push_back(wish + (considered.devices.gpu ? "no FFN half is on the CPU" : "there is no GPU"));
  } else if (asked > 0) {
    lines.push_back(wish + (may_stream(plan.workload) ? "no unit is on the GPU" : "no chunk has as many"));
  } else if (could_be && !plan.requested.stream_rows && !may_stream(plan.workload)) {
    lines.push_back(wish +
                    (can_be ? "no chunk has so many rows that it pays" : "no GPU can run every FFN half"));
  }
}

/// What prompts gain by streaming, and what that takes.
void add_streaming(Lines& lines, const Considered& considered) {
  const auto& plan = considered.plan;
  const auto placement = placement_of(plan);
  if (!considered.devices.gpu || streamed_units(plan.workload, placement).empty()) {
    add_not_streaming(lines, considered);
    return;
  }
  const auto model = as_loaded(considered.file, plan.workload);
  auto in_place = plan.workload;
  in_place.stream_rows = 0;
  const auto before = predict(model, in_place, considered.machine, placement).prefill_tok_per_s;
  lines.push_back("chunks of prompts of " + grouped(*plan.workload.stream_rows) +
                  " rows and more: weights of the CPU's FFN halves are streamed to " +
                  std::string(to_string(*considered.devices.gpu)) + ", " +
                  three_digits(plan.predicted.prefill_tok_per_s) + " tok/s instead of " +
                  three_digits(before) + ", through " +
                  short_size((ByteCount(2) * stream_buffer_bytes(model)).value()) +
                  " of VRAM; attention halves stay where their KV is");
}

void add_next_unit(Lines& lines, const Considered& considered) {
  if (!considered.devices.gpu) return;
  const auto bytes = next_unit_bytes(considered);
  if (bytes > 0) lines.push_back("the next unit needs " + bytes_text(bytes) + " of VRAM more");
}

void add_workload(Lines& lines, const Plan& plan) {
  const auto& asked = plan.requested;
  const auto& planned = plan.workload;
  if (asked.expected_context != planned.expected_context) {
    lines.push_back("speed is predicted at a context of " + tokens_text(planned.expected_context) +
                    ", as no expected context was asked for");
  }
  if (asked.head_type != planned.head_type) {
    lines.push_back("the head stays as it is: it is " + plan.head.file_type +
                    " in the file, not a float type");
  } else if (plan.head.type != plan.head.file_type) {
    lines.push_back("the head is stored as " + plan.head.type + " when it is loaded, from " +
                    plan.head.file_type + " in the file: " + short_size(plan.head.bytes) + " instead of " +
                    short_size(plan.head.file_bytes));
  }
  if (planned.max_seq_len > plan.model.context_length) {
    lines.push_back("warning: the context of " + grouped(planned.max_seq_len) + " is beyond the " +
                    grouped(plan.model.context_length) + " tokens the model was trained for");
  }
}

/// How the CPU's matrices lie, and what does not lie as was asked for.
void add_cpu_weights(Lines& lines, const Considered& considered) {
  const auto& plan = considered.plan;
  const auto matrices = cpu_matrices(plan, as_loaded(considered.file, plan.workload));
  if (matrices.mapped_bytes > 0) {
    lines.push_back(short_size(matrices.mapped_bytes) +
                    " of the CPU's weights are used as they are in the file, as was asked for: they are read "
                    "more slowly than repacked ones");
  }
  if (plan.workload.cpu_weights == CpuWeights::mapped) return;
  if (matrices.repacked_bytes > 0) {
    lines.push_back(short_size(matrices.repacked_bytes) +
                    " of the CPU's weights are repacked when they are loaded, in one pass over them");
  }
  if (matrices.streamed_bytes > 0) {
    lines.push_back(short_size(matrices.streamed_bytes) +
                    " of the CPU's weights stay as they are in the file: FFN halves that are streamed");
  }
  if (matrices.other_bytes > 0) {
    lines.push_back(short_size(matrices.other_bytes) +
                    " of the CPU's weights stay as they are in the file: shapes that are not repacked");
  }
}

void add_embedding(Lines& lines, const Plan& plan) {
  if (plan.embedding.bytes > 0) {
    lines.push_back(
        "embedding rows are gathered on the CPU from the mapped file: the head has a matrix of its own");
    return;
  }
  lines.push_back("embedding rows are gathered from the head's copy on " +
                  std::string(to_string(plan.embedding.device)));
}

void add_single_vectors(Lines& lines, const Plan& plan) {
  const auto layers = std::ranges::count(plan.layers, KvLayout::vector, &LayerPlan::kv_layout);
  if (layers == 0) return;
  lines.push_back(std::to_string(layers) + (layers == 1 ? " layer" : " layers") + " without V projection " +
                  (layers == 1 ? "caches" : "cache") + " one vector a token instead of two");
}

void add_file(Lines& lines, const Plan& plan, const ModelInput& model) {
  const auto missing_bytes = plan.model.missing_bytes;
  if (missing_bytes == plan.model.tensor_bytes) {
    lines.emplace_back("no tensor data is at hand, only a header: this can be planned but not loaded");
  } else if (missing_bytes > 0) {
    lines.push_back("warning: " + grouped(missing_bytes) + " of " + grouped(plan.model.tensor_bytes) +
                    " bytes of tensor data are missing: this can be planned but not loaded");
  }
  for (const auto& warning : model.hyper.warnings) lines.push_back("warning: " + printable(warning));
}

void add_shortfall(Lines& lines, const Plan& plan) {
  if (plan.fits) return;
  if (plan.vram_short_bytes > 0) lines.push_back("VRAM is short by " + bytes_text(plan.vram_short_bytes));
  if (plan.ram_short_bytes > 0) lines.push_back("RAM is short by " + bytes_text(plan.ram_short_bytes));
  if (plan.largest_context) {
    lines.push_back("the largest context that would fit is " + grouped(*plan.largest_context));
  } else {
    lines.emplace_back("no context would fit");
  }
}

}  // namespace

std::vector<std::string> reasons_of(const Plan& plan, const Choice& choice, const ModelInput& file,
                                    const MachineProfile& machine, Devices devices) {
  const Considered considered{file, plan, choice, machine, devices};
  Lines lines;
  add_shortfall(lines, plan);
  add_placement(lines, considered);
  add_streaming(lines, considered);
  add_next_unit(lines, considered);
  for (auto& line : what_if_lines(considered)) lines.push_back(std::move(line));
  if (devices.gpu && plan.fits) {
    for (auto& line : not_yet_lines(considered)) lines.push_back(std::move(line));
  }
  add_workload(lines, plan);
  add_cpu_weights(lines, considered);
  add_embedding(lines, plan);
  add_single_vectors(lines, plan);
  add_file(lines, plan, file);
  return lines;
}

std::string times_line(const MachineProfile& machine) {
  if (!machine.cpu_types.empty()) return "times are of " + machine.description;
  return "times are of the profile " + machine.name +
         ", not of this machine, which nobody has measured: tandem calibrate does";
}

}  // namespace tandem::planner
