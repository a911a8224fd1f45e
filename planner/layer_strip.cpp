#include "planner/layer_strip.h"

#include <algorithm>

#include "planner/columns.h"
#include "planner/names.h"
#include "planner/plan_consistency.h"
#include "planner/size_text.h"
#include "planner/streaming.h"

namespace tandem::planner {
namespace {

constexpr std::size_t kStripLabelColumns = 12;
constexpr char kStreamedLetter = ':';

std::string label(const std::string& text) {
  return padded_right(text, kStripLabelColumns);
}

std::string cell(Style style, Ink ink) {
  return painted(std::string(1, style.letter), style, ink);
}

/// FFN halves on the CPU whose weights prompts stream to the GPU.
bool streams_some(const Plan& plan) {
  return !streamed_units(plan.workload, placement_of(plan)).empty();
}

Style ffn_style(const LayerPlan& layer, bool streams) {
  auto style = style_of(layer.ffn_device);
  if (layer.ffn_device == Device::cpu && streams) style.letter = kStreamedLetter;
  if (layer.ffn_gpu_rows > 0) style.letter = '+';
  return style;
}

std::string legend(const Plan& plan, Ink ink) {
  const auto gpu = cell(style_of(Device::cuda0), ink);
  const auto cpu = cell(style_of(Device::cpu), ink);
  auto text = label("") + gpu + " GPU  " + cpu + " CPU  ";
  auto streamed = style_of(Device::cpu);
  streamed.letter = kStreamedLetter;
  if (streams_some(plan)) text += cell(streamed, ink) + " CPU, streamed  ";
  text += "G global  s sliding  ";
  const bool is_shared =
      std::ranges::any_of(plan.layers, [](const LayerPlan& layer) { return layer.ffn_gpu_rows > 0; });
  if (is_shared) text += "+ shared\n" + label("");
  return text + "KV: 9 is " + short_size(largest_layer_kv_bytes(plan)) + "\n";
}

}  // namespace

int kv_level(std::uint64_t kv_bytes, std::uint64_t largest_bytes) noexcept {
  if (kv_bytes == 0 || largest_bytes == 0) return 0;
  const auto share = static_cast<double>(kv_bytes) / static_cast<double>(largest_bytes);
  return std::clamp(static_cast<int>(share * 9 + 0.999999), 1, 9);
}

std::uint64_t largest_layer_kv_bytes(const Plan& plan) noexcept {
  const auto largest = std::ranges::max_element(plan.layers, {}, &LayerPlan::kv_bytes);
  return largest == plan.layers.end() ? 0 : largest->kv_bytes;
}

std::string layer_strip(const Plan& plan, Ink ink) {
  constexpr std::size_t kLayersPerLine = kColumns - kStripLabelColumns;
  const auto largest_kv_bytes = largest_layer_kv_bytes(plan);
  const bool streams = streams_some(plan);
  std::string text;
  for (std::size_t first = 0; first < plan.layers.size(); first += kLayersPerLine) {
    const auto last = std::min(first + kLayersPerLine, plan.layers.size());
    auto kinds = label("layers");
    auto attention = label("  attention");
    auto ffn = label("  FFN");
    auto kv = label("  KV");
    for (auto i = first; i < last; ++i) {
      const auto& layer = plan.layers[i];
      kinds += layer.kind == model::LayerKind::global ? 'G' : 's';
      attention += cell(style_of(layer.attention_device), ink);
      ffn += cell(ffn_style(layer, streams), ink);
      kv += cell(style_of_level(kv_level(layer.kv_bytes, largest_kv_bytes)), ink);
    }
    for (const auto& row : {kinds, attention, ffn, kv}) text.append(row).append("\n");
  }
  text += label("  head") + cell(style_of(plan.head.device), ink) + "  " + plan.head.type + "\n";
  return text + legend(plan, ink);
}

}  // namespace tandem::planner
