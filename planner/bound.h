#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include "planner/search_space.h"

namespace tandem::planner {

/// How the two devices' times make up the time of a step.
enum class Timing {
  serial,     ///< they take turns
  overlapped  ///< two steps at once (StepTime::overlapped_ps)
};

/// A search within one case: what it costs to be where.
struct CaseCosts {
  const SearchSpace* space = nullptr;
  const SearchCase* within = nullptr;
  const StepCosts* costs = nullptr;
  Timing timing = Timing::serial;

  /// "Before the first unit": rows come from the embedding.
  static constexpr std::size_t kStart = 2;

  [[nodiscard]] std::size_t units() const noexcept { return space->units.size(); }
  [[nodiscard]] bool allows(std::size_t unit, std::size_t side) const {
    return within->allows(space->units[unit], side);
  }
  [[nodiscard]] std::uint64_t ram_limit_bytes() const noexcept {
    return space->ram_budget_bytes - within->ram_fixed_bytes;
  }
  /// Time for which rows travel when the unit after one on `from` is on `to`.
  [[nodiscard]] Picoseconds travel_ps(std::size_t from, std::size_t to) const noexcept {
    const auto before = from == kStart ? space->embedding(within->head) : from;
    return before == to ? 0 : costs->crossing_ps;
  }
  /// So far nothing is on the GPU, and something must be.
  [[nodiscard]] bool lacks_gpu(std::uint64_t vram_bytes) const noexcept {
    const bool needs_gpu = costs->needs_gpu || (space->ram_may_bind && within->needs_gpu);
    return needs_gpu && within->head == kOnCpu && vram_bytes == 0;
  }
  /// Time for which `to` is busy entering a stage.
  [[nodiscard]] Picoseconds entry_ps(std::size_t from, std::size_t to) const noexcept {
    return from == to ? 0 : costs->stage_ps[to];
  }
};

/// What a run of units has taken so far.
struct Spent {
  std::array<Picoseconds, 2> busy_ps{};  ///< by side
  Picoseconds travel_ps = 0;
  std::uint64_t vram_bytes = 0;
  std::uint64_t ram_bytes = 0;
  std::uint64_t drafts_bytes = 0;

  [[nodiscard]] Picoseconds serial_ps() const noexcept {
    return busy_ps[kOnCpu] + busy_ps[kOnGpu] + travel_ps;
  }
  [[nodiscard]] Picoseconds time_ps(Timing timing) const noexcept {
    const auto serial = serial_ps();
    if (timing == Timing::serial) return serial;
    return std::max(serial, 2 * std::max(busy_ps[kOnCpu], busy_ps[kOnGpu]));
  }

  Spent operator+(const Spent& other) const noexcept {
    return {{busy_ps[kOnCpu] + other.busy_ps[kOnCpu], busy_ps[kOnGpu] + other.busy_ps[kOnGpu]},
            travel_ps + other.travel_ps,
            vram_bytes + other.vram_bytes,
            ram_bytes + other.ram_bytes,
            drafts_bytes + other.drafts_bytes};
  }
  /// Of a part of this.
  Spent operator-(const Spent& part) const noexcept {
    return {{busy_ps[kOnCpu] - part.busy_ps[kOnCpu], busy_ps[kOnGpu] - part.busy_ps[kOnGpu]},
            travel_ps - part.travel_ps,
            vram_bytes - part.vram_bytes,
            ram_bytes - part.ram_bytes,
            drafts_bytes - part.drafts_bytes};
  }

  /// Adds unit `i` on `to`, the one before being on `from`.
  void add(const CaseCosts& costs, std::size_t i, std::size_t from, std::size_t to) noexcept;
  /// Adds that the unit on `to` comes after one on `from`.
  void change(const CaseCosts& costs, std::size_t from, std::size_t to) noexcept;
  /// Adds the head.
  void add_head(const CaseCosts& costs, std::size_t from) noexcept;

  /// Within the limits of the case, and with something on the GPU where times hold only then.
  [[nodiscard]] bool fits(const CaseCosts& costs) const noexcept;

