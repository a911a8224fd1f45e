#include "planner/activations.h"

#include <algorithm>

#include "planner/byte_count.h"

namespace tandem::planner {
namespace {

constexpr std::uint64_t kFloatBytes = 4;

std::uint64_t float_rows(std::uint64_t rows, std::uint64_t elems) {
  return (ByteCount(rows) * elems * kFloatBytes).aligned(kBufferAlignmentBytes).value();
}

std::uint64_t quantised_rows(std::uint64_t rows, std::uint64_t elems) {
  const auto blocks = (elems + kQuantisedBlockElems - 1) / kQuantisedBlockElems;
  return (ByteCount(rows) * blocks * kQuantisedBlockBytes).aligned(kBufferAlignmentBytes).value();
}

/// Whether rows that decode attend to parts of their keys at once: results of three parts or more find room
/// where Wo's product goes afterwards, each with two floats of its own.
bool cuts_keys(const ModelInput& model, const Workload& workload, const model::LayerSpec& layer) {
  constexpr std::uint64_t kFewestParts = 3;
  constexpr std::uint64_t kMostRows = 8;
  const auto part_floats = kMostRows * layer.heads * (std::uint64_t{layer.head_dim} + 2);
  return std::uint64_t{most_rows(workload).rows} * model.hyper.width >= kFewestParts * part_floats;
}

}  // namespace

void RowWidths::include(const ModelInput& model, UnitRef unit, Device device) noexcept {
  const auto width = model.hyper.width;
  if (unit.kind == UnitKind::head) {
    head_elems = width;
    head_quantised_elems = model.head.quantised_elems;
    return;
  }
  const auto& layer = model.hyper.layers[unit.layer];
  const auto& weights = model.layers[unit.layer];
  if (unit.kind == UnitKind::ffn) {
    ffn_input_elems = width;
    ffn_elems = std::max<std::uint64_t>(ffn_elems, layer.ffn_width);
    ffn_quantised_elems = std::max(ffn_quantised_elems, weights.ffn.quantised_elems);
    return;
  }
  attention_elems = width;
  attention_quantised_elems = std::max(attention_quantised_elems, weights.attention.quantised_elems);
  const auto kv_elems = std::uint64_t{layer.kv_heads} * layer.head_dim;
  q_elems = std::max(q_elems, std::uint64_t{layer.heads} * layer.head_dim);
  k_elems = std::max(k_elems, kv_elems);
  // The CPU makes V of K there where V has no projection of its own.
  if (layer.has_v || device == Device::cpu) v_elems = std::max(v_elems, kv_elems);
}

ActivationLayout activation_layout(const RowWidths& widths, RowCounts counts) {
  const auto [rows, ffn_rows, logit_rows] = counts;
  const auto of_halves =
      std::max(float_rows(rows, widths.attention_elems), float_rows(ffn_rows, widths.ffn_input_elems));
  ActivationLayout layout;
  layout.residual_bytes = std::max(of_halves, float_rows(rows, widths.head_elems));
  layout.normed_bytes = std::max(of_halves, float_rows(logit_rows, widths.head_elems));
  layout.projected_bytes = of_halves;
  layout.q_bytes = float_rows(rows, widths.q_elems);
  layout.k_bytes = float_rows(rows, widths.k_elems);
  layout.v_bytes = float_rows(rows, widths.v_elems);
  layout.attended_bytes = layout.q_bytes;
  layout.gate_bytes = float_rows(ffn_rows, widths.ffn_elems);
  layout.up_bytes = layout.gate_bytes;
  layout.quantised_bytes = std::max({quantised_rows(rows, widths.attention_quantised_elems),
                                     quantised_rows(ffn_rows, widths.ffn_quantised_elems),
                                     quantised_rows(logit_rows, widths.head_quantised_elems)});
  return layout;
}

ActivationLayout activation_layout(const ModelInput& model, std::span<const UnitRef> units, Device device,
                                   RowCounts counts) {
  RowWidths widths;
  for (const auto unit : units) widths.include(model, unit, device);
  return activation_layout(widths, counts);
}

std::uint64_t kv_row_elems(const model::LayerSpec& layer, KvLayout layout) noexcept {
  const auto vector_elems = std::uint64_t{layer.kv_heads} * layer.head_dim;
  switch (layout) {
    case KvLayout::separate:
      return 2 * vector_elems;
    case KvLayout::vector:
      return vector_elems;
    case KvLayout::vector_rotated:
      return vector_elems + vector_elems / 4;
  }
  return 0;
}

std::uint64_t kv_row_bytes(const model::LayerSpec& layer, KvLayout layout, KvType type) {
  const ByteCount elems = kv_row_elems(layer, layout);
  switch (type) {
    case KvType::f32:
      return (elems * 4).value();
    case KvType::f16:
      return (elems * 2).value();
    case KvType::q8_0:
      return (ByteCount(elems.value() / 32) * 34).value();
  }
  return 0;
}

std::uint64_t step_buffer_bytes(const StepCounts& counts) {
  constexpr std::uint64_t kNumberBytes = 4;
  const auto piece = [](std::uint64_t n, std::uint64_t bytes) {
    return (ByteCount(n) * bytes).aligned(kBufferAlignmentBytes);
  };
  const auto bytes = piece(counts.embedded_rows, kNumberBytes) + piece(counts.logit_rows, kNumberBytes) +
                     piece(counts.rows, kStepRowBytes) + piece(counts.pages, kNumberBytes);
  return bytes.value();
}

StepCounts most_step_counts(const Plan& plan) noexcept {
  const auto most = most_rows(plan.workload);
  const bool pages = std::ranges::any_of(plan.layers, [](const LayerPlan& layer) {
    return layer.kind == model::LayerKind::global && layer.attention_device != Device::cpu;
  });
  return {most.rows, plan.embedding.device == Device::cpu ? 0 : most.rows,
          plan.head.device == Device::cpu ? 0 : most.logit_rows, pages ? plan.kv_pages.pages : 0};
}

std::uint64_t load_buffer_bytes(std::uint64_t largest_tensor_bytes) {
  constexpr std::uint64_t kLeastBytes = 1024;  // a block of any type in each half
  const auto half = ByteCount(largest_tensor_bytes / 2).aligned(kBufferAlignmentBytes);
  return std::clamp(half.value(), kLeastBytes, kMostLoadBufferBytes);
}

std::uint64_t choice_bytes(std::uint64_t rows, std::uint64_t edits) {
  const auto counts = (ByteCount(rows) * sizeof(std::uint32_t)).aligned(kBufferAlignmentBytes);
  return (counts + ByteCount(rows) * kCandidatesBytes + ByteCount(edits) * kEditBytes).value();
}

std::uint64_t answer_mask_bytes(std::uint64_t vocab) {
  constexpr std::uint64_t kWordBits = 64;
  const auto words = (vocab + kWordBits - 1) / kWordBits;
  return (ByteCount(kAnswerMasks) * words * sizeof(std::uint64_t)).aligned(kBufferAlignmentBytes).value();
}

std::uint64_t recorded_steps(const Workload& workload) noexcept {
  constexpr std::uint64_t kMostRows = 8;
  constexpr std::uint64_t kSmallestContext = 256;
  const auto decoding = std::uint64_t{workload.sequences} * (std::uint64_t{workload.draft_rows} + 1);
  const auto most_rows = std::min({decoding, kMostRows, std::uint64_t{workload.micro_batch}});
  std::uint64_t steps = 1;
  for (std::uint64_t rows = 1; rows < most_rows; rows *= 2) ++steps;
  const auto rows_shapes = steps;
  for (auto context = kSmallestContext; context < workload.max_seq_len; context *= 2) steps += rows_shapes;
  return std::min(steps, kMostRecordedSteps);
}

std::uint64_t recorded_operations(const ModelInput& model, const Workload& workload, UnitRef half) noexcept {
  constexpr std::uint64_t kOfFfn = 5;        // gate, up, GeGLU, down, the next norm
  constexpr std::uint64_t kOfAttention = 7;  // Q, K, heads, attention, rows to the cache, Wo, the next norm
  if (half.kind == UnitKind::ffn) return kOfFfn;
  const auto& layer = model.hyper.layers[half.layer];
  auto operations = kOfAttention;
  if (layer.has_v) ++operations;
  if (workload.draft_rows > 0) ++operations;                                 // accepted ones to the cache
  if (model.layers[half.layer].attention.quantised_elems > 0) ++operations;  // what Wo takes as integers
  if (cuts_keys(model, workload, layer)) ++operations;                       // the parts' results become one
  return operations;
}

}  // namespace tandem::planner
