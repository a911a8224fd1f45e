#include "memory/kv_cache.h"

namespace tandem::memory {
namespace {

device::KvType to_device(planner::KvType type) noexcept {
  switch (type) {
    case planner::KvType::f32:
      return device::KvType::f32;
    case planner::KvType::f16:
      return device::KvType::f16;
    case planner::KvType::q8_0:
      break;
  }
  return device::KvType::q8_0;
}

device::KvLayout to_device(planner::KvLayout layout) noexcept {
  switch (layout) {
    case planner::KvLayout::separate:
      return device::KvLayout::separate;
    case planner::KvLayout::vector:
      return device::KvLayout::vector;
    case planner::KvLayout::vector_rotated:
      break;
  }
  return device::KvLayout::vector_rotated;
}

}  // namespace

device::KvCache take_kv(Arena& arena, const planner::Plan& plan, const planner::LayerPlan& layer) {
  const bool sliding = layer.kind == model::LayerKind::sliding;
  const auto rows =
      sliding ? plan.workload.sequences * layer.kv_cells : plan.kv_pages.pages * plan.kv_pages.page_tok;
  device::KvCache kv;
  kv.row_bytes = layer.kv_bytes / layer.kv_cells;
  kv.rows = arena.take(rows * kv.row_bytes).data();
  kv.type = to_device(plan.workload.kv_type);
  kv.layout = to_device(layer.kv_layout);
  kv.cells = sliding ? static_cast<std::uint32_t>(layer.kv_cells) : 0;
  kv.page_tok = sliding ? 0 : plan.kv_pages.page_tok;
  return kv;
}

}  // namespace tandem::memory
