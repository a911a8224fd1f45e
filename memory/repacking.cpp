#include "memory/repacking.h"

#include <algorithm>
#include <array>

#include "model/tensor_names.h"
#include "planner/streaming.h"

namespace tandem::memory {
namespace {

using planner::Device;

constexpr std::array kAttentionStems{"attn_q", "attn_k", "attn_v", "attn_output"};
constexpr std::array kFfnStems{"ffn_gate", "ffn_up", "ffn_down"};

/// Adds tensor `name` if it is there and is repacked.
void add(std::vector<RepackedTensor>& tensors, const WeightStore& store, const device::Repacker& repacker,
         const std::string& name) {
  if (!store.contains(name)) return;
  const auto shape = store.shape(name);
  if (repacker.repacks(shape.type, shape.in, shape.out)) tensors.push_back({name, store.size_bytes(name)});
}

}  // namespace

std::vector<RepackedTensor> repacked_weights(const planner::Plan& plan, const WeightStore& store,
                                             const device::Repacker* repacker) {
  std::vector<RepackedTensor> tensors;
  if (repacker == nullptr || plan.workload.cpu_weights == planner::CpuWeights::mapped) return tensors;
  const auto streamed = planner::streamed_units(plan);
  for (const auto unit : planner::units_on(plan, Device::cpu)) {
    if (unit.kind == planner::UnitKind::head || std::ranges::find(streamed, unit) != streamed.end()) continue;
    const auto add_all = [&](const auto& stems) {
      for (const auto* stem : stems) add(tensors, store, *repacker, model::layer_tensor(unit.layer, stem));
    };
    if (unit.kind == planner::UnitKind::attention) {
      add_all(kAttentionStems);
    } else {
      add_all(kFfnStems);
    }
  }
  std::stable_partition(tensors.begin(), tensors.end(), [](const RepackedTensor& tensor) {
    return tensor.bytes % planner::kBufferAlignmentBytes == 0;
  });
  return tensors;
}

std::vector<RepackedTensor> repacked_head(const planner::Plan& plan, const WeightStore& store,
                                          const device::Repacker* repacker) {
  std::vector<RepackedTensor> tensors;
  if (repacker == nullptr || plan.workload.cpu_weights == planner::CpuWeights::mapped) return tensors;
  if (plan.head.device != Device::cpu || plan.head.type != plan.head.file_type) return tensors;
  const bool tied = !store.contains(model::kOutput);
  add(tensors, store, *repacker, std::string(tied ? model::kTokenEmbedding : model::kOutput));
  return tensors;
}

std::uint64_t total_bytes(const std::vector<RepackedTensor>& tensors) noexcept {
  std::uint64_t bytes = 0;
  for (const auto& tensor : tensors) bytes += tensor.bytes;
  return bytes;
}

}  // namespace tandem::memory
