#include "planner/search_space.h"

#include <algorithm>
#include <tuple>

#include "planner/footprint.h"
#include "planner/gpu_rules.h"
#include "planner/streaming.h"

namespace tandem::planner {
namespace {

/// More sorts than any model of these families has: 3^5 cases are still quick to go through.
constexpr std::size_t kMaxSorts = 5;

/// Units of a sort need the same buffers, and a GPU can run all of them or none.
using SortKey = std::tuple<UnitKind, model::LayerKind, std::uint64_t, std::uint64_t, std::uint64_t, bool,
                           std::uint64_t, std::uint64_t, bool, bool>;

class Builder {
 public:
  Builder(const ModelInput& model, const Budget& budget, const Workload& workload,
          const MachineProfile& machine, Device gpu)
      : model_(model),
        budget_(budget),
        workload_(workload),
        machine_(machine),
        gpu_(gpu),
        streams_(may_stream(workload)) {}

  SearchSpace build(std::optional<Device> head) {
    space_.gpu = gpu_;
    space_.ram_budget_bytes = budget_.ram_bytes;
    space_.tied = model_.embedding.bytes == 0;
    space_.ram_may_bind = most_ram() > budget_.ram_bytes;
    for (const auto unit : all_units(model_.layers.size())) {
      if (unit.kind != UnitKind::head) space_.units.push_back(unit_bytes(unit));
    }
    if (sorts_.size() > kMaxSorts) merge_sorts();
    add_few_crossings(head);
    for (const auto side : {kOnGpu, kOnCpu}) {
      const auto device = side == kOnCpu ? Device::cpu : gpu_;
      const bool may_be_there = side == kOnCpu || may_be_on_gpu(model_, {UnitKind::head, 0});
      if (may_be_there && (!head || *head == device)) add_cases(side, std::vector<std::array<bool, 2>>());
    }
    return std::move(space_);
  }

 private:
  /// What a unit on the GPU needs the CPU to load it through, where that counts.
  [[nodiscard]] std::uint64_t pinned_share(UnitRef unit) const {
    return space_.ram_may_bind ? load_buffer_bytes(weights_of(model_, unit).largest_tensor_bytes) : 0;
  }

  [[nodiscard]] SortKey sort_of(UnitRef unit) const {
    const auto& layer = model_.hyper.layers[unit.layer];
    const auto& weights = model_.layers[unit.layer];
    if (unit.kind == UnitKind::ffn) {
      return {unit.kind, model::LayerKind::global,    layer.ffn_width,    0,     0,
              false,     weights.ffn.quantised_elems, pinned_share(unit), false, may_be_on_gpu(model_, unit)};
    }
    return {unit.kind,
            layer.kind,
            std::uint64_t{layer.heads} * layer.head_dim,
            std::uint64_t{layer.kv_heads} * layer.head_dim,
            kv_row_bytes(layer, kv_layout(layer), workload_.kv_type),
            layer.has_v,
            weights.attention.quantised_elems,
            pinned_share(unit),
            !follows_the_gpu(unit),
            may_be_on_gpu(model_, unit)};
  }

  UnitBytes unit_bytes(UnitRef unit) {
    const auto key = sort_of(unit);
    auto sort = std::ranges::find(sort_keys_, key);
    if (sort == sort_keys_.end()) {
      sort = sort_keys_.insert(sort, key);
      sorts_.push_back({unit});
    }
    DeviceLoad on_gpu(model_, workload_, gpu_);
    DeviceLoad on_cpu(model_, workload_, Device::cpu);
    on_gpu.add(unit);
    on_cpu.add(unit);
    UnitBytes bytes;
    bytes.unit = unit;
    bytes.sort = static_cast<std::uint32_t>(sort - sort_keys_.begin());
    bytes.vram_bytes = (on_gpu.own() + on_gpu.drafts()).value();
    bytes.ram_bytes = on_cpu.own().value();
    const auto drafts = on_cpu.drafts().value();
    (drafts % kBufferAlignmentBytes == 0 ? bytes.ram_bytes : bytes.drafts_bytes) += drafts;
    return bytes;
  }

  /// Into what a GPU can run and what it cannot.
  void merge_sorts() {
    space_.exact = false;
    sorts_.assign(2, {});
    for (auto& unit : space_.units) {
      unit.sort = may_be_on_gpu(model_, unit.unit) ? 0 : 1;
      sorts_[unit.sort].push_back(unit.unit);
    }
  }

  [[nodiscard]] bool only_on_cpu(std::size_t sort) const {
    return std::ranges::none_of(sorts_[sort], [this](UnitRef unit) { return may_be_on_gpu(model_, unit); });
  }

