#include "tests/planner/small_searches.h"

#include <gtest/gtest.h>

namespace tandem::planner_test {

SmallSearch random_small_search(std::mt19937& random, std::uint32_t most_layers) {
  SmallSearch search{random_subject(random, most_layers), {}, {}, {}, {}, {}, {}};
  search.workload = random_workload(random);
  search.workload.expected_context = pick(random, 1, search.workload.max_seq_len);
  search.machine = random_machine(random);
  search.step = {1, search.workload.expected_context, pick(random, 1, 3)};
  const auto layers = search.subject.hyper.layers.size();
  const auto walker = search.walker();
  const auto some = walker.walk(random_placement(random, layers, planner::Device::cuda0), 1, 1, 1);
  const auto other = walker.walk(random_placement(random, layers, planner::Device::cuda0), 1, 1, 1);
  search.budget.vram_bytes = some.vram_bytes + pick(random, 0, 1) * 64;
  if (pick(random, 0, 1) == 0) search.budget.ram_bytes = other.ram_bytes + pick(random, 0, 1);
  search.space = planner::search_space(search.subject.input, search.budget, search.workload, search.machine,
                                       planner::Device::cuda0, std::nullopt);
  search.costs = planner::step_costs(search.subject.input, search.workload, search.machine,
                                     planner::Device::cuda0, search.step);
  return search;
}

LargeSearch::LargeSearch(const planner::Budget& budget, std::uint32_t step_sequences)
    : space(planner::search_space(subject.input, budget, workload, machine, planner::Device::cuda0,
                                  std::nullopt)),
      step(planner::step_costs(subject.input, workload, machine, planner::Device::cuda0,
                               {1, 2048, step_sequences})) {}

std::vector<Sides> all_sides(std::size_t units) {
  std::vector<Sides> all;
  for (std::uint32_t bits = 0; bits < 1U << units; ++bits) {
    auto& sides = all.emplace_back(units);
    for (std::size_t i = 0; i < units; ++i) sides[i] = (bits >> i) & 1U;
  }
  return all;
}

bool allows(const planner::CaseCosts& costs, const Sides& sides) {
  for (std::size_t i = 0; i < sides.size(); ++i) {
    if (!costs.allows(i, sides[i])) return false;
  }
  return true;
}

std::optional<planner::Picoseconds> least_ps(const planner::CaseCosts& costs) {
  std::optional<planner::Picoseconds> least;
  for (const auto& sides : all_sides(costs.units())) {
    const auto spent = planner::spent_by(costs, sides);
    if (!allows(costs, sides) || !spent.fits(costs)) continue;
    const auto time_ps = spent.time_ps(costs.timing);
    if (!least || time_ps < *least) least = time_ps;
  }
  return least;
}

void expect_fastest(const planner::CaseCosts& costs, const SearchBelow& search) {
  const auto least = least_ps(costs);
  const auto found = search(costs, kUnknownPs);
  ASSERT_TRUE(found.complete);
  ASSERT_EQ(found.sides.has_value(), least.has_value());
  if (!least) return;
  ASSERT_EQ(found.time_ps, *least);
  ASSERT_TRUE(allows(costs, *found.sides));
  ASSERT_TRUE(spent_by(costs, *found.sides).fits(costs));
  ASSERT_EQ(spent_by(costs, *found.sides).time_ps(costs.timing), *least);
  const auto none = search(costs, *least);
  ASSERT_FALSE(none.sides) << "as fast is not faster";
  ASSERT_TRUE(none.complete);
  const auto same = search(costs, *least + 1);
  ASSERT_TRUE(same.sides && same.complete);
  ASSERT_EQ(same.time_ps, *least);
}

}  // namespace tandem::planner_test
