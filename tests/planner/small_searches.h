#pragma once

#include <array>
#include <functional>
#include <limits>
#include <optional>
#include <random>
#include <vector>

#include "planner/bound.h"
#include "planner/search_space.h"
#include "tests/planner/slow_walk.h"
#include "tests/planner/subjects.h"

namespace tandem::planner_test {

/// A question about a small model, with budgets at the edge of fitting, and what it is searched in.
struct SmallSearch {
  Subject subject;
  planner::Budget budget;
  planner::Workload workload;
  planner::MachineProfile machine;
  planner::StepShape step;
  planner::SearchSpace space;
  planner::StepCosts costs;

  [[nodiscard]] SlowWalk walker() const {
    return {subject.header, subject.hyper, budget, workload, machine, planner::Device::cuda0};
  }
  [[nodiscard]] planner::CaseCosts in(const planner::SearchCase& within, planner::Timing timing) const {
    return {&space, &within, &costs, timing};
  }
};

SmallSearch random_small_search(std::mt19937& random, std::uint32_t most_layers);

using Sides = std::vector<std::uint8_t>;

/// All ways to put so many units on sides.
std::vector<Sides> all_sides(std::size_t units);

/// Whether the case allows every unit where it is.
bool allows(const planner::CaseCosts& costs, const Sides& sides);

/// The least time of a placement that the case allows and that fits, all tried.
std::optional<planner::Picoseconds> least_ps(const planner::CaseCosts& costs);

/// Gemma 3 27B in Q4_K_M, with six kinds of units.
struct LargeSearch {
  LargeSearch(const planner::Budget& budget, std::uint32_t step_sequences);

  [[nodiscard]] planner::CaseCosts costs(planner::Timing timing) const {
    return {&space, &space.cases.front(), &step, timing};
  }

  Subject subject = catalogue_subject("gemma3-27b-q4_k_m");
  planner::Workload workload;
  planner::MachineProfile machine = planner::builtin_machine("default");
  planner::SearchSpace space;
  planner::StepCosts step;
};

inline constexpr std::array kTimings{planner::Timing::serial, planner::Timing::overlapped};

/// More than any placement takes, so that a search below it wants whatever fits.
inline constexpr auto kUnknownPs = std::numeric_limits<planner::Picoseconds>::max() / 4;

/// A search of one case, with enough to spend, for what takes less than `known_ps`.
using SearchBelow =
    std::function<planner::SearchResult(const planner::CaseCosts& costs, planner::Picoseconds known_ps)>;

/// Fails the test unless `search` finds the fastest placement of the case, and nothing below its time.
void expect_fastest(const planner::CaseCosts& costs, const SearchBelow& search);

}  // namespace tandem::planner_test
