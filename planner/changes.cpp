#include "planner/changes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory_resource>
#include <unordered_map>
#include <utility>

namespace tandem::planner {
namespace {

using Sides = std::vector<std::uint8_t>;

constexpr double kNotAllowed = std::numeric_limits<double>::infinity();
constexpr double kMostPrice = 2;
constexpr double kPrecision = 1e-6;        ///< of bounds: sums of a few hundred small numbers
constexpr std::size_t kRaisingSteps = 60;  ///< of one search for prices
constexpr std::size_t kUnitsATry = 8;      ///< that are priced while one is placed
constexpr std::size_t kLinesTogether = 6;  ///< that an arrangement is held against

/// Puts units one after another on either side, backwards out of every dead end: counts that are still to go
/// to the GPU are kept to, and every line must leave room for the changes to come.
class Arranger {
 public:
  Arranger(const CaseCosts& costs, const UnitKinds& kinds, Counts counts, std::uint32_t most)
      : costs_(costs), kinds_(kinds), to_go_(std::move(counts)), most_(most), sides_(costs.units()) {
    std::uint64_t step = 1;
    for (const auto& kind : kinds.kinds) {
      key_steps_.push_back(step);
      step *= kind.units + 1;
      units_left_.push_back(kind.units);
    }
  }

  void add(const Changes::Line& line) {
    lines_.push_back(&line);
    double counted = 0;
    for (std::size_t k = 0; k < to_go_.size(); ++k) counted += line.each[k] * to_go_[k];
    counted_.push_back(counted);
  }

  std::optional<Sides> run(std::size_t first, std::size_t& tries_left) {
    tries_left_ = &tries_left;
    if (!placed(0, first, 0)) return std::nullopt;
    return std::move(sides_);
  }

 private:
  /// Whether there is a way on with unit `i` on `side`, after `changes`.
  bool placed(std::size_t i, std::size_t side, std::uint32_t changes) {
    const auto kind = kinds_.of_unit[i];
    if (!costs_.allows(i, side)) return false;
    if (side == kOnGpu ? to_go_[kind] == 0 : to_go_[kind] == units_left_[kind]) return false;
    --units_left_[kind];
    if (side == kOnGpu) take(kind);
    sides_[i] = static_cast<std::uint8_t>(side);
    const bool found = completed(i + 1, side, changes);
    ++units_left_[kind];
    if (side == kOnGpu) give_back(kind);
    return found;
  }

  bool completed(std::size_t i, std::size_t before, std::uint32_t changes) {
    if (i == sides_.size()) return changes + (before == costs_.within->head ? 0 : 1) <= most_;
    if (*tries_left_ == 0 || !promises(i, before, changes) || !is_new(i, before, changes)) return false;
    --*tries_left_;
    return placed(i, before, changes) || placed(i, 1 - before, changes + 1);
  }

  [[nodiscard]] bool promises(std::size_t i, std::size_t before, std::uint32_t changes) const {
    for (std::size_t l = 0; l < lines_.size(); ++l) {
      if (changes + lines_[l]->rest[i][before] - counted_[l] > most_ + kPrecision) return false;
    }
    return true;
  }

  /// Not reached before with as few changes.
  bool is_new(std::size_t i, std::size_t before, std::uint32_t changes) {
    const auto [entry, added] = fewest_.try_emplace((key_ * sides_.size() + i) * 2 + before, changes);
    if (!added && entry->second <= changes) return false;
    entry->second = changes;
    return true;
  }

  void take(std::uint32_t kind) {
    --to_go_[kind];
    key_ += key_steps_[kind];
    for (std::size_t l = 0; l < lines_.size(); ++l) counted_[l] -= lines_[l]->each[kind];
  }
  void give_back(std::uint32_t kind) {
    ++to_go_[kind];
    key_ -= key_steps_[kind];
    for (std::size_t l = 0; l < lines_.size(); ++l) counted_[l] += lines_[l]->each[kind];
  }