  /// Everything on one device; and, where the CPU gathers rows of an embedding of its own, first units there
  /// and last ones on the GPU.
  void add_few_crossings(std::optional<Device> head) {
    const auto layers = model_.layers.size();
    auto placement = Placement::all_on(Device::cpu, layers);
    if (!head || *head == Device::cpu) space_.few_crossings.push_back(placement);
    if (head == Device::cpu) return;
    if (space_.tied) {
      const auto most = most_on(gpu_, model_);
      if (most == Placement::all_on(gpu_, layers)) space_.few_crossings.push_back(most);
      return;
    }
    auto units = all_units(layers);
    for (std::ranges::reverse(units); const auto unit : units) {
      if (!may_be_on_gpu(model_, unit)) return;
      placement.move(unit, gpu_);
      space_.few_crossings.push_back(placement);
    }
  }

  [[nodiscard]] ByteCount most_ram() const {
    const auto placement = Placement::all_on(Device::cpu, model_.layers.size());
    DeviceLoad on_gpu(model_, workload_, gpu_);
    for (const auto unit : all_units(model_.layers.size())) on_gpu.add(unit);
    return ByteCount(footprint(model_, budget_, workload_, machine_, placement).ram_bytes) +
           on_gpu.pinned(most_crossing_rows());
  }

  [[nodiscard]] bool has_ffn(std::size_t sort) const {
    return std::ranges::find(sorts_[sort], UnitKind::ffn, &UnitRef::kind) != sorts_[sort].end();
  }

  /// An attention half on the CPU gets streamed rows back from the GPU, unless it comes right after an
  /// embedding of the CPU's own; which counts where RAM does.
  [[nodiscard]] bool follows_the_gpu(UnitRef attention) const {
    return attention.layer > 0 || space_.tied || !streams_ || !space_.ram_may_bind;
  }

  [[nodiscard]] Directions<std::uint32_t> most_crossing_rows() const {
    const auto rows = most_rows(workload_).rows;
    return {rows, rows};
  }

  /// Of placements with rows that cross both ways, and where weights are streamed if they may be.
  [[nodiscard]] Directions<std::uint32_t> crossing_rows(
      std::size_t head, const std::vector<std::array<bool, 2>>& allowed) const {
    if (!streams(allowed)) return most_crossing_rows();
    bool to_gpu = space_.embedding(head) == kOnCpu;
    bool to_cpu = head == kOnCpu;
    for (std::size_t sort = 0; sort < sorts_.size(); ++sort) {
      if (!allowed[sort][kOnCpu]) continue;
      for (const auto unit : sorts_[sort]) {
        to_gpu = to_gpu || unit.kind == UnitKind::attention;
        to_cpu = to_cpu || (unit.kind == UnitKind::attention && follows_the_gpu(unit));
      }
    }
    const auto most = most_rows_beside_streams(workload_);
    return {to_gpu ? most.rows : most.ffn_rows, to_cpu ? most.rows : most.ffn_rows};
  }

  /// Some FFN half may be on the CPU, to be streamed from there.
  [[nodiscard]] bool streams(const std::vector<std::array<bool, 2>>& allowed) const {
    for (std::size_t sort = 0; sort < sorts_.size(); ++sort) {
      if (streams_ && allowed[sort][kOnCpu] && has_ffn(sort)) return true;
    }
    return false;
  }

  /// All ways to allow each sort on one device or on both, where both can run it.
  void add_cases(std::size_t head, std::vector<std::array<bool, 2>> allowed) {
    if (allowed.size() == sorts_.size()) {
      add_case(head, std::move(allowed));
      return;
    }
    const bool both = !only_on_cpu(allowed.size());
    allowed.push_back({true, both});
    add_cases(head, allowed);
    if (!both) return;
    allowed.back() = {true, false};
    add_cases(head, allowed);
    allowed.back() = {false, true};
    // What the CPU has matters to its own buffers, and to those that its FFN halves are streamed through.
    const bool matters = space_.ram_may_bind || (streams_ && has_ffn(allowed.size() - 1));
    if (matters) add_cases(head, allowed);
  }

  /// Units of the sorts that may be on `side`, one of each.
  [[nodiscard]] DeviceLoad load_of(std::size_t side, std::size_t head,
                                   const std::vector<std::array<bool, 2>>& allowed) const {
    DeviceLoad load(model_, workload_, side == kOnCpu ? Device::cpu : gpu_);
    for (std::size_t sort = 0; sort < sorts_.size(); ++sort) {
      if (!allowed[sort][side]) continue;
      for (const auto unit : sorts_[sort]) load.add(unit);
    }
    if (head == side) load.add({UnitKind::head, 0});
    if (!streams(allowed)) return load;
    if (side == kOnCpu) load.lie_beside_streams();
    if (side == kOnCpu || load.idle()) return load;
    for (std::size_t sort = 0; sort < sorts_.size(); ++sort) {
      if (!allowed[sort][kOnCpu]) continue;
      for (const auto unit : sorts_[sort]) {
        if (unit.kind == UnitKind::ffn) load.stream(unit);
      }
    }
    return load;
  }

