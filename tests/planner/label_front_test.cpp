#include "planner/label_front.h"

#include <algorithm>
#include <functional>
#include <random>
#include <set>
#include <tuple>

#include <gtest/gtest.h>

#include "tests/planner/subjects.h"

namespace tandem::planner {
namespace {

using planner_test::pick;
using PairFront = Front<2>;
using Pairs = std::set<std::pair<std::int64_t, std::int64_t>>;  ///< of VRAM and time

Sieve<2> sieve_of(std::int64_t most_vram, double most_price) {
  Sieve<2> sieve;
  sieve.most_vram = most_vram;
  sieve.most_price = {most_price};
  return sieve;
}

Label<2> label_of(std::int64_t vram, std::int64_t time) {
  return {{vram, time}, {static_cast<double>(vram + time)}};
}

Pairs pairs_of(const PairFront& front) {
  Pairs pairs;
  for (std::size_t index = 0; index < front.size(); ++index)
    pairs.emplace(front.amounts(kVram)[index], front.amounts(kSerial)[index]);
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
  for (int round = 0; round < 200; ++round) {
    Grown grown(random);
    for (int unit = 0; unit < 12; ++unit) {
      std::array<PairFront, 2> next{PairFront(kVram), PairFront(kVram)};
      std::array<Pairs, 2> next_pairs;
      for (const std::size_t to : {0, 1}) {
        const PairFront::Steps steps{Grown::random_step(random), Grown::random_step(random)};
        const auto most_vram = static_cast<std::int64_t>(pick(random, 20, 60));
        const auto most_price = static_cast<double>(pick(random, 50, 120));
        EXPECT_TRUE(next[to].merge(grown.fronts, steps, sieve_of(most_vram, most_price), 100'000));
        for (const std::size_t from : {0, 1}) {
          for (const auto& [vram, time] : grown.pairs[from]) {
            const auto with =
                std::pair(vram + steps[from].amounts[kVram], time + steps[from].amounts[kSerial]);
            const auto price = static_cast<double>(with.first + with.second);
            if (with.first <= most_vram && price <= most_price) next_pairs[to].insert(with);
          }
        }
        next_pairs[to] = pareto(next_pairs[to]);
        ASSERT_EQ(pareto(pairs_of(next[to])), next_pairs[to]) << "round " << round << ", unit " << unit;
        const auto* vram = next[to].amounts(kVram);
        const auto* time = next[to].amounts(kSerial);
        ASSERT_TRUE(std::is_sorted(vram, vram + next[to].size()));
        ASSERT_TRUE(std::is_sorted(time, time + next[to].size(), std::greater{}))
            << "the more VRAM the less time";
        for (std::size_t index = 0; index < next[to].size(); ++index) {
          const auto origin = next[to].origins()[index];
          const auto& from = grown.fronts[origin % 2];
          ASSERT_EQ(next[to].amounts(kVram)[index],
                    from.amounts(kVram)[origin / 2] + steps[origin % 2].amounts[kVram]);
          ASSERT_EQ(next[to].prices(0)[index], from.prices(0)[origin / 2] + steps[origin % 2].prices[0]);
        }
      }
      grown.fronts = next;
      grown.pairs = next_pairs;
      most = std::max(most, next[0].size());
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
  EXPECT_TRUE(both.merge(fronts, none, sieve_of(100, 100), 2));
  EXPECT_EQ(pairs_of(both), (Pairs{{1, 8}, {4, 2}}));
  EXPECT_FALSE(both.merge(fronts, none, sieve_of(100, 100), 1));
  EXPECT_EQ(pairs_of(both), (Pairs{{4, 2}}));
}

/// What has nothing on the GPU takes no more of anything, but may come to nothing.
TEST(Front, KeepsWhatIsOnTheGpuWhereSomethingMustBe) {
  std::array<PairFront, 2> fronts{PairFront(kVram), PairFront(kVram)};
  fronts[0].begin(label_of(0, 5));
  fronts[1].begin(label_of(3, 7));
  PairFront both(kVram);
  auto sieve = sieve_of(100, 100);
  both.merge(fronts, {}, sieve, 10);
  EXPECT_EQ(pairs_of(both), (Pairs{{0, 5}}));
  sieve.needs_gpu = true;
  both.merge(fronts, {}, sieve, 10);
  EXPECT_EQ(pairs_of(both), (Pairs{{0, 5}, {3, 7}}));
}

}  // namespace
}  // namespace tandem::planner