  const CaseCosts& costs_;
  const UnitKinds& kinds_;
  Counts to_go_;       ///< to the GPU, of the units not placed yet
  Counts units_left_;  ///< not placed yet
  std::uint32_t most_;
  Sides sides_;
  std::vector<const Changes::Line*> lines_;
  std::vector<double> counted_;  ///< by line: what it takes off for the units that are still to go
  std::vector<std::uint64_t> key_steps_;
  std::uint64_t key_ = 0;  ///< what went to the GPU so far, as one number
  std::pmr::monotonic_buffer_resource memory_;
  std::pmr::unordered_map<std::uint64_t, std::uint32_t> fewest_{&memory_};
  std::size_t* tries_left_ = nullptr;
};

}  // namespace

Changes::Changes(const CaseCosts& costs, const UnitKinds& kinds) : costs_(costs), kinds_(kinds) {
  add_line(std::vector<double>(kinds.kinds.size()));
}

Changes::Line Changes::line(std::vector<double> each) const {
  Line line;
  line.each = std::move(each);
  line.rest.resize(costs_.units() + 1);
  line.rest.back()[1 - costs_.within->head] = 1;
  for (auto i = costs_.units(); i-- > 0;) {
    const auto cpu = costs_.allows(i, kOnCpu) ? line.rest[i + 1][kOnCpu] : kNotAllowed;
    const auto gpu =
        costs_.allows(i, kOnGpu) ? line.each[kinds_.of_unit[i]] + line.rest[i + 1][kOnGpu] : kNotAllowed;
    line.rest[i] = {std::min(cpu, gpu + 1), std::min(cpu + 1, gpu)};
    if (i == 0) line.start = {cpu, gpu};
  }
  return line;
}

const Changes::Line& Changes::add_line(std::vector<double> each) {
  for (auto& price : each) price = std::isnan(price) ? 0 : std::clamp(price, -kMostPrice, kMostPrice);
  lines_.push_back(line(std::move(each)));
  return lines_.back();
}

double Changes::value(const Line& line, const Counts& counts, std::size_t first) const {
  auto value = line.start[first];
  for (std::size_t k = 0; k < counts.size(); ++k) value -= line.each[k] * counts[k];
  return value;
}

std::uint32_t Changes::fewest(const Counts& counts, std::size_t first) const {
  if (first != costs_.within->head) return 1;
  for (std::size_t k = 0; k < counts.size(); ++k) {
    if (counts[k] != (first == kOnGpu ? kinds_.kinds[k].units : 0)) return 2;
  }
  return 0;
}

std::uint32_t Changes::rounded(double bound, const Counts& counts, std::size_t first) const {
  const auto none_less = fewest(counts, first);
  const auto least =
      std::max(none_less, static_cast<std::uint32_t>(std::max(0.0, std::ceil(bound - kPrecision))));
  return least % 2 == none_less % 2 ? least : least + 1;
}

std::uint32_t Changes::at_least(const Counts& counts, std::size_t first) const {
  double best = 0;
  for (const auto& line : lines_) best = std::max(best, value(line, counts, first));
  return rounded(best, counts, first);
}

Counts Changes::cheapest_counts(const Line& line, std::size_t first) const {
  Counts counts(kinds_.kinds.size());
  auto side = first;
  for (std::size_t i = 0; i < costs_.units(); ++i) {
    const auto kind = kinds_.of_unit[i];
    const auto cpu =
        costs_.allows(i, kOnCpu) ? line.rest[i + 1][kOnCpu] + (side == kOnCpu ? 0 : 1) : kNotAllowed;
    const auto gpu = costs_.allows(i, kOnGpu)
                         ? line.rest[i + 1][kOnGpu] + line.each[kind] + (side == kOnGpu ? 0 : 1)
                         : kNotAllowed;
    if (i > 0) side = gpu < cpu ? kOnGpu : kOnCpu;
    counts[kind] += side == kOnGpu ? 1 : 0;
  }
  return counts;
}

std::uint32_t Changes::raised(const Counts& counts, std::size_t first, std::uint32_t most,
                              std::size_t& tries_left) {
  const auto best_known =
      std::ranges::max_element(lines_, {}, [&](const Line& known) { return value(known, counts, first); });
  auto best = *best_known;
  auto at = best;
  for (std::size_t step = 0; step < kRaisingSteps; ++step) {
    if (tries_left == 0 || rounded(value(best, counts, first), counts, first) > most) break;
    tries_left -= std::min(tries_left, costs_.units() / kUnitsATry);
    const auto cheapest = cheapest_counts(at, first);
    double length = 0;
    for (std::size_t k = 0; k < counts.size(); ++k) {
      const auto off = static_cast<double>(cheapest[k]) - counts[k];
      length += off * off;
    }
    if (length == 0) break;  // this is the best bound that prices give
    const auto stride = (most + 0.5 - value(at, counts, first)) / length;
    auto each = at.each;
    for (std::size_t k = 0; k < counts.size(); ++k) {
      each[k] += stride * (static_cast<double>(cheapest[k]) - counts[k]);
      each[k] = std::clamp(each[k], -kMostPrice, kMostPrice);
    }
    at = line(std::move(each));
    if (value(at, counts, first) > value(best, counts, first)) best = at;
  }
  const auto least = rounded(value(best, counts, first), counts, first);
  if (best.each != best_known->each) lines_.push_back(std::move(best));
  return least;
}

std::optional<Sides> Changes::arranged(const Counts& counts, std::size_t first, std::uint32_t most,
                                       std::size_t& tries_left) const {
  std::vector<const Line*> by_value;
  for (const auto& line : lines_) by_value.push_back(&line);
  std::ranges::stable_sort(by_value, std::ranges::greater{},
                           [&](const Line* line) { return value(*line, counts, first); });
  Arranger arranger(costs_, kinds_, counts, most);
  for (std::size_t i = 0; i < std::min(kLinesTogether, by_value.size()); ++i) arranger.add(*by_value[i]);
  return arranger.run(first, tries_left);
}

}  // namespace tandem::planner