  void add_case(std::size_t head, std::vector<std::array<bool, 2>> allowed) {
    const auto on_gpu = load_of(kOnGpu, head, allowed);
    if (on_gpu.idle()) return;
    const auto vram = gpu_fixed_bytes(gpu_, budget_, machine_) + on_gpu.shared() + on_gpu.head();
    const auto on_cpu = load_of(kOnCpu, head, allowed);
    auto ram = on_cpu.shared() + on_cpu.head() + model_.embedding.bytes + budget_.ram_reserve_bytes +
               on_gpu.pinned(crossing_rows(head, allowed));
    ram += mask_bytes(model_, workload_);
    if (head == kOnGpu) ram += logit_bytes(model_, workload_);
    if (vram > budget_.vram_bytes) return;
    SearchCase added;
    added.head = head;
    // All but draft rows is aligned on the GPU, so aligning their sum is aligning the whole.
    added.vram_limit_bytes =
        (budget_.vram_bytes - vram.value()) / kBufferAlignmentBytes * kBufferAlignmentBytes;
    added.ram_fixed_bytes = ram.value();
    added.needs_gpu = streams(allowed);
    added.allowed = std::move(allowed);
    space_.cases.push_back(std::move(added));
  }

  const ModelInput& model_;
  const Budget& budget_;
  const Workload& workload_;
  const MachineProfile& machine_;
  Device gpu_;
  bool streams_;
  SearchSpace space_;
  std::vector<SortKey> sort_keys_;
  std::vector<std::vector<UnitRef>> sorts_;  ///< units that stand for each
};

}  // namespace

SearchSpace search_space(const ModelInput& model, const Budget& budget, const Workload& workload,
                         const MachineProfile& machine, Device gpu, std::optional<Device> head) {
  return Builder(model, budget, workload, machine, gpu).build(head);
}

Placement placement_of(const SearchSpace& space, std::size_t head, const std::vector<std::uint8_t>& sides) {
  auto placement = Placement::all_on(Device::cpu, space.units.size() / 2);
  for (std::size_t i = 0; i < sides.size(); ++i) {
    if (sides[i] == kOnGpu) placement.move(space.units[i].unit, space.gpu);
  }
  if (head == kOnGpu) placement.head = space.gpu;
  return placement;
}

void StepCosts::add(const StepCosts& other) {
  for (const auto side : {kOnCpu, kOnGpu}) {
    for (std::size_t i = 0; i < unit_ps.size(); ++i) unit_ps[i][side] += other.unit_ps[i][side];
    head_ps[side] += other.head_ps[side];
    stage_ps[side] += other.stage_ps[side];
  }
  crossing_ps += other.crossing_ps;
}

StepCosts step_costs(const ModelInput& model, const Workload& workload, const MachineProfile& machine,
                     Device gpu, StepShape step, Picoseconds parts) {
  const auto both = [&](UnitRef unit) {
    return std::array{unit_ps(model, workload.kv_type, machine, Device::cpu, unit, step) / parts,
                      unit_ps(model, workload.kv_type, machine, gpu, unit, step) / parts};
  };
  StepCosts costs;
  for (const auto unit : all_units(model.layers.size())) {
    if (unit.kind == UnitKind::head) {
      costs.head_ps = both(unit);
    } else {
      costs.unit_ps.push_back(both(unit));
    }
  }
  costs.stage_ps = {stage_ps(machine, Device::cpu) / parts, stage_ps(machine, gpu) / parts};
  costs.crossing_ps = crossing_ps(model, machine, step) / parts;
  return costs;
}

StepCosts streamed_costs(const ModelInput& model, const Workload& workload, const MachineProfile& machine,
                         Device gpu, std::size_t head, Picoseconds parts) {
  const auto step = prefill_step(workload);
  auto costs = step_costs(model, workload, machine, gpu, step, parts);
  const auto cpu_entry = costs.crossing_ps + costs.stage_ps[kOnCpu];
  const auto gpu_entry = costs.crossing_ps + costs.stage_ps[kOnGpu];
  for (std::uint32_t i = 0; i < model.layers.size(); ++i) {
    auto& attention_ps = costs.unit_ps[2 * std::size_t{i}];
    auto& ffn_ps = costs.unit_ps[2 * std::size_t{i} + 1];
    if (i > 0) attention_ps[kOnCpu] += cpu_entry + gpu_entry;
    ffn_ps[kOnCpu] = streamed_ps(model, workload.kv_type, machine, gpu, i, step) / parts;
  }
  const bool begins_on_gpu = model.embedding.bytes == 0 && head == kOnGpu;
  auto& first_ps = costs.unit_ps.front();
  first_ps[kOnCpu] += gpu_entry + (begins_on_gpu ? cpu_entry : costs.stage_ps[kOnCpu]);
  first_ps[kOnGpu] += begins_on_gpu ? costs.stage_ps[kOnGpu] : gpu_entry;
  costs.head_ps[kOnCpu] += cpu_entry;
  costs.stage_ps = {};
  costs.crossing_ps = 0;
  costs.needs_gpu = true;
  return costs;
}

}  // namespace tandem::planner
