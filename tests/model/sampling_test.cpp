#include "model/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/gguf_bytes.h"

namespace tandem::model {
namespace {

using testing::ElementsAre;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr std::uint32_t kRealVocab = 262'144;

std::vector<float> random_logits(std::size_t vocab, unsigned seed, float spread = 3.0F) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, spread);
  std::vector<float> logits(vocab);
  for (auto& logit : logits) logit = normal(random);
  return logits;
}

TokenId sample_copy(Sampler& sampler, std::vector<float> logits) {
  return sampler.sample(logits);
}

Sampler plain_sampler(const SamplingParams& params) {
  return {params, {}, {}};
}

/// The distribution by definition: sort everything, step after step, in double precision.
std::vector<double> distribution(const std::vector<float>& logits, const SamplingParams& params) {
  std::vector<std::size_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](auto a, auto b) { return logits[a] > logits[b]; });
  std::vector<double> weight(logits.size());
  for (const auto id : order) {
    weight[id] = std::exp((double{logits[id]} - double{logits[order[0]]}) / double{params.temperature});
  }
  if (params.top_k > 0 && params.top_k < order.size()) order.resize(params.top_k);
  double mass = 0.0;
  for (const auto id : order) mass += weight[id];
  double reached = 0.0;
  std::vector<std::size_t> kept;
  for (const auto id : order) {
    kept.push_back(id);
    reached += weight[id];
    if (params.top_p < 1.0F && reached >= double{params.top_p} * mass) break;
  }
  std::erase_if(kept, [&](auto id) { return weight[id] < double{params.min_p} * weight[order[0]]; });
  double total = 0.0;
  for (const auto id : kept) total += weight[id];
  std::vector<double> out(logits.size(), 0.0);
  for (const auto id : kept) out[id] = weight[id] / total;
  return out;
}

/// How often chi-square with `cells` - 1 degrees of freedom is above `value`, as a number of standard
/// deviations (Wilson and Hilferty, 1931).
double chi_square_deviations(double value, std::size_t cells) {
  const double freedom = static_cast<double>(cells) - 1.0;
  const double variance = 2.0 / (9.0 * freedom);
  return (std::cbrt(value / freedom) - (1.0 - variance)) / std::sqrt(variance);
}

/// Fails if `counts` could not come from `expected`; rare tokens are counted together.
void expect_frequencies(const std::vector<std::size_t>& counts, const std::vector<double>& expected) {
  const auto draws = static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::size_t{0}));
  double chi_square = 0.0;
  double rare_count = 0.0;
  double rare_expected = 0.0;
  std::size_t cells = 0;
  const auto add = [&](double count, double mean) {
    chi_square += (count - mean) * (count - mean) / mean;
    ++cells;
  };
  for (std::size_t id = 0; id < counts.size(); ++id) {
    if (expected[id] == 0.0) {
      ASSERT_EQ(counts[id], 0U) << "token " << id << " was to be left out";
    } else if (expected[id] * draws < 5.0) {
      rare_count += static_cast<double>(counts[id]);
      rare_expected += expected[id] * draws;
    } else {
      add(static_cast<double>(counts[id]), expected[id] * draws);
    }
  }
  if (rare_expected >= 5.0) add(rare_count, rare_expected);
  if (cells > 1) {
    EXPECT_LT(chi_square_deviations(chi_square, cells), 4.5) << chi_square << " in " << cells << " cells";
  }
}

TEST(Sampler, FrequenciesAreThoseOfTheDefinition) {
  std::mt19937 random(5);
  const auto one_of = [&](std::initializer_list<float> values) {
    return values.begin()[random() % values.size()];
  };
  for (unsigned round = 0; round < 150; ++round) {
    SamplingParams params;
    params.temperature = one_of({0.3F, 1.0F, 2.5F});
    params.top_k = static_cast<std::uint32_t>(one_of({0, 0, 2, 10, 64, 257, 500}));
    params.top_p = one_of({0.1F, 0.5F, 0.95F, 1.0F});
    params.min_p = one_of({0.0F, 0.0F, 0.05F, 0.5F, 1.0F});
    params.seed = round;
    const auto logits = random_logits(1 + random() % 300, round);
    auto sampler = plain_sampler(params);
    std::vector<std::size_t> counts(logits.size());
    for (int i = 0; i < 3000; ++i) ++counts[static_cast<std::size_t>(sample_copy(sampler, logits))];
    SCOPED_TRACE(testing::Message() << "round " << round << ": temperature " << params.temperature
                                    << " top_k " << params.top_k << " top_p " << params.top_p << " min_p "
                                    << params.min_p);
    expect_frequencies(counts, distribution(logits, params));
  }
}

