#include "cli/status_view.h"

#include <algorithm>
#include <cstdint>

#include "cli/duration_text.h"
#include "model/error.h"
#include "planner/columns.h"
#include "planner/layer_strip.h"
#include "planner/memory_bar.h"
#include "planner/names.h"
#include "planner/printable.h"
#include "planner/size_text.h"

namespace tandem::cli {
namespace {

using ipc::Json;
using planner::Device;
using planner::Ink;
using planner::padded_left;
using planner::padded_right;

constexpr std::size_t kLabelColumns = 12;
constexpr std::size_t kBarColumns = 34;

template <typename Names>
auto named(const Names& names, const Json& text) {
  const auto value = planner::value_of(names, text.get<std::string>());
  if (!value) throw Error("the daemon's status names something unknown: " + text.dump());
  return *value;
}

planner::LayerPlan layer_of(const Json& layer) {
  planner::LayerPlan result;
  result.index = layer.at("index");
  result.kind = named(planner::kLayerKindNames, layer.at("kind"));
  result.attention_device = named(planner::kDeviceNames, layer.at("attention"));
  result.kv_device = result.attention_device;
  result.ffn_device = named(planner::kDeviceNames, layer.at("ffn"));
  result.ffn_gpu_rows = layer.at("ffn_gpu_rows");
  result.kv_bytes = layer.at("kv_bytes");
  result.weight_bytes = layer.at("weight_bytes");
  return result;
}

void add_device(planner::Plan& plan, const Json& device) {
  const auto which = named(planner::kDeviceNames, device.at("device"));
  const std::uint64_t planned_bytes = device.at("planned_bytes");
  const std::uint64_t budget_bytes = device.at("budget_bytes");
  (which == Device::cpu ? plan.ram_bytes : plan.vram_bytes) = planned_bytes;
  (which == Device::cpu ? plan.budget.ram_bytes : plan.budget.vram_bytes) = budget_bytes;
  for (const Json& line : device.at("purposes")) {
    plan.arenas.push_back(
        {which, named(planner::kPurposeNames, line.at("purpose")), line.at("planned_bytes")});
  }
}

std::string text_of(const Json& object, const char* name) {
  return planner::printable(object.at(name).get<std::string>());
}

/// Cut to `columns`, with a mark where something is missing, and filled up.
std::string column(const std::string& text, std::size_t columns) {
  const std::string cut = clipped(text, columns);
  return cut.size() == text.size() ? padded_right(text, columns) : clipped(text, columns - 1) + "~";
}

std::string heading(const Json& status) {
  std::string line = "tandemd " + text_of(status, "version") + ", " + text_of(status, "status");
  if (status.at("status") == "loading") {
    line += " " + std::to_string(static_cast<int>(status.at("load_progress").get<double>() * 100.0)) + "%";
  }
  line += ", up " + duration_text(status.at("uptime_s")) + "; " + text_of(status.at("model"), "id");
  return status.at("model").value("noise", false) ? line + " (random weights)" : line;
}

std::string rates(const Json& status) {
  const Json& rates = status.at("rates");
  const Json& sequences = status.at("sequences");
  const auto number = [&rates](const char* name) {
    return planner::three_digits(rates.at(name).get<double>());
  };
  return padded_right("now", kLabelColumns) + number("generated_tok_per_s") + " tok/s answers, " +
         number("prompt_tok_per_s") + " tok/s prompts, " + number("gb_per_s") + " GB/s\n" +
         padded_right("sequences", kLabelColumns) + sequences.at("running").dump() + " of " +
         sequences.at("slots").dump() + " running, " + sequences.at("queued").dump() + " queued\n";
}

/// An arena: its bytes; where they were not all in use at some time, how many of them were at most.
std::string purpose_text(const Json& line) {
  const std::uint64_t planned_bytes = line.at("planned_bytes");
  const std::uint64_t high_water_bytes = line.at("high_water_bytes");
  auto text = text_of(line, "purpose") + " ";
  if (high_water_bytes < planned_bytes) text += planner::short_size(high_water_bytes) + " of ";
  return text + planner::short_size(planned_bytes);
}

std::string memory(const planner::Plan& plan, const Json& devices, Ink ink) {
  std::string text;
  for (const Json& entry : devices) {
    const auto device = named(planner::kDeviceNames, entry.at("device"));
    const std::uint64_t planned_bytes = entry.at("planned_bytes");
    const std::uint64_t budget_bytes = entry.at("budget_bytes");
    text += padded_right(std::string(planner::to_string(device)), kLabelColumns) +
            planner::memory_bar(planner::bar_parts(plan, device), budget_bytes, kBarColumns, ink) + "  " +
            planner::short_size(planned_bytes) + " of " + planner::short_size(budget_bytes) + "\n";
    std::string line;
    for (const Json& purpose : entry.at("purposes")) {
      const auto part = purpose_text(purpose);
      if (kLabelColumns + line.size() + 2 + part.size() > planner::kColumns) {
        text += std::string(kLabelColumns, ' ') + line + "\n";
        line.clear();
      }
      line += (line.empty() ? "" : ", ") + part;
    }
    text += std::string(kLabelColumns, ' ') + line + "\n";
  }
  return text + planner::memory_bar_legend(plan, kLabelColumns, ink);
}

std::string counted(const Json& request, const char* done, const char* all) {
  return request.at(done).dump() + "/" + request.at(all).dump();
}

std::string requests(const Json& list, std::size_t max_requests) {
  if (list.empty()) return "no requests\n";
  std::string text = column("REQUEST", 18) + " " + column("OWNER", 14) + " " + column("STATE", 7) +
                     padded_left("PROMPT", 15) + padded_left("ANSWER", 15) + padded_left("AGE", 9) + "\n";
  const std::size_t shown = std::min<std::size_t>(list.size(), max_requests);
  for (std::size_t i = 0; i < shown; ++i) {
    const Json& request = list[i];
    text += column(text_of(request, "id"), 18) + " " + column(text_of(request, "owner"), 14) + " " +
            column(text_of(request, "state"), 7) +
            padded_left(counted(request, "prompt_tokens_done", "prompt_tokens"), 15) +
            padded_left(counted(request, "completion_tokens", "max_tokens"), 15) +
            padded_left(duration_text(request.at("age_us").get<std::uint64_t>() / 1'000'000), 9) + "\n";
  }
  if (shown < list.size()) text += "and " + std::to_string(list.size() - shown) + " more\n";
  return text;
}

}  // namespace

planner::Plan placement_of(const Json& status) {
  if (status.value("schema", "") != "tandem.status/1") {
    throw Error("the daemon speaks of its status in another way", "use the tandem of its version");
  }
  planner::Plan plan;
  for (const Json& layer : status.at("layers")) plan.layers.push_back(layer_of(layer));
  for (const Json& device : status.at("devices")) add_device(plan, device);
  const Json& head = status.at("head");
  plan.head.device = named(planner::kDeviceNames, head.at("device"));
  plan.head.type = text_of(head, "type");
  plan.head.bytes = head.at("bytes");
  return plan;
}

std::string status_view(const Json& status, std::size_t max_requests, Ink ink) {
  const auto plan = placement_of(status);
  return heading(status) + "\n\n" + rates(status) + "\n" + memory(plan, status.at("devices"), ink) + "\n" +
         planner::layer_strip(plan, ink) + "\n" + requests(status.at("requests"), max_requests);
}

std::string clipped(std::string_view line, std::size_t columns) {
  std::string result;
  std::size_t used = 0;
  bool coloured = false;
  for (std::size_t i = 0; i < line.size();) {
    if (line[i] == '\x1b') {
      const auto end = std::min(line.find('m', i), line.size() - 1);
      result += line.substr(i, end + 1 - i);
      coloured = true;
      i = end + 1;
      continue;
    }
    if (used == columns) break;
    std::size_t end = i + 1;  // of a UTF-8 character
    while (end < line.size() && (static_cast<unsigned char>(line[end]) & 0xC0) == 0x80) ++end;
    result += line.substr(i, end - i);
    ++used;
    i = end;
  }
  return coloured ? result + "\x1b[0m" : result;
}

}  // namespace tandem::cli
