#include "planner/plan_table.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "planner/columns.h"
#include "planner/layer_strip.h"
#include "planner/memory_bar.h"
#include "planner/names.h"
#include "planner/size_text.h"
#include "planner/unit_name.h"

namespace tandem::planner {
namespace {

constexpr std::size_t kLabelColumns = 12;

std::string label(std::string_view text) {
  return padded_right(std::string(text), kLabelColumns);
}

/// Devices with arenas, the GPU first.
std::vector<Device> devices_of(const Plan& plan) {
  std::vector<Device> devices;
  for (const auto device : {Device::cuda0, Device::emulated0, Device::cpu}) {
    const auto found = std::ranges::find(plan.arenas, device, &ArenaPlan::device);
    if (found != plan.arenas.end()) devices.push_back(device);
  }
  return devices;
}

std::string heading(const Plan& plan) {
  const auto& workload = plan.workload;
  auto text = wrapped(label("model"), plan.model.name + ", " + plan.model.family + ", " +
                                          std::to_string(plan.model.layers) + " layers, " +
                                          short_size(plan.model.tensor_bytes) + " in " +
                                          std::to_string(plan.model.tensors) + " tensors");
  text += wrapped(label("workload"), std::to_string(workload.sequences) +
                                         (workload.sequences == 1 ? " sequence" : " sequences") + " of " +
                                         tokens_text(workload.max_seq_len) + ", micro-batch " +
                                         std::to_string(workload.micro_batch) + " rows, KV in " +
                                         std::string(to_string(workload.kv_type)));
  text += wrapped(label("global KV"),
                  grouped(plan.kv_pages.pages) + (plan.kv_pages.pages == 1 ? " page of " : " pages of ") +
                      std::to_string(plan.kv_pages.page_tok) + " tokens; rounding takes " +
                      grouped(plan.kv_pages.rounding_bytes) + " bytes");
  text += wrapped(label("machine"), plan.machine);
  return text;
}

/// "cuda0       [WWWWWWWHKK....]  9.84 of 12.9 GB"
std::string usage(const Plan& plan, Device device, Ink ink) {
  constexpr std::size_t kBarColumns = 46;
  const bool is_cpu = device == Device::cpu;
  const auto used = is_cpu ? plan.ram_bytes : plan.vram_bytes;
  const auto budget = is_cpu ? plan.budget.ram_bytes : plan.budget.vram_bytes;
  return label(to_string(device)) + memory_bar(bar_parts(plan, device), budget, kBarColumns, ink) + "  " +
         short_size(used) + " of " + short_size(budget) + "\n";
}

std::string arena_rows(const Plan& plan, const std::vector<Device>& devices) {
  constexpr std::size_t kPurposeColumns = 14;
  constexpr std::size_t kNumberColumns = 20;
  auto text = padded_right("bytes", kPurposeColumns);
  for (const auto device : devices) text += padded_left(std::string(to_string(device)), kNumberColumns);
  text += '\n';
  for (const auto& purpose : kPurposeNames) {
    auto row = "  " + padded_right(std::string(purpose.text), kPurposeColumns - 2);
    bool used = false;
    for (const auto device : devices) {
      const auto bytes = plan.arena_bytes(device, purpose.value);
      used = used || bytes > 0;
      row += padded_left(bytes == 0 ? "-" : grouped(bytes), kNumberColumns);
    }
    if (used) text += row + "\n";
  }
  text += "  " + padded_right("total", kPurposeColumns - 2);
  for (const auto device : devices) {
    text += padded_left(grouped(device == Device::cpu ? plan.ram_bytes : plan.vram_bytes), kNumberColumns);
  }
  return text + "\n";
}

/// The first stages by name; long pipelines are cut short.
std::string stages_line(const Plan& plan) {
  constexpr std::size_t kShown = 4;
  std::string text = std::to_string(plan.stages.size());
  const char* separator = ": ";
  for (std::size_t i = 0; i < std::min(plan.stages.size(), kShown); ++i) {
    const auto& stage = plan.stages[i];
    text += separator + std::string(to_string(stage.device)) + " " + unit_name(stage.units.front());
    if (stage.units.size() > 1) text += " to " + unit_name(stage.units.back());
    separator = ", ";
  }
  if (plan.stages.size() > kShown) text += ", and so on";
  return wrapped(label("stages"), text);
}

std::string predictions(const Plan& plan) {
  const auto sequences = plan.workload.sequences;
  const auto all_sequences = sequences == 1 ? std::string()
                                            : label("") + three_digits(plan.predicted.throughput_tok_per_s) +
                                                  " tok/s decode, all " + std::to_string(sequences) +
                                                  " sequences together\n";
  return label("predicted") + three_digits(plan.predicted.decode_tok_per_s) +
         " tok/s decode, one sequence at " + grouped(plan.workload.expected_context) +
         (plan.workload.expected_context == 1 ? " token (" : " tokens (") +
         three_digits(plan.predicted.ideal_tok_per_s) + " ideal)\n" + all_sequences + label("") +
         three_digits(plan.predicted.prefill_tok_per_s) + " tok/s prompt\n";
}

std::string verdict(const Plan& plan) {
  if (plan.fits) return label("verdict") + "fits\n";
  std::string text = "does not fit: ";
  if (plan.vram_short_bytes > 0) text += grouped(plan.vram_short_bytes) + " bytes of VRAM too few; ";
  if (plan.ram_short_bytes > 0) text += grouped(plan.ram_short_bytes) + " bytes of RAM too few; ";
  text +=
      plan.largest_context ? "a context of " + grouped(*plan.largest_context) + " would" : "no context would";
  return wrapped(label("verdict"), text);
}

std::string reasons(const Plan& plan) {
  std::string text;
  for (const auto& reason : plan.reasons)
    text += wrapped(text.empty() ? "because   - " : "          - ", reason);
  return text;
}

}  // namespace

std::string plan_table(const Plan& plan, Ink ink) {
  const auto devices = devices_of(plan);
  auto text = heading(plan) + verdict(plan) + "\n";
  for (const auto device : devices) text += usage(plan, device, ink);
  text += memory_bar_legend(plan, kLabelColumns, ink);
  text.append("\n").append(arena_rows(plan, devices));
  text.append("\n").append(layer_strip(plan, ink));
  text.append("\n").append(stages_line(plan));
  return text + predictions(plan) + reasons(plan);
}

}  // namespace tandem::planner