/// At a temperature that makes tokens about equally likely, every token that is kept shows up.
TEST(Sampler, KeepsTheRightTokensOfARealVocabulary) {
  constexpr int kDraws = 250;
  const auto logits = random_logits(kRealVocab, 1);
  const SamplingParams by_count{.temperature = 1e6F, .top_k = 10, .top_p = 1.0F};
  const SamplingParams by_mass{.temperature = 1e6F, .top_k = 0, .top_p = 9.5F / kRealVocab};
  const SamplingParams by_ratio{.temperature = 10.0F, .top_k = 0, .top_p = 1.0F, .min_p = 0.85F};
  for (const auto& params : {by_count, by_mass, by_ratio}) {
    const auto expected = distribution(logits, params);
    auto sampler = plain_sampler(params);
    std::set<TokenId> drawn;
    for (int i = 0; i < kDraws; ++i) drawn.insert(sample_copy(sampler, logits));
    std::set<TokenId> kept;
    for (std::size_t id = 0; id < expected.size(); ++id) {
      if (expected[id] > 0.0) kept.insert(static_cast<TokenId>(id));
    }
    EXPECT_GE(kept.size(), 5U);
    EXPECT_LE(kept.size(), 12U);
    EXPECT_EQ(drawn, kept);
  }
}

TEST(Sampler, BiasesAreAddedToLogits) {
  const std::vector<float> logits = {1.0F, 2.0F, 3.0F};
  SamplingParams params;
  params.temperature = 0.0F;
  params.logit_bias = {{0, 2.5F}, {2, -0.25F}, {77, 100.0F}};
  auto sampler = plain_sampler(params);
  EXPECT_EQ(sample_copy(sampler, logits), 0);
  params.logit_bias = {{2, -1.5F}};
  auto other = plain_sampler(params);
  EXPECT_EQ(sample_copy(other, logits), 1);
}

TEST(Sampler, ABiasDoesNotBringSuppressedTokensBack) {
  SamplingParams params;
  params.temperature = 0.0F;
  params.logit_bias = {{1, 100.0F}};
  const std::vector<TokenId> suppressed = {1};
  Sampler sampler(params, {}, suppressed);
  EXPECT_EQ(sample_copy(sampler, std::vector<float>{1.0F, 2.0F, 0.0F}), 0);
}

/// A choice is scored by what its logit was when it came.
TEST(Sampler, RemembersTheChosenLogitAsItCame) {
  std::mt19937 random(21);
  for (unsigned round = 0; round < 100; ++round) {
    SamplingParams params{.top_k = round % 2 == 0 ? 0U : 5U, .seed = round};
    if (round % 3 == 1) params.repetition_penalty = 1.3F;
    if (round % 4 == 1) params.frequency_penalty = 0.2F;
    if (round % 5 == 1) params.logit_bias = {{3, 2.5F}, {1, -0.5F}, {5, 1.5F}};
    const std::vector<TokenId> prompt = {1, 5, 5, 99};
    const std::vector<TokenId> suppressed = {2};
    Sampler sampler(params, prompt, suppressed);
    for (int step = 0; step < 30; ++step) {
      const auto logits = random_logits(12, static_cast<unsigned>(random()));
      const auto token = sample_copy(sampler, logits);
      ASSERT_EQ(sampler.chosen_logit(), logits[static_cast<std::size_t>(token)]) << round << ", " << step;
    }
  }
}

TEST(Sampler, StepsAreIndependentOfEachOther) {
  const std::vector<float> flat(8, 1.0F);
  auto sampler = plain_sampler({.top_k = 0, .top_p = 1.0F, .seed = 3});
  std::vector<std::size_t> pairs(64);
  for (int i = 0; i < 20000; ++i) {
    const auto first = static_cast<std::size_t>(sample_copy(sampler, flat));
    ++pairs[first * 8 + static_cast<std::size_t>(sample_copy(sampler, flat))];
  }
  expect_frequencies(pairs, std::vector<double>(64, 1.0 / 64));
}

TEST(Sampler, NeighbouringSeedsAreIndependentOfEachOther) {
  const std::vector<float> flat(8, 1.0F);
  std::vector<std::size_t> pairs(64);
  std::size_t last = 0;
  for (std::uint64_t seed = 0; seed < 20000; ++seed) {
    auto sampler = plain_sampler({.top_k = 0, .top_p = 1.0F, .seed = seed});
    const auto token = static_cast<std::size_t>(sample_copy(sampler, flat));
    if (seed % 2 == 1) ++pairs[last * 8 + token];
    last = token;
  }
  expect_frequencies(pairs, std::vector<double>(64, 1.0 / 64));
}

