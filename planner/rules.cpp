#include "planner/rules.h"

#include <utility>

#include "planner/footprint.h"
#include "planner/gpu_rules.h"
#include "planner/streaming.h"

namespace tandem::planner {
namespace {

/// The halves of a layer in the order they are taken, for each pass over the layers from the last one.
using Passes = std::vector<std::vector<UnitKind>>;

class Filler {
 public:
  Filler(const ModelInput& model, const Budget& budget, const Workload& workload,
         const MachineProfile& machine, Device gpu)
      : budget_(budget),
        workload_(workload),
        fixed_(gpu_fixed_bytes(gpu, budget, machine)),
        model_(model),
        gpu_(gpu),
        load_(model, workload, gpu),
        placement_(Placement::all_on(Device::cpu, model.layers.size())) {}

  Placement fill(const Passes& passes) && {
    take({UnitKind::head, 0});
    for (const auto& pass : passes) {
      for (auto layer = static_cast<std::uint32_t>(placement_.ffn.size()); layer-- > 0;) {
        for (const auto kind : pass) take({kind, layer});
      }
    }
    return std::move(placement_);
  }

 private:
  void take(UnitRef unit) {
    if (!may_be_on_gpu(model_, unit)) return;
    auto grown = load_;
    grown.add(unit);
    auto placement = placement_;
    placement.move(unit, gpu_);
    auto streaming = grown;
    for (const auto streamed : streamed_units(workload_, placement)) streaming.stream(streamed);
    const auto bytes =
        fixed_ + grown.own() + grown.drafts().aligned(kBufferAlignmentBytes) + streaming.shared();
    if (bytes > budget_.vram_bytes) return;
    load_ = grown;
    placement_ = std::move(placement);
  }

  const Budget& budget_;
  const Workload& workload_;
  ByteCount fixed_;
  const ModelInput& model_;
  Device gpu_;
  DeviceLoad load_;
  Placement placement_;
};

}  // namespace

std::vector<RuledPlacement> rules_of_thumb(const ModelInput& model, const Budget& budget,
                                           const Workload& workload, const MachineProfile& machine,
                                           Device gpu) {
  const std::vector<std::pair<std::string, Passes>> rules{
      {"whole layers, the last ones first", {{UnitKind::ffn, UnitKind::attention}}},
      {"attention halves first", {{UnitKind::attention}, {UnitKind::ffn}}},
      {"FFN halves first", {{UnitKind::ffn}, {UnitKind::attention}}}};
  std::vector<RuledPlacement> placements;
  for (const auto& [rule, passes] : rules) {
    auto placement = Filler(model, budget, workload, machine, gpu).fill(passes);
    const auto bytes = footprint(model, budget, workload, machine, placement);
    if (bytes.ram_bytes <= budget.ram_bytes) placements.push_back({rule, std::move(placement)});
  }
  return placements;
}

}  // namespace tandem::planner