  bool operator==(const Spent&) const = default;
};

/// What all units and the head take where `sides` puts them.
Spent spent_by(const CaseCosts& costs, const std::vector<std::uint8_t>& sides);

/// What of that depends on where unit `i` is: the unit itself, and what comes after it.
Spent spent_at(const CaseCosts& costs, const std::vector<std::uint8_t>& sides, std::size_t i);

/// What a search through the placements of a case comes to.
struct SearchResult {
  std::optional<std::vector<std::uint8_t>> sides;  ///< faster than what was known; nothing if none is
  Picoseconds time_ps = 0;
  bool complete = true;          ///< false: stopped before the end
  std::size_t labels_to_go = 0;  ///< where it stopped for want of labels: about how many more it would take
};

/// A lower bound to the time of every placement of a case that fits: prices on bytes instead of limits to
/// them (Lagrangian relaxation), and a weighted mean instead of the maximum of what overlaps.  The prices
/// that give the highest bound leave little to search.
class Bound {
 public:
  /// A price per byte, and weights of the CPU's time, the GPU's and the way through, which sum to 1.
  struct Prices {
    double vram = 0;
    double ram = 0;
    double cpu = 0;  ///< overlapped only: of twice the CPU's time
    double gpu = 0;
    double serial = 1;

    /// Price of what a beginning has spent.
    [[nodiscard]] double of(const Spent& spent) const noexcept {
      const auto real = [](std::uint64_t value) {
        return static_cast<double>(static_cast<std::int64_t>(value));
      };
      return cpu * real(2 * spent.busy_ps[kOnCpu]) + gpu * real(2 * spent.busy_ps[kOnGpu]) +
             serial * real(spent.serial_ps()) + vram * real(spent.vram_bytes) +
             ram * real(spent.ram_bytes + spent.drafts_bytes);
    }
  };

  /// Searches for good prices: the highest bound first, then others, which dismiss what is far from it.
  /// Ends with the first one that says that nothing is faster than `known_ps`.  `tried` collects placements
  /// met on the way that fit.
  static std::vector<Bound> good_ones(const CaseCosts& costs, Picoseconds known_ps,
                                      std::vector<std::vector<std::uint8_t>>& tried);

  /// Of every placement of the case.
  [[nodiscard]] double root() const noexcept { return root_; }

  /// No placement with a bound above this is faster than `time`: what double arithmetic may lose is in.
  [[nodiscard]] double beaten_by(Picoseconds time) const noexcept {
    return static_cast<double>(time) - 1 + kPrecision * (2 * std::abs(limits_) + std::abs(root_));
  }

  [[nodiscard]] const Prices& prices() const noexcept { return prices_; }

  /// Nothing in the case is faster than `time`.
  [[nodiscard]] bool dismisses(Picoseconds time) const noexcept { return root_ > beaten_by(time); }

  /// A placement with a higher price is not faster than `time`.
  [[nodiscard]] double most_in_all(Picoseconds time) const noexcept {
    return beaten_by(time) + limits_ + always_;
  }

  /// The least price of units from `i` on, the head and limits beside, where the one before `i` is on `side`.
  [[nodiscard]] double rest(std::size_t i, std::size_t side) const { return rest_[i][side]; }

  /// The least price of all.
  [[nodiscard]] double whole() const noexcept { return rest_[0][CaseCosts::kStart] + always_; }

  /// By unit and its side: the least price of the units before it, and of coming from there.
  [[nodiscard]] std::vector<std::array<double, 2>> before() const;

  /// At given prices.
  Bound(const CaseCosts& costs, const Prices& prices);

  /// The cheapest placement at these prices, whether it fits or not.
  [[nodiscard]] std::vector<std::uint8_t> cheapest() const;

 private:
  /// Price of the time a side is busy.
  [[nodiscard]] double busy_price(std::size_t side) const noexcept {
    return prices_.serial + 2 * (side == kOnCpu ? prices_.cpu : prices_.gpu);
  }
  void price_units(const CaseCosts& costs);
  void price_passing(const CaseCosts& costs);

  static constexpr double kPrecision = 1e-12;

  Prices prices_;
  std::vector<std::array<double, 2>> unit_;         ///< price of each unit, then of the head, by side
  std::array<std::array<double, 2>, 3> passing_{};  ///< from one side, or the start, to another
  std::vector<std::array<double, 3>> rest_;         ///< price of units from i on, by the side before
  double limits_ = 0;                               ///< price of the limits, less that of what always counts
  double always_ = 0;                               ///< price of what always counts
  double root_ = 0;
};

}  // namespace tandem::planner