TEST(Sampler, SeedAndStepDecideWhateverElseHappens) {
  const auto logits = random_logits(1000, 2);
  const auto other = random_logits(500, 3);
  auto alone = plain_sampler({.seed = 7});
  auto disturbed = plain_sampler({.seed = 7});
  auto stranger = plain_sampler({.seed = 8});
  std::size_t differ = 0;
  for (int i = 0; i < 200; ++i) {
    const auto expected = sample_copy(alone, logits);
    differ += sample_copy(stranger, logits) != expected;
    (void)sample_copy(stranger, other);
    EXPECT_EQ(sample_copy(disturbed, logits), expected);
  }
  EXPECT_GT(differ, 100U);
}

TEST(Sampler, GreedyTakesTheLargestAndTheSmallerIdOfEquals) {
  const std::vector<float> logits = {1.0F, 3.0F, kNan, 3.0F, -kInf};
  for (const auto& params : {SamplingParams{.temperature = 0.0F}, SamplingParams{.top_k = 1},
                             SamplingParams{.top_k = 0, .top_p = 0.0F}}) {
    auto sampler = plain_sampler(params);
    EXPECT_EQ(sample_copy(sampler, logits), 1);
  }
}

TEST(Sampler, EqualLogitsAreKeptBySmallerId) {
  for (const auto& params :
       {SamplingParams{.top_k = 3, .top_p = 1.0F}, SamplingParams{.top_k = 0, .top_p = 0.0025F}}) {
    auto sampler = plain_sampler(params);
    std::set<TokenId> drawn;
    for (int i = 0; i < 200; ++i) drawn.insert(sample_copy(sampler, std::vector<float>(1000, -2.0F)));
    EXPECT_THAT(drawn, ElementsAre(0, 1, 2));
  }
}

TEST(Sampler, SuppressedTokensAreNeverChosen) {
  const std::vector<TokenId> suppressed = {2, 0, 70'000, -1};
  for (const auto& params :
       {SamplingParams{.temperature = 0.0F}, SamplingParams{.top_k = 0, .top_p = 1.0F}}) {
    Sampler sampler(params, {}, suppressed);
    for (int i = 0; i < 50; ++i) EXPECT_EQ(sample_copy(sampler, {9.0F, 0.0F, 50.0F}), 1);
  }
}

/// Greedy choices, with penalties applied to all tokens seen, from the definition.
TEST(Sampler, PenaltiesFollowTheirDefinition) {
  for (unsigned round = 0; round < 60; ++round) {
    std::mt19937 random(round);
    SamplingParams params{.temperature = 0.0F};
    if (round % 2 == 1) params.repetition_penalty = 0.8F + 0.2F * static_cast<float>(random() % 5);
    if (round % 3 == 1) params.presence_penalty = -1.0F + 0.5F * static_cast<float>(random() % 6);
    if (round % 5 != 1) params.frequency_penalty = -0.2F + 0.1F * static_cast<float>(random() % 8);
    const auto logits = random_logits(12, round, 1.0F);
    const std::vector<TokenId> prompt = {1, 5, 5, 99};
    Sampler sampler(params, prompt, {});
    std::map<TokenId, int> generated;
    for (int step = 0; step < 40; ++step) {
      auto penalised = logits;
      for (TokenId id = 0; id < 12; ++id) {
        auto& logit = penalised[static_cast<std::size_t>(id)];
        const auto times = generated.contains(id) ? generated[id] : 0;
        const bool seen = times > 0 || std::ranges::find(prompt, id) != prompt.end();
        if (seen) logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
        if (times > 0)
          logit -= params.presence_penalty + static_cast<float>(times) * params.frequency_penalty;
      }
      const auto expected = static_cast<TokenId>(std::ranges::max_element(penalised) - penalised.begin());
      ASSERT_EQ(sample_copy(sampler, logits), expected) << "round " << round << " step " << step;
      ++generated[expected];
    }
  }
}

TEST(Sampler, LogitsThatAreNotFiniteDoNoHarm) {
  std::mt19937 random(9);
  const std::vector<float> odd = {kNan, kInf, -kInf, 3e38F, -3e38F, 1e-40F, 0.0F, 5.0F};
  for (int round = 0; round < 20000; ++round) {
    std::vector<float> logits(1 + random() % 6);
    for (auto& logit : logits) logit = odd[random() % odd.size()];
    SamplingParams params{.temperature = round % 3 == 0 ? 1e-30F : 1.0F,
                          .top_k = static_cast<std::uint32_t>(random() % 4),
                          .top_p = round % 2 == 0 ? 0.9F : 1.0F,
                          .min_p = round % 5 == 0 ? 0.1F : 0.0F};
    const std::vector<TokenId> suppressed = {0};
    Sampler sampler(params, {}, suppressed);
    const auto token = sample_copy(sampler, logits);
    ASSERT_GE(token, 0);
    ASSERT_LT(token, static_cast<TokenId>(logits.size()));
    logits[0] = -kInf;
    const bool any = std::ranges::any_of(logits, [](float x) { return x > -kInf; });
    if (any) {
      ASSERT_GT(logits[static_cast<std::size_t>(token)], -kInf) << testing::PrintToString(logits);
    } else {
      ASSERT_EQ(token, logits.size() > 1 ? 1 : 0);
    }
  }
}

TEST(Logprobs, AreTheLogOfTheSoftmax) {
  for (const std::size_t vocab : {std::size_t{1}, std::size_t{100}, std::size_t{kRealVocab}}) {
    const auto logits = random_logits(vocab, 4);
    long double sum = 0.0;
    for (const auto logit : logits) sum += std::exp(static_cast<long double>(logit));
    std::vector<TokenId> order(vocab);
    std::iota(order.begin(), order.end(), 0);
    std::ranges::sort(order, [&](auto a, auto b) {
      return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)];
    });
    const auto top = top_logprobs(logits, 20);
    ASSERT_EQ(top.size(), std::min<std::size_t>(20, vocab));
    for (std::size_t i = 0; i < top.size(); ++i) {
      EXPECT_EQ(top[i].token, order[i]);
      const auto exact = static_cast<long double>(logits[static_cast<std::size_t>(order[i])]) - std::log(sum);
      EXPECT_NEAR(top[i].logprob, static_cast<double>(exact), 1e-6 * std::max(1.0L, std::abs(exact)));
      EXPECT_EQ(logprob_of(logits, order[i]).logprob, top[i].logprob);
    }
  }
}

