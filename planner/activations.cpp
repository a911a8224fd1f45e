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

}  // namespace

void RowWidths::include(const model::Hyperparameters& hyper, UnitRef unit) noexcept {
  residual_elems = hyper.width;
  if (unit.kind == UnitKind::head) return;
  const auto& layer = hyper.layers[unit.layer];
  if (unit.kind == UnitKind::ffn) {
    ffn_elems = std::max<std::uint64_t>(ffn_elems, layer.ffn_width);
    return;
  }
  q_elems = std::max(q_elems, std::uint64_t{layer.heads} * layer.head_dim);
  kv_elems = std::max(kv_elems, std::uint64_t{layer.kv_heads} * layer.head_dim);
}

ActivationLayout activation_layout(const RowWidths& widths, std::uint32_t micro_batch) {
  const auto longest = std::max({widths.residual_elems, widths.q_elems, widths.ffn_elems});
  ActivationLayout layout;
  layout.residual_bytes = float_rows(micro_batch, widths.residual_elems);
  layout.normed_bytes = layout.residual_bytes;
  layout.projected_bytes = layout.residual_bytes;
  layout.q_bytes = float_rows(micro_batch, widths.q_elems);
  layout.k_bytes = float_rows(micro_batch, widths.kv_elems);
  layout.v_bytes = layout.k_bytes;
  layout.attended_bytes = layout.q_bytes;
  layout.gate_bytes = float_rows(micro_batch, widths.ffn_elems);
  layout.up_bytes = layout.gate_bytes;
  layout.quantised_bytes = quantised_rows(micro_batch, longest);
  return layout;
}

ActivationLayout activation_layout(const model::Hyperparameters& hyper, std::span<const UnitRef> units,
                                   std::uint32_t micro_batch) {
  RowWidths widths;
  for (const auto unit : units) widths.include(hyper, unit);
  return activation_layout(widths, micro_batch);
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

std::uint64_t step_buffer_bytes(std::uint32_t micro_batch, std::uint64_t pages) {
  constexpr std::uint64_t kRowBytes = 80;
  constexpr std::uint64_t kPageBytes = 4;
  constexpr std::uint64_t kPiecesBytes = 512;
  return (ByteCount(micro_batch) * kRowBytes + ByteCount(pages) * kPageBytes + kPiecesBytes)
      .aligned(kBufferAlignmentBytes)
      .value();
}

std::uint32_t chunk_rows(std::uint32_t micro_batch, std::uint32_t sequences) noexcept {
  constexpr std::uint32_t kTileRows = 32;  // matrix kernels work in such tiles
  const auto beside_decode = micro_batch - sequences + 1;
  return beside_decode < kTileRows ? beside_decode : beside_decode / kTileRows * kTileRows;
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

std::uint32_t logit_rows(const Workload& workload) noexcept {
  const auto newest = std::uint64_t{workload.sequences} * (std::uint64_t{workload.draft_rows} + 1);
  const auto wanted = std::max<std::uint64_t>(newest, 8);
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(wanted, workload.micro_batch));
}

}  // namespace tandem::planner
