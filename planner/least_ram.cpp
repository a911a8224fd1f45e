#include "planner/least_ram.h"

#include <algorithm>

#include "planner/byte_count.h"

namespace tandem::planner {
namespace {

/// Units that are alike, the last ones first.
struct Kind {
  UnitBytes bytes;
  std::vector<std::size_t> units;
  std::size_t on_gpu = 0;
};

/// Tries all numbers of units of each kind on the GPU; of the last kind, the most that fit.
class Counter {
 public:
  Counter(const SearchSpace& space, const SearchCase& within, std::uint64_t most_bytes)
      : within_(within), enough_bytes_(space.ram_budget_bytes), most_bytes_(most_bytes) {
    for (auto i = space.units.size(); i-- > 0;) add(space.units[i], i);
    // Few of many bytes before many of few: what is left is filled best by small ones.
    std::ranges::stable_sort(kinds_, std::ranges::greater{},
                             [](const Kind& kind) { return kind.bytes.vram_bytes; });
    rest_bytes_.resize(kinds_.size() + 1);
    for (auto k = kinds_.size(); k-- > 0;) {
      rest_bytes_[k] = rest_bytes_[k + 1] + kinds_[k].units.size() * kinds_[k].bytes.ram_bytes;
    }
  }

  /// The least RAM, with its counts in `best`; nothing beyond most_bytes.
  std::optional<std::uint64_t> search() {
    visit(0, within_.vram_limit_bytes, within_.ram_fixed_bytes, 0);
    return least_;
  }

  [[nodiscard]] std::vector<std::uint8_t> sides(std::size_t units) const {
    std::vector<std::uint8_t> sides(units, kOnCpu);
    for (std::size_t k = 0; k < kinds_.size(); ++k) {
      for (std::size_t i = 0; i < best_[k]; ++i) sides[kinds_[k].units[i]] = kOnGpu;
    }
    return sides;
  }

 private:
  void add(const UnitBytes& unit, std::size_t index) {
    auto kind = std::ranges::find_if(kinds_, [&unit](const Kind& other) {
      return other.bytes.sort == unit.sort && other.bytes.vram_bytes == unit.vram_bytes &&
             other.bytes.ram_bytes == unit.ram_bytes && other.bytes.drafts_bytes == unit.drafts_bytes;
    });
    if (kind == kinds_.end()) kind = kinds_.insert(kind, Kind{unit, {}, 0});
    kind->units.push_back(index);
  }

  void visit(std::size_t index, std::uint64_t vram_left, std::uint64_t ram, std::uint64_t drafts) {
    if (index == kinds_.size()) return finish(ram, drafts);
    if (++tries_ > kMostRamTries || !is_wanted(least_possible(index, vram_left, ram))) return;
    auto& kind = kinds_[index];
    const auto all = kind.units.size();
    const auto fitting = kind.bytes.vram_bytes == 0 ? all : vram_left / kind.bytes.vram_bytes;
    const auto most = within_.allows(kind.bytes, kOnGpu) ? std::min<std::uint64_t>(all, fitting) : 0;
    const auto least = within_.allows(kind.bytes, kOnCpu) ? 0 : all;
    for (auto on_gpu = most + 1; on_gpu-- > least;) {
      kind.on_gpu = on_gpu;
      const auto on_cpu = all - on_gpu;
      visit(index + 1, vram_left - on_gpu * kind.bytes.vram_bytes, ram + on_cpu * kind.bytes.ram_bytes,
            drafts + on_cpu * kind.bytes.drafts_bytes);
      if (index + 1 == kinds_.size() || (least_ && *least_ <= enough_bytes_)) return;
    }
  }

  [[nodiscard]] bool is_wanted(std::uint64_t ram) const noexcept {
    return ram <= most_bytes_ && (!least_ || ram < *least_);
  }

  /// A unit takes no fewer bytes on the GPU than it frees on the CPU, draft rows apart.
  [[nodiscard]] std::uint64_t least_possible(std::size_t index, std::uint64_t vram_left,
                                             std::uint64_t ram) const {
    return ram + rest_bytes_[index] - std::min(rest_bytes_[index], vram_left);
  }

  void finish(std::uint64_t ram, std::uint64_t drafts) {
    if (within_.needs_gpu && within_.head == kOnCpu &&
        std::ranges::all_of(kinds_, [](const Kind& kind) { return kind.on_gpu == 0; }))
      return;
    const auto total = (ram + ByteCount(drafts).aligned(kBufferAlignmentBytes)).value();
    if (!is_wanted(total)) return;
    least_ = total;
    best_.clear();
    for (const auto& kind : kinds_) best_.push_back(kind.on_gpu);
  }

  const SearchCase& within_;
  std::uint64_t enough_bytes_;
  std::uint64_t most_bytes_;
  std::vector<Kind> kinds_;
  std::vector<std::uint64_t> rest_bytes_;  ///< RAM of the kinds from each one on
  std::uint64_t tries_ = 0;
  std::optional<std::uint64_t> least_;
  std::vector<std::size_t> best_;
};

}  // namespace

std::optional<LeastRam> least_ram(const SearchSpace& space, std::uint64_t most_bytes) {
  std::optional<LeastRam> best;
  for (const auto& within : space.cases) {
    if (best && best->ram_bytes <= space.ram_budget_bytes) break;
    Counter counter(space, within, best ? best->ram_bytes - 1 : most_bytes);
    const auto ram = counter.search();
    if (ram) best = {placement_of(space, within.head, counter.sides(space.units.size())), *ram};
  }
  return best;
}

}  // namespace tandem::planner