TEST(Logprobs, TiesGoToTheSmallerIdAndNoneAreNone) {
  const std::vector<float> logits(200, 0.5F);
  const auto top = top_logprobs(logits, 2);
  ASSERT_EQ(top.size(), 2U);
  EXPECT_EQ(top[0].token, 0);
  EXPECT_EQ(top[1].token, 1);
  EXPECT_FLOAT_EQ(top[1].logprob, -std::log(200.0F));
  EXPECT_TRUE(top_logprobs(logits, 0).empty());
}

TEST(RecommendedSampling, ReadsWhatTheFileSaysWithinItsRange) {
  const auto read = [](std::vector<std::string> keys) {
    test_support::GgufBytes file;
    file.keys = std::move(keys);
    const auto bytes = std::make_shared<const std::string>(file.bytes());
    return recommended_sampling(parse_header("test.gguf", std::as_bytes(std::span(*bytes)), bytes));
  };
  const auto silent = read({});
  EXPECT_EQ(silent.temperature, 1.0F);
  EXPECT_EQ(silent.top_k, 64U);
  EXPECT_EQ(silent.top_p, 0.95F);
  EXPECT_EQ(silent.min_p, 0.0F);
  EXPECT_EQ(silent.repetition_penalty, 1.0F);
  const auto said = read({test_support::key_f32("general.sampling.temp", 0.5F),
                          test_support::key_value("general.sampling.top_k", 5, test_support::le(20)),
                          test_support::key_f32("general.sampling.top_p", 0.25F),
                          test_support::key_f32("general.sampling.min_p", 0.125F),
                          test_support::key_f32("general.sampling.penalty_repeat", 1.25F)});
  EXPECT_EQ(said.temperature, 0.5F);
  EXPECT_EQ(said.top_k, 20U);
  EXPECT_EQ(said.top_p, 0.25F);
  EXPECT_EQ(said.min_p, 0.125F);
  EXPECT_EQ(said.repetition_penalty, 1.25F);
  const auto wild = read({test_support::key_f32("general.sampling.temp", kNan),
                          test_support::key_value("general.sampling.top_k", 5, test_support::le(-5)),
                          test_support::key_f32("general.sampling.top_p", 1.5F),
                          test_support::key_f32("general.sampling.penalty_repeat", 0.0F)});
  EXPECT_EQ(wild.repetition_penalty, 1.0F);
  EXPECT_EQ(wild.temperature, 1.0F);
  EXPECT_EQ(wild.top_k, 64U);
  EXPECT_EQ(wild.top_p, 0.95F);
}

}  // namespace
}  // namespace tandem::model
