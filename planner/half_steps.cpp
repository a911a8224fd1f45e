#include "planner/half_steps.h"

#include <algorithm>

namespace tandem::planner {

HalfSteps::HalfSteps(const CaseCosts& costs, const std::vector<Bound>& bounds, Picoseconds known_ps,
                     Half half)
    : costs_(costs), bounds_(bounds), half_(half) {
  constexpr double kLeast = 1e-9;
  if (half == Half::last) {
    for (const auto& bound : bounds) before_.push_back(bound.before());
  }
  for (std::size_t b = 0; b < std::min(Excess::kBounds, bounds.size()); ++b) {
    // As little as may be, so that parts are small.
    const auto most = std::min(bounds[b].beaten_by(known_ps) - bounds[b].root(), most_excess_price(b));
    parts_[b] = static_cast<double>(Excess::kMost) / std::max(kLeast, most);
  }
  add_up_rests();
}

Spent HalfSteps::spent(std::size_t at, std::size_t neighbour, std::size_t to) const {
  const auto i = unit(at);
  Spent spent;
  if (half_ == Half::first) {
    spent.add(costs_, i, at == 0 ? CaseCosts::kStart : neighbour, to);
    return spent;
  }
  spent.add(costs_, i, to, to);
  if (at == 0) {
    spent.add_head(costs_, to);
  } else {
    spent.change(costs_, to, neighbour);
  }
  return spent;
}

Excess HalfSteps::excess(std::size_t at, std::size_t neighbour, std::size_t to) const {
  Excess excess;
  for (std::size_t b = 0; b < std::min(Excess::kBounds, bounds_.size()); ++b)
    excess.set(b, parts_[b] * excess_price(b, at, neighbour, to));
  return excess;
}

double HalfSteps::least_beside(std::size_t b, std::size_t count, std::size_t side) const {
  if (half_ == Half::first) return bounds_[b].rest(count, count == 0 ? CaseCosts::kStart : side);
  return count == 0 ? bounds_[b].whole() : before_[b][unit(count - 1)][side];
}

double HalfSteps::excess_price(std::size_t b, std::size_t at, std::size_t neighbour, std::size_t to) const {
  return bounds_[b].prices().of(spent(at, neighbour, to)) + least_beside(b, at + 1, to) -
         least_beside(b, at, neighbour);
}

/// Of any label.
double HalfSteps::most_excess_price(std::size_t b) const {
  double sum = 0;
  for (std::size_t at = 0; at < costs_.units(); ++at) {
    double most = 0;
    for (const auto neighbour : {kOnCpu, kOnGpu}) {
      for (const auto to : {kOnCpu, kOnGpu}) most = std::max(most, excess_price(b, at, neighbour, to));
    }
    sum += most;
  }
  return sum;
}

void HalfSteps::add_up_rests() {
  const auto& costs = *costs_.costs;
  Spent most;
  most.busy_ps = costs.stage_ps;
  most.travel_ps = costs.crossing_ps;
  if (half_ == Half::first) {
    most.busy_ps[kOnCpu] += costs.head_ps[kOnCpu] + costs.always.cpu_ps;
    most.busy_ps[kOnGpu] += costs.head_ps[kOnGpu] + costs.always.gpu_ps;
    most.travel_ps += costs.always.crossing_ps;
  }
  rests_.assign(costs_.units() + 1, most);
  for (auto at = costs_.units(); at-- > 0;) {
    const auto travel_ps = most.travel_ps + costs.crossing_ps;
    for (const auto side : {kOnCpu, kOnGpu}) most.add(costs_, unit(at), CaseCosts::kStart, side);
    most.travel_ps = travel_ps;
    rests_[at] = most;
  }
}

}  // namespace tandem::planner
