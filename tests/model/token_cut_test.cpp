#include "model/token_cut.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace tandem::model {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<std::size_t> ids_within(const TokenCut& cut, const std::vector<float>& logits) {
  std::vector<std::size_t> ids;
  for_each_within(cut, logits, [&](std::size_t id, float logit) {
    EXPECT_EQ(logit, logits[id]);
    ids.push_back(id);
    return true;
  });
  return ids;
}

/// Those that are numbers, sorted as the order is defined.
std::vector<std::size_t> best_first(const std::vector<float>& logits) {
  std::vector<std::size_t> ids;
  for (std::size_t id = 0; id < logits.size(); ++id) {
    if (!std::isnan(logits[id])) ids.push_back(id);
  }
  std::ranges::stable_sort(ids, [&](auto a, auto b) { return logits[a] > logits[b]; });
  return ids;
}

std::vector<std::size_t> first(std::vector<std::size_t> ids, std::size_t n) {
  ids.resize(std::min(n, ids.size()));
  std::ranges::sort(ids);
  return ids;
}

/// Few different ones, so that many are equal; many, so that few are; odd ones.
std::vector<float> random_logits(std::mt19937& random) {
  std::vector<float> logits(1 + random() % 400);
  const auto kind = random() % 3;
  for (auto& logit : logits) {
    logit = static_cast<float>(random() % (kind == 0 ? 5 : 1'000'000)) / 1e3F - 2.0F;
    if (kind < 2 || random() % 3 != 0) continue;
    constexpr float kOdd[] = {kNan, -kInf, 0.0F, -0.0F, -1e-40F, 1e-40F, 3e38F, -3e38F};
    logit = kOdd[random() % std::size(kOdd)];
  }
  return logits;
}

TEST(TokenCut, KeysAreInTheOrderOfLogits) {
  const float ascending[] = {-kInf, -3e38F, -1.0F, -1e-40F, 0.0F, 1e-40F, 1.0F, 3e38F, kInf};
  for (std::size_t i = 0; i < std::size(ascending); ++i) {
    EXPECT_EQ(TokenCut::logit_of(TokenCut::key_of(ascending[i])), ascending[i]);
    if (i > 0) {
      EXPECT_LT(TokenCut::key_of(ascending[i - 1]), TokenCut::key_of(ascending[i]));
    }
  }
  EXPECT_EQ(TokenCut::key_of(-0.0F), TokenCut::key_of(0.0F));
}

TEST(TokenCut, TheBestAreThoseThatSortingPutsFirst) {
  std::mt19937 random(11);
  for (int round = 0; round < 3000; ++round) {
    const auto logits = random_logits(random);
    const auto count = 1 + random() % 450;
    ASSERT_EQ(ids_within(cut_of_best(logits, count), logits), first(best_first(logits), count)) << round;
  }
}

TEST(TokenCut, AMassIsReachedByTheFewestOfTheBest) {
  std::mt19937 random(12);
  for (int round = 0; round < 3000; ++round) {
    const auto logits = random_logits(random);
    auto order = best_first(logits);
    if (order.empty() || logits[order[0]] == -kInf) continue;
    const auto temperature = 0.1 + static_cast<double>(random() % 40) / 10;
    const double part = round % 7 == 0 ? 0.0 : static_cast<double>(random() % 1000) / 1001;
    TokenCut within;
    if (round % 2 == 1) {
      const auto count = 1 + random() % 450;
      within = cut_of_best(logits, count);
      order.resize(std::min<std::size_t>(count, order.size()));
    }
    const auto weigh = [&](std::size_t id) { return weight_of(logits[id], logits[order[0]], temperature); };
    const auto mass = std::accumulate(order.begin(), order.end(), 0.0,
                                      [&](double sum, std::size_t id) { return sum + weigh(id); });
    const auto cut = cut_of_mass(logits, within, logits[order[0]], temperature, part);
    const auto kept = ids_within(cut, logits);
    ASSERT_FALSE(kept.empty());
    ASSERT_EQ(kept, first(order, kept.size())) << round << ": not the best";
    // Sums in another order differ by less than this, relatively.
    constexpr double kRounding = 1e-12;
    double reached = 0.0;
    for (const auto id : kept) reached += weigh(id);
    ASSERT_GE(reached, part * mass * (1 - kRounding)) << round;
    const auto worst = *std::ranges::min_element(kept, {}, [&](auto id) { return logits[id]; });
    if (kept.size() > 1) {
      ASSERT_LT(reached - weigh(worst), part * mass * (1 + kRounding)) << round;
    }
  }
}

/// Near nothing of the mass left out and weights of next to nothing: what rounding loses is more than some
/// weigh.
TEST(TokenCut, ALastOneIsFoundWhateverRoundingLoses) {
  std::mt19937 random(13);
  for (int round = 0; round < 20'000; ++round) {
    std::vector<float> logits(2 + random() % 40);
    const auto scale = std::pow(10.0F, static_cast<float>(random() % 5) - 1.0F);
    for (auto& logit : logits) logit = std::uniform_real_distribution<float>(-scale, scale)(random);
    const auto order = best_first(logits);
    const auto temperature = std::pow(10.0, -static_cast<double>(random() % 4));
    const auto part = 1.0 - std::pow(10.0, -1.0 - static_cast<double>(random() % 16));
    const auto cut = cut_of_mass(logits, {}, logits[order[0]], temperature, part);
    const auto kept = ids_within(cut, logits);
    ASSERT_FALSE(kept.empty());
    ASSERT_EQ(kept, first(order, kept.size())) << round << ": not the best";
    ASSERT_TRUE(cut == TokenCut() || cut.equal <= logits.size()) << round;
    const auto last = TokenCut::logit_of(cut.key);
    ASSERT_TRUE(cut == TokenCut() || std::ranges::find(logits, last) != logits.end())
        << round << ": nobody's";
  }
}

TEST(TokenCut, OfEqualOnesSmallerIdsComeFirst) {
  const std::vector<float> logits(1000, -2.0F);
  EXPECT_EQ(cut_of_best(logits, 3).equal, 3U);
  EXPECT_EQ(ids_within(cut_of_best(logits, 3), logits), (std::vector<std::size_t>{0, 1, 2}));
  EXPECT_EQ(ids_within(cut_of_mass(logits, {}, -2.0F, 1.0, 0.0025), logits),
            (std::vector<std::size_t>{0, 1, 2}));
}

}  // namespace
}  // namespace tandem::model
