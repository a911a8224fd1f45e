#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "planner/unit_counts.h"

namespace tandem::planner {

/// How few changes of side can do for given counts.
class Changes {
 public:
  Changes(const CaseCosts& costs, const UnitKinds& kinds);

  /// No placement with `counts` that begins on `first` has fewer changes: the best of the bounds known so
  /// far.  Each is that of one price for every kind: if a unit on the GPU costs its kind's price and every
  /// change 1, nothing is cheaper than the cheapest placement, whatever its counts (Lagrangian relaxation).
  [[nodiscard]] std::uint32_t at_least(const Counts& counts, std::size_t first) const;

  /// As at_least, after a search for prices with which it is above `most`; each price takes some of the tries
  /// that are left.
  std::uint32_t raised(const Counts& counts, std::size_t first, std::uint32_t most, std::size_t& tries_left);

  /// Sides that begin on `first`, have `counts` on the GPU and at most `most` changes; nothing if there are
  /// none, or if no tries are left (each takes one off).
  [[nodiscard]] std::optional<std::vector<std::uint8_t>> arranged(const Counts& counts, std::size_t first,
                                                                  std::uint32_t most,
                                                                  std::size_t& tries_left) const;

  /// A lower bound that is linear in the counts: `start` - sum of `each` times counts.
  struct Line {
    std::vector<double> each;                 ///< by kind
    std::array<double, 2> start{};            ///< by first side
    std::vector<std::array<double, 2>> rest;  ///< cheapest from each unit on, by the side before it
  };

  [[nodiscard]] const std::vector<Line>& lines() const noexcept { return lines_; }

  /// The line of the prices `each`, each clamped to -2 to 2: to move one unit adds two changes at most.
  const Line& add_line(std::vector<double> each);

 private:
  [[nodiscard]] Line line(std::vector<double> each) const;
  [[nodiscard]] double value(const Line& line, const Counts& counts, std::size_t first) const;
  [[nodiscard]] Counts cheapest_counts(const Line& line, std::size_t first) const;
  [[nodiscard]] std::uint32_t fewest(const Counts& counts, std::size_t first) const;
  [[nodiscard]] std::uint32_t rounded(double bound, const Counts& counts, std::size_t first) const;

  const CaseCosts& costs_;
  const UnitKinds& kinds_;
  std::vector<Line> lines_;
};

}  // namespace tandem::planner
