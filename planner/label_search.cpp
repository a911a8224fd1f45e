#include "planner/label_search.h"

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

namespace tandem::planner {
namespace {

/// What labels are compared by; what can no longer matter is 0.  Time comes last, so that labels that differ
/// in nothing else are neighbours once sorted.
struct Rank {
  std::uint64_t vram_bytes = 0;
  std::uint64_t ram_bytes = 0;
  std::uint64_t drafts_bytes = 0;
  bool lacks_gpu = false;
  Picoseconds cpu_ps = 0;
  Picoseconds gpu_ps = 0;
  Picoseconds serial_ps = 0;

  /// In the order in which labels are compared.
  [[nodiscard]] auto values() const noexcept {
    return std::tie(vram_bytes, ram_bytes, drafts_bytes, lacks_gpu, cpu_ps, gpu_ps, serial_ps);
  }

  /// No more of anything.
  [[nodiscard]] bool dominates(const Rank& other) const noexcept {
    return vram_bytes <= other.vram_bytes && ram_bytes <= other.ram_bytes &&
           drafts_bytes <= other.drafts_bytes && lacks_gpu <= other.lacks_gpu && cpu_ps <= other.cpu_ps &&
           gpu_ps <= other.gpu_ps && serial_ps <= other.serial_ps;
  }

  void lower_to(const Rank& other) noexcept {
    vram_bytes = std::min(vram_bytes, other.vram_bytes);
    ram_bytes = std::min(ram_bytes, other.ram_bytes);
    drafts_bytes = std::min(drafts_bytes, other.drafts_bytes);
    lacks_gpu = lacks_gpu && other.lacks_gpu;
    cpu_ps = std::min(cpu_ps, other.cpu_ps);
    gpu_ps = std::min(gpu_ps, other.gpu_ps);
    serial_ps = std::min(serial_ps, other.serial_ps);
  }
};

/// Labels are kept in blocks of so many; a block whose least values dominate nothing is passed over.  Only
/// the latest blocks are looked at: labels that dominate another are rarely far from it in order, and to keep
/// one too many costs less than to compare all.
constexpr std::size_t kBlock = 32;
constexpr std::size_t kBlocks = 4;

struct Label {
  Spent spent;
  Rank rank{};
  std::uint32_t parent = 0;  ///< index into the labels of the step before, on `parent_side`
  std::uint8_t parent_side = 0;
};

/// Where a kept label came from.
struct Origin {
  std::uint32_t parent;
  std::uint8_t parent_side;
};

/// Labels none of which takes no less of anything than another.
class Front {
 public:
  /// Takes `label` unless one that is here dominates it.  Labels come in the order of their ranks.
  void offer(const Label& label) {
    if (is_dominated(label.rank)) return;
    if (labels_.size() % kBlock == 0) {
      least_.push_back(label.rank);
    } else {
      least_.back().lower_to(label.rank);
    }
    labels_.push_back(label);
  }

  std::vector<Label> take() && { return std::move(labels_); }

 private:
  [[nodiscard]] bool is_dominated(const Rank& rank) const {
    const auto oldest = least_.size() - std::min(kBlocks, least_.size());
    for (auto block = least_.size(); block-- > oldest;) {
      if (!least_[block].dominates(rank)) continue;
      const auto first = labels_.begin() + static_cast<std::ptrdiff_t>(block * kBlock);
      const auto last =
          labels_.begin() + static_cast<std::ptrdiff_t>(std::min((block + 1) * kBlock, labels_.size()));
      if (std::any_of(first, last, [&rank](const Label& other) { return other.rank.dominates(rank); }))
        return true;
    }
    return false;
  }

  std::vector<Label> labels_;
  std::vector<Rank> least_;  ///< of each block, value by value
};

class LabelSearch {
 public:
  LabelSearch(const CaseCosts& costs, const Bound& bound, Picoseconds known_ps, std::size_t& labels_left)
      : costs_(costs), bound_(bound), labels_left_(labels_left), best_ps_(known_ps) {
    // What the units from each one on can take at most, wherever they are, and must take of RAM.
    most_.resize(costs.units() + 1);
    least_ram_.resize(costs.units() + 1);
    most_.back().busy_ps = {costs.costs->head_ps[kOnCpu] + costs.costs->stage_ps[kOnCpu],
                            costs.costs->head_ps[kOnGpu] + costs.costs->stage_ps[kOnGpu]};
    most_.back().travel_ps = costs.costs->crossing_ps;
    for (auto i = costs.units(); i-- > 0;) {
      most_[i] = most_[i + 1];
      for (const auto side : {kOnCpu, kOnGpu}) most_[i].add(costs, i, CaseCosts::kStart, side);
      most_[i].travel_ps = most_[i + 1].travel_ps + costs.costs->crossing_ps;
      const bool forced = !costs.allows(i, kOnGpu);
      least_ram_[i] = least_ram_[i + 1] + (forced ? costs.space->units[i].ram_bytes : 0);
    }
  }

