#include "planner/repacking.h"

#include <algorithm>
#include <utility>

#include "planner/head_type.h"
#include "planner/streaming.h"

namespace tandem::planner {

bool can_be_repacked(std::uint64_t in, std::uint64_t out) noexcept {
  constexpr std::uint64_t kColumnsTogether = 256;
  constexpr std::uint64_t kRowsTogether = 16;
  return in > 0 && in % kColumnsTogether == 0 && out % kRowsTogether == 0;
}

CpuMatrices cpu_matrices(const Plan& plan, const ModelInput& model) {
  const auto streamed = streamed_units(plan);
  CpuMatrices matrices;
  for (const auto unit : units_on(plan, Device::cpu)) {
    const auto& weights = weights_of(model, unit);
    const bool is_streamed = std::ranges::find(streamed, unit) != streamed.end();
    auto& bytes = plan.workload.cpu_weights == CpuWeights::mapped ? matrices.mapped_bytes
                  : is_streamed                                   ? matrices.streamed_bytes
                                                                  : matrices.repacked_bytes;
    bytes += weights.repackable_bytes;
    matrices.other_bytes += weights.matrix_bytes - weights.repackable_bytes;
  }
  return matrices;
}

ModelInput as_loaded(ModelInput file, const Workload& workload) {
  auto model = with_head_type(std::move(file), workload.head_type);
  const bool mapped = workload.cpu_weights == CpuWeights::mapped;
  model.head.mapped = mapped;
  for (auto& layer : model.layers) {
    layer.attention.mapped = mapped;
    layer.ffn.mapped = mapped || may_stream(workload);
  }
  return model;
}

}  // namespace tandem::planner
