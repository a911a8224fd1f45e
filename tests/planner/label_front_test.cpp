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
using PairFront = Front<2>;
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

Pairs pairs_of(const PairFront& front) {
  Pairs pairs;
  for (std::size_t index = 0; index < front.size(); ++index)
    pairs.emplace(front[index].amounts[kVram], front[index].amounts[kSerial]);
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

/// Two fronts grown side by side by random steps, as units on two sides are, and the same as sets.
struct Grown {
  std::array<PairFront, 2> fronts{PairFront(kVram), PairFront(kVram)};
  std::array<Pairs, 2> pairs;

  explicit Grown(std::mt19937& random) {
    for (const std::size_t side : {0, 1}) {
      const auto label = random_step(random);
      fronts[side].begin(label);
      pairs[side] = pairs_of(fronts[side]);
    }
  }
  static Label<2> random_step(std::mt19937& random) {
    return label_of(static_cast<std::int64_t>(pick(random, 0, 9)),
                    static_cast<std::int64_t>(pick(random, 0, 9)));
  }
};

/// Beside it only what takes as much VRAM as one of it, and more time.
TEST(Front, KeepsTheParetoFrontOfWhatPasses) {
  std::mt19937 random(97);
  std::size_t most = 0;
  std::array<PassedLabels, 2> work;
  for (int round = 0; round < 200; ++round) {
    Grown grown(random);
    for (int unit = 0; unit < 12; ++unit) {
      std::array<PairFront, 2> next{PairFront(kVram), PairFront(kVram)};
      std::array<Pairs, 2> next_pairs;
      for (const std::size_t to : {0, 1}) {
        const PairFront::Steps steps{Grown::random_step(random), Grown::random_step(random)};
        const auto most_vram = static_cast<std::int64_t>(pick(random, 20, 60));
        EXPECT_TRUE(next[to].merge(grown.fronts, steps, sieve_of(most_vram), 100'000, work));
        for (const std::size_t from : {0, 1}) {
          for (const auto& [vram, time] : grown.pairs[from]) {
            const auto with =
                std::pair(vram + steps[from].amounts[kVram], time + steps[from].amounts[kSerial]);
            if (with.first <= most_vram && with.first + with.second <= kMostPrice)
              next_pairs[to].insert(with);
          }
        }
        next_pairs[to] = pareto(next_pairs[to]);
        ASSERT_EQ(pareto(pairs_of(next[to])), next_pairs[to]) << "round " << round << ", unit " << unit;
        for (std::size_t index = 0; index < next[to].size(); ++index) {
          const auto& label = next[to][index];
          if (index > 0) {
            const auto& before = next[to][index - 1];
            ASSERT_LE(before.amounts[kVram], label.amounts[kVram]);
            ASSERT_GT(before.amounts[kSerial], label.amounts[kSerial]) << "the more VRAM the less time";
          }
          const auto origin = next[to].origins()[index];
          const auto& from = grown.fronts[origin % 2][origin / 2];
          const auto& step = steps[origin % 2];
          ASSERT_EQ(label.amounts[kVram], from.amounts[kVram] + step.amounts[kVram]);
          ASSERT_EQ(label.excess, from.excess + step.excess);
        }
      }
      grown.fronts = std::move(next);
      grown.pairs = next_pairs;
      most = std::max(most, grown.fronts[0].size());
    }
  }
  EXPECT_GT(most, 10U);
}

TEST(Front, KeepsTheCheapestWhereTooManyPass) {
  std::array<PairFront, 2> fronts{PairFront(kVram), PairFront(kVram)};
  fronts[0].begin(label_of(1, 8));
  fronts[1].begin(label_of(4, 2));
  PairFront both(kVram);
  const PairFront::Steps none{};
  std::array<PassedLabels, 2> work;
  EXPECT_TRUE(both.merge(fronts, none, sieve_of(100), 2, work));
  EXPECT_EQ(pairs_of(both), (Pairs{{1, 8}, {4, 2}}));
  EXPECT_FALSE(both.merge(fronts, none, sieve_of(100), 1, work));
  EXPECT_EQ(pairs_of(both), (Pairs{{4, 2}}));
}

/// What has nothing on the GPU takes no more of anything, but may come to nothing.
TEST(Front, KeepsWhatIsOnTheGpuWhereSomethingMustBe) {
  std::array<PairFront, 2> fronts{PairFront(kVram), PairFront(kVram)};
  fronts[0].begin(label_of(0, 5));
  fronts[1].begin(label_of(3, 7));
  PairFront both(kVram);
  std::array<PassedLabels, 2> work;
  auto sieve = sieve_of(100);
  both.merge(fronts, {}, sieve, 10, work);
  EXPECT_EQ(pairs_of(both), (Pairs{{0, 5}}));
  sieve.needs_gpu = true;
  both.merge(fronts, {}, sieve, 10, work);
  EXPECT_EQ(pairs_of(both), (Pairs{{0, 5}, {3, 7}}));
}

}  // namespace
}  // namespace tandem::planner