  SearchResult run() {
    std::array<std::vector<Label>, 2> labels;
    for (const auto side : {kOnCpu, kOnGpu}) extend(Label{}, CaseCosts::kStart, 0, side, labels[side]);
    keep(labels, 0);
    for (std::size_t i = 1; i < costs_.units(); ++i) {
      std::array<std::vector<Label>, 2> next;
      for (const auto from : {kOnCpu, kOnGpu}) {
        for (std::uint32_t parent = 0; parent < labels[from].size(); ++parent) {
          auto label = labels[from][parent];
          label.parent = parent;
          label.parent_side = static_cast<std::uint8_t>(from);
          for (const auto to : {kOnCpu, kOnGpu}) extend(label, from, i, to, next[to]);
        }
      }
      labels = std::move(next);
      keep(labels, i);
      if (labels_left_ == 0) return {std::nullopt, 0, false};
    }
    return finish(labels);
  }

 private:
  void extend(Label label, std::size_t from, std::size_t i, std::size_t to, std::vector<Label>& into) const {
    if (!costs_.allows(i, to)) return;
    label.spent.add(costs_, i, from, to);
    const auto& spent = label.spent;
    if (spent.vram_bytes > costs_.within->vram_limit_bytes) return;
    if (spent.ram_bytes + spent.drafts_bytes + least_ram_[i + 1] > costs_.ram_limit_bytes()) return;
    if (bound_.after(spent, i + 1, to) > bound_.beaten_by(best_ps_)) return;
    label.rank = rank_of(spent, i + 1);
    into.push_back(label);
  }

  [[nodiscard]] Rank rank_of(const Spent& spent, std::size_t next) const {
    const auto& most = most_[next];
    Rank rank{};
    rank.lacks_gpu = costs_.lacks_gpu(spent.vram_bytes);
    const bool vram_matters = spent.vram_bytes + most.vram_bytes > costs_.within->vram_limit_bytes;
    if (vram_matters) rank.vram_bytes = spent.vram_bytes;
    const auto ram = spent.ram_bytes + spent.drafts_bytes + most.ram_bytes + most.drafts_bytes;
    if (costs_.space->ram_may_bind && ram + kBufferAlignmentBytes > costs_.ram_limit_bytes()) {
      rank.ram_bytes = spent.ram_bytes;
      rank.drafts_bytes = spent.drafts_bytes;
    }
    if (costs_.timing == Timing::serial) {
      rank.serial_ps = spent.serial_ps();
      return rank;
    }
    // No placement is faster than the bound, so what stays below it decides nothing.
    const auto matters = [this](Picoseconds at_most) {
      return static_cast<double>(at_most) > bound_.root() * (1 - 1e-9) - 1;
    };
    if (matters(spent.serial_ps() + most.serial_ps())) rank.serial_ps = spent.serial_ps();
    if (matters(2 * (spent.busy_ps[kOnCpu] + most.busy_ps[kOnCpu]))) rank.cpu_ps = spent.busy_ps[kOnCpu];
    if (matters(2 * (spent.busy_ps[kOnGpu] + most.busy_ps[kOnGpu]))) rank.gpu_ps = spent.busy_ps[kOnGpu];
    return rank;
  }

  /// Drops dominated labels and remembers where the others came from.
  void keep(std::array<std::vector<Label>, 2>& labels, std::size_t i) {
    origins_.emplace_back();
    for (const auto side : {kOnCpu, kOnGpu}) {
      auto& all = labels[side];
      std::ranges::sort(all, {}, [](const Label& label) {
        return std::tuple_cat(label.rank.values(), std::tie(label.parent_side, label.parent));
      });
      Front front;
      for (const auto& label : all) front.offer(label);
      all = std::move(front).take();
      labels_left_ -= std::min(labels_left_, all.size());
      auto& origins = origins_[i][side];
      origins.reserve(all.size());
      for (const auto& label : all) origins.push_back({label.parent, label.parent_side});
    }
  }

  SearchResult finish(const std::array<std::vector<Label>, 2>& labels) {
    std::size_t best_side = 0;
    std::optional<std::size_t> best;
    for (const auto side : {kOnCpu, kOnGpu}) {
      for (std::size_t index = 0; index < labels[side].size(); ++index) {
        auto spent = labels[side][index].spent;
        if (!spent.fits(costs_)) continue;
        spent.add_head(costs_, side);
        const auto time_ps = spent.time_ps(costs_.timing);
        if (time_ps >= best_ps_) continue;
        best_ps_ = time_ps;
        best_side = side;
        best = index;
      }
    }
    if (!best) return {};
    std::vector<std::uint8_t> sides(costs_.units());
    auto at = Origin{static_cast<std::uint32_t>(*best), static_cast<std::uint8_t>(best_side)};
    for (auto i = sides.size(); i-- > 0;) {
      sides[i] = at.parent_side;
      at = origins_[i][at.parent_side][at.parent];
    }
    return {std::move(sides), best_ps_, true};
  }

  const CaseCosts& costs_;
  const Bound& bound_;
  std::size_t& labels_left_;
  Picoseconds best_ps_;
  std::vector<Spent> most_;
  std::vector<std::uint64_t> least_ram_;
  std::vector<std::array<std::vector<Origin>, 2>> origins_;
};

}  // namespace

SearchResult search_labels(const CaseCosts& costs, const Bound& bound, Picoseconds known_ps,
                           std::size_t& labels_left) {
  return LabelSearch(costs, bound, known_ps, labels_left).run();
}

}  // namespace tandem::planner
