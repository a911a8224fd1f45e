#include "planner/place.h"

#include <algorithm>
#include <utility>

#include "planner/cost.h"
#include "planner/footprint.h"

namespace tandem::planner {
namespace {

struct Order {
  std::string rule;
  std::vector<UnitRef> units;
};

/// The halves of all layers from the last one, in the way `append` adds a layer's units.
template <typename Append>
std::vector<UnitRef> from_last_layer(std::size_t layers, Append append) {
  std::vector<UnitRef> units;
  for (auto layer = static_cast<std::uint32_t>(layers); layer-- > 0;) append(units, layer);
  return units;
}

std::vector<Order> orders_of(std::size_t layers) {
  const auto attention = from_last_layer(layers, [](auto& units, std::uint32_t layer) {
    units.push_back({UnitKind::attention, layer});
  });
  const auto ffn = from_last_layer(layers, [](auto& units, std::uint32_t layer) {
    units.push_back({UnitKind::ffn, layer});
  });
  const auto whole = from_last_layer(layers, [](auto& units, std::uint32_t layer) {
    units.push_back({UnitKind::ffn, layer});
    units.push_back({UnitKind::attention, layer});
  });
  const auto joined = [](std::vector<UnitRef> first, const std::vector<UnitRef>& second) {
    first.insert(first.end(), second.begin(), second.end());
    return first;
  };
  const std::vector<UnitRef> head{{UnitKind::head, 0}};

  const std::vector<Order> without_head{{"whole layers", whole},
                                        {"attention, FFN", joined(attention, ffn)},
                                        {"FFN, attention", joined(ffn, attention)}};
  std::vector<Order> orders;
  for (const auto& order : without_head) {
    orders.push_back({"head, " + order.rule, joined(head, order.units)});
    orders.push_back({order.rule + ", head", joined(order.units, head)});
  }
  return orders;
}

class Filler {
 public:
  Filler(const ModelInput& model, const Budget& budget, const Workload& workload,
         const MachineProfile& machine, Device gpu)
      : model_(model), budget_(budget), workload_(workload), machine_(machine), gpu_(gpu) {}

  /// Moves each unit of `order` to the GPU that fits beside those before it.
  [[nodiscard]] Candidate fill(const Order& order) const {
    auto placement = Placement::all_on(Device::cpu, model_.layers.size());
    DeviceLoad load(model_, workload_, gpu_);
    const auto fixed = gpu_fixed_bytes(gpu_, budget_, machine_);
    for (const auto unit : order.units) {
      auto grown = load;
      grown.add(unit);
      if (fixed + grown.total() > budget_.vram_bytes) continue;
      load = grown;
      placement.move(unit, gpu_);
    }
    return finished(std::move(placement), order.rule);
  }

 private:
  [[nodiscard]] Candidate finished(Placement placement, const std::string& rule) const {
    const auto decode_us =
        milliseconds(
            step_time(model_, workload_.kv_type, machine_, placement, decode_step(workload_)).serial_ps()) *
        1000;
    const auto ram_bytes = footprint(model_, budget_, workload_, machine_, placement).ram_bytes;
    return {std::move(placement), rule, decode_us, ram_bytes};
  }

  const ModelInput& model_;
  const Budget& budget_;
  const Workload& workload_;
  const MachineProfile& machine_;
  Device gpu_;
};

}  // namespace

std::vector<Candidate> place(const ModelInput& model, const Budget& budget, const Workload& workload,
                             const MachineProfile& machine, Device gpu) {
  const Filler filler(model, budget, workload, machine, gpu);
  const auto everything = Placement::all_on(gpu, model.layers.size());
  std::vector<Candidate> candidates;
  for (const auto& order : orders_of(model.layers.size())) {
    candidates.push_back(filler.fill(order));
    if (candidates.back().placement == everything) return {candidates.back()};
  }
  std::ranges::stable_sort(candidates, {}, &Candidate::decode_us);
  const auto within = [&budget](const Candidate& candidate) {
    return candidate.ram_bytes <= budget.ram_bytes;
  };
  auto best = std::ranges::find_if(candidates, within);
  if (best == candidates.end()) best = std::ranges::min_element(candidates, {}, &Candidate::ram_bytes);
  std::rotate(candidates.begin(), best, best + 1);
  return candidates;
}

}  // namespace tandem::planner
