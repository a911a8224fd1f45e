#include "planner/label_front.h"

#include <algorithm>
#include <array>
#include <functional>
#include <random>
#include <set>
#include <tuple>
#include <utility>

#include <gtest/gtest.h>

#include "tests/planner/subjects.h"

namespace tandem::planner {
namespace {

using planner_test::pick;
using PairFronts = Fronts<2>;
using Pairs = std::set<std::pair<std::int64_t, std::int64_t>>;  ///< of VRAM and time

Sieve<2> sieve_of(std::int64_t most_vram) {
  Sieve<2> sieve;
  sieve.most_vram = most_vram;
  return sieve;
}

constexpr std::int64_t kMostPrice = 85;

/// Its price is all it takes, and its excess such that a price above kMostPrice is too much.
Label<2> label_of(std::int64_t vram, std::int64_t time) {
  constexpr auto kParts = static_cast<std::int64_t>(Excess::kMost) / kMostPrice;
  static_assert(kParts * (kMostPrice + 1) > static_cast<std::int64_t>(Excess::kMost));
  Label<2> label{{vram, time}, {}};
  label.excess.set(0, static_cast<double>(kParts * (vram + time)));
  return label;
}

Pairs pairs_of(const PairFronts& fronts, std::size_t side) {
  Pairs pairs;
  for (const auto& label : fronts.labels(side)) pairs.emplace(label.amounts[kVram], label.amounts[kSerial]);
  return pairs;
}

/// Those of which no other takes no more of either, all compared with all.
Pairs pareto(const Pairs& pairs) {
  Pairs kept;
  for (const auto& pair : pairs) {
    const bool beaten = std::ranges::any_of(pairs, [&](const auto& other) {
      return other != pair && other.first <= pair.first && other.second <= pair.second;
    });
    if (!beaten) kept.insert(pair);
  }
  return kept;
}

std::int64_t pick_amount(std::mt19937& random) {
  return static_cast<std::int64_t>(pick(random, 0, 9));
}

/// As a unit adds: the same bytes beside either side.
LabelSteps<2> random_steps(std::mt19937& random) {
  const std::array vram{pick_amount(random), pick_amount(random)};
  LabelSteps<2> steps;
  for (auto& from : steps) {
    for (const std::size_t to : {0, 1}) from[to] = label_of(vram[to], pick_amount(random));
  }
  return steps;
}

/// What passes of the pairs of both sides with one unit more on side `to`.
Pairs extended(const std::array<Pairs, 2>& pairs, const LabelSteps<2>& steps, std::size_t to,
               std::int64_t most_vram) {
  Pairs passed;
  for (const std::size_t from : {0, 1}) {
    const auto& step = steps[from][to].amounts;
    for (const auto& [vram, time] : pairs[from]) {
      const auto with = std::pair(vram + step[kVram], time + step[kSerial]);
      if (with.first <= most_vram && with.first + with.second <= kMostPrice) passed.insert(with);
    }
  }
  return passed;
}

void expect_in_order(const PairFronts& fronts, std::size_t side) {
  const auto labels = fronts.labels(side);
  for (std::size_t index = 1; index < labels.size(); ++index) {
    ASSERT_LE(labels[index - 1].amounts[kVram], labels[index].amounts[kVram]);
    ASSERT_GT(labels[index - 1].amounts[kSerial], labels[index].amounts[kSerial])
        << "the more VRAM the less time";
  }
}

void expect_origins(const PairFronts& fronts, std::size_t side, const PairFronts& before,
                    const LabelSteps<2>& steps, std::size_t every = 1) {
  const auto labels = fronts.labels(side);
  for (std::size_t index = 0; index < labels.size(); index += every) {
    const auto origin = origin_of(fronts.fates(), {side, index});
    const auto& from = before.labels(origin.side)[origin.index];
    const auto& step = steps[origin.side][side];
    ASSERT_EQ(labels[index].amounts[kVram], from.amounts[kVram] + step.amounts[kVram]);
    ASSERT_EQ(labels[index].amounts[kSerial], from.amounts[kSerial] + step.amounts[kSerial]);
    ASSERT_EQ(labels[index].excess, from.excess + step.excess);
  }
}

/// Beside it only what takes as much VRAM as one of it, and more time.
TEST(Fronts, KeepTheParetoFrontOfWhatPasses) {
  std::mt19937 random(97);
  std::size_t most = 0;
  for (int round = 0; round < 200; ++round) {
    PairFronts fronts(kVram);
    PairFronts next(kVram);
    std::array<Pairs, 2> pairs;
    for (const std::size_t side : {0, 1}) {
      fronts.begin(side, label_of(pick_amount(random), pick_amount(random)));
      pairs[side] = pairs_of(fronts, side);
    }
    for (int unit = 0; unit < 12; ++unit) {
      const auto steps = random_steps(random);
      const auto most_vram = static_cast<std::int64_t>(pick(random, 20, 60));
      next.extend(fronts, steps, sieve_of(most_vram));
      std::array<Pairs, 2> next_pairs;
      for (const std::size_t to : {0, 1}) {
        next_pairs[to] = pareto(extended(pairs, steps, to, most_vram));
        ASSERT_EQ(pareto(pairs_of(next, to)), next_pairs[to]) << "round " << round << ", unit " << unit;
        expect_in_order(next, to);
        expect_origins(next, to, fronts, steps);
        if (HasFatalFailure()) return;
      }
      std::swap(fronts, next);
      pairs = next_pairs;
      most = std::max(most, fronts.size());
    }
  }
  EXPECT_GT(most, 20U);
}

/// Thousands of labels, so that room for them grows.
TEST(Fronts, KeepTheirLabelsAsRoomGrows) {
  PairFronts fronts(kVram);
  PairFronts next(kVram);
  LabelSteps<2> steps{};
  fronts.begin(0, {});
  std::int64_t unit = 1;
  for (; fronts.size() < 100'000; unit *= 2) {
    for (auto& from : steps) {
      from[0].amounts = {0, unit};
      from[1].amounts = {unit, 0};
    }
    next.extend(fronts, steps, sieve_of(2 * unit));
    std::swap(fronts, next);
  }
  for (const std::size_t side : {0, 1}) {
    const auto labels = fronts.labels(side);
    ASSERT_EQ(static_cast<std::int64_t>(labels.size()), unit / 2);
    for (std::int64_t index = 0; index < unit / 2; ++index) {
      const auto vram = index + (side == 1 ? unit / 2 : 0);
      ASSERT_EQ(labels[static_cast<std::size_t>(index)].amounts, (Amounts<2>{vram, unit - 1 - vram}));
    }
    expect_origins(fronts, side, next, steps, 997);
  }
}

TEST(Fronts, KeepTheNearestWhereThereAreTooMany) {
  PairFronts fronts(kVram);
  fronts.begin(0, label_of(1, 8));
  fronts.begin(1, label_of(4, 2));
  PairFronts both(kVram);
  both.extend(fronts, {}, sieve_of(100));
  both.keep_nearest(0, 2);
  EXPECT_EQ(pairs_of(both, 0), (Pairs{{1, 8}, {4, 2}}));
  both.keep_nearest(0, 1);
  EXPECT_EQ(pairs_of(both, 0), (Pairs{{4, 2}}));
  EXPECT_EQ(origin_of(both.fates(), {0, 0}), (LabelPlace{1, 0}));
  EXPECT_EQ(pairs_of(both, 1), (Pairs{{1, 8}, {4, 2}}));
}

TEST(Fronts, KeepNothingWhereAUnitMustNotBe) {
  PairFronts fronts(kVram);
  fronts.begin(0, label_of(0, 0));
  LabelSteps<2> steps{};
  for (auto& from : steps) from[1].excess = Excess::too_much();
  PairFronts next(kVram);
  next.extend(fronts, steps, sieve_of(100));
  EXPECT_EQ(next.labels(0).size(), 1U);
  EXPECT_EQ(next.labels(1).size(), 0U);
}

/// What has nothing on the GPU takes no more of anything, but may come to nothing.
TEST(Fronts, KeepWhatIsOnTheGpuWhereSomethingMustBe) {
  PairFronts fronts(kVram);
  fronts.begin(0, label_of(0, 5));
  fronts.begin(1, label_of(3, 7));
  PairFronts both(kVram);
  auto sieve = sieve_of(100);
  both.extend(fronts, {}, sieve);
  EXPECT_EQ(pairs_of(both, 0), (Pairs{{0, 5}}));
  sieve.needs_gpu = true;
  both.extend(fronts, {}, sieve);
  EXPECT_EQ(pairs_of(both, 0), (Pairs{{0, 5}, {3, 7}}));
}

}  // namespace
}  // namespace tandem::planner
