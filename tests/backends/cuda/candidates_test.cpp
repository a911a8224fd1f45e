// Rows of logits reduced on the emulated device: the best of them, and the CPU sampler's choice from them.

#include "backends/cuda/candidates.h"

#include <algorithm>
#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "model/sampling.h"
#include "tests/backends/cuda/emulated.h"
#include "tests/backends/cuda/test_device.h"

namespace tandem::cuda_test {
namespace {

using device::Candidate;
using device::TokenEdit;

/// Logits of several rows, which lie `vocab` + 3 apart.
struct Rows {
  std::uint32_t n;
  std::uint32_t vocab;
  std::vector<float> logits;

  [[nodiscard]] std::uint32_t stride() const { return vocab + 3; }
  [[nodiscard]] std::span<const float> row(std::size_t r) const {
    return std::span(logits).subspan(r * stride(), vocab);
  }
};

/// `kind` 0: all different; 1: few different values; 2: numbers, infinities and what is no number.
Rows random_rows(std::uint32_t n, std::uint32_t vocab, unsigned kind, std::mt19937& random) {
  Rows rows{n, vocab, {}};
  std::normal_distribution<float> values(0.0f, kind == 0 ? 4.0f : 1.5f);
  for (std::uint32_t i = 0; i < n * rows.stride(); ++i) {
    float value = values(random);
    if (kind == 1) value = std::round(value);
    if (kind == 2 && random() % 5 == 0) value = random() % 2 == 0 ? NAN : -INFINITY;
    if (kind == 2 && random() % 5 == 0) value = random() % 2 == 0 ? 0.0f : -0.0f;
    rows.logits.push_back(i % rows.stride() < vocab ? value : 1e9f);  // nobody may choose what lies beyond
  }
  return rows;
}

/// A device and a stream that reduce rows.
struct Reducer {
  cuda::Device device;
  cuda::Stream stream;

  explicit Reducer(std::uint64_t seed) : device(open_test_device({.seed = seed})), stream(device) {}

  std::vector<Candidate> reduce(const Rows& rows, const std::vector<TokenEdit>& edits) {
    const auto logits = upload<float>(device, stream, rows.logits);
    const auto on_device =
        upload<TokenEdit>(device, stream, edits.empty() ? std::vector<TokenEdit>(1) : edits);
    const std::size_t n = std::size_t{rows.n} * device::kMostCandidates;
    const cuda::DeviceMemory candidates(device, n * sizeof(Candidate));
    device::LogitReduction reduction;
    reduction.logits = as<float>(logits);
    reduction.rows = rows.n;
    reduction.stride = rows.stride();
    reduction.vocab = rows.vocab;
    reduction.edits = as<const TokenEdit>(on_device);
    reduction.n_edits = static_cast<std::uint32_t>(edits.size());
    reduction.candidates = as<Candidate>(candidates);
    cuda::reduce(stream, reduction);
    return download<Candidate>(device, stream, candidates, n);
  }
};

/// By sorting all of a row.
std::vector<Candidate> best_of(std::span<const float> logits) {
  std::vector<Candidate> all;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (!std::isnan(logits[i])) all.push_back({static_cast<std::int32_t>(i), logits[i]});
  }
  std::ranges::stable_sort(all, [](const auto& a, const auto& b) { return a.logit > b.logit; });
  all.resize(device::kMostCandidates);
  return all;
}

TEST(Candidates, AreTheBestOfARow) {
  std::mt19937 random(1);
  for (const std::uint32_t vocab : {1u, 7u, 255u, 256u, 300u, 2048u, 4095u, 4096u, 9001u, 40961u}) {
    for (unsigned kind = 0; kind < 3; ++kind) {
      const Rows rows = random_rows(2, vocab, kind, random);
      const auto candidates = Reducer(random()).reduce(rows, {});
      for (std::size_t r = 0; r < rows.n; ++r) {
        const auto expected = best_of(rows.row(r));
        for (std::size_t i = 0; i < expected.size(); ++i) {
          const Candidate& actual = candidates[r * expected.size() + i];
          ASSERT_EQ(actual.token, expected[i].token) << vocab << " " << kind << " " << r << " " << i;
          ASSERT_EQ(actual.logit, expected[i].logit) << vocab << " " << kind << " " << r << " " << i;
        }
      }
    }
  }
}

TEST(Candidates, DoNotDependOnTheOrderOfThreads) {
  std::mt19937 random(2);
  const Rows rows = random_rows(3, 20000, 1, random);
  const auto expected = Reducer(0).reduce(rows, {});
  for (std::uint64_t seed = 1; seed < kSeeds; ++seed) {
    const auto candidates = Reducer(seed).reduce(rows, {});
    EXPECT_EQ(std::memcmp(candidates.data(), expected.data(), expected.size() * sizeof(Candidate)), 0);
  }
}

model::SamplingParams random_params(std::uint32_t vocab, std::mt19937& random) {
  const auto any = [&random](std::initializer_list<float> of) { return of.begin()[random() % of.size()]; };
  model::SamplingParams params;
  params.temperature = any({0.0f, 0.3f, 1.0f, 2.0f});
  params.top_k = 1 + random() % std::min(vocab - 1, device::kMostCandidates);
  params.top_p = any({0.1f, 0.5f, 0.95f, 1.0f});
  params.min_p = any({0.0f, 0.02f, 0.5f});
  params.repetition_penalty = any({1.0f, 1.3f});
  params.presence_penalty = any({0.0f, 0.7f});
  params.frequency_penalty = any({0.0f, 0.2f});
  params.seed = random();
  for (unsigned i = 0; i < random() % 4; ++i) {
    params.logit_bias.emplace_back(static_cast<model::TokenId>(random() % vocab),
                                   any({-100.0f, 2.5f, 30.0f}));
  }
  std::ranges::sort(params.logit_bias);
  const auto same = std::ranges::unique(params.logit_bias, {}, [](const auto& bias) { return bias.first; });
  params.logit_bias.erase(same.begin(), same.end());
  return params;
}

/// The choice from what the device leaves of a row.
model::TokenId choose(model::Sampler& sampler, const Rows& rows, Reducer& reducer) {
  std::vector<model::LogitEdit> all;
  sampler.edits(rows.vocab, all);
  std::vector<TokenEdit> edits;
  for (const auto& edit : all) {
    edits.push_back({0, static_cast<std::uint32_t>(edit.token), edit.added, edit.penalty, edit.subtracted,
                     edit.forbidden ? 1u : 0u});
  }
  std::vector<model::TokenLogit> best;
  for (const Candidate& candidate : reducer.reduce(rows, edits)) {
    if (candidate.token >= 0) best.push_back({candidate.token, candidate.logit});
  }
  return sampler.sample_best(best, rows.vocab);
}

TEST(Candidates, GiveTheCpuSamplersChoice) {
  std::mt19937 random(3);
  std::uint64_t different_tokens = 0;
  for (unsigned round = 0; round < 150; ++round) {
    const std::uint32_t vocab = 2 + random() % (round % 10 == 0 ? 9000 : 600);
    const auto params = random_params(vocab, random);
    const std::vector<model::TokenId> prompt = {1, static_cast<model::TokenId>(vocab / 2), 100000};
    const std::vector<model::TokenId> suppressed = {0, static_cast<model::TokenId>(vocab / 3)};
    model::Sampler on_host(params, prompt, suppressed), on_device(params, prompt, suppressed);
    ASSERT_GT(on_device.wanted(vocab), 0u);
    Reducer reducer(round);
    Rows rows = random_rows(1, vocab, round % 3, random);
    model::TokenId last = -1;
    for (unsigned step = 0; step < 6; ++step) {
      if (step % 3 == 2) rows = random_rows(1, vocab, round % 3, random);
      const auto row = rows.row(0);
      std::vector<float> logits(row.begin(), row.end());
      const auto expected = on_host.sample(logits);
      ASSERT_EQ(choose(on_device, rows, reducer), expected) << "round " << round << ", step " << step;
      different_tokens += expected != last ? 1 : 0;
      last = expected;
    }
  }
  EXPECT_GT(different_tokens, 300u);  // or there was nothing to choose from
}

TEST(Candidates, OfARowWithoutNumbersAreNone) {
  Rows rows{1, 5, std::vector<float>(8, NAN)};
  Reducer reducer(0);
  EXPECT_EQ(reducer.reduce(rows, {})[0].token, -1);
  model::SamplingParams greedy;
  greedy.temperature = 0.0f;
  model::Sampler first_allowed(greedy, {}, std::vector<model::TokenId>{0, 1});
  EXPECT_EQ(choose(first_allowed, rows, reducer), 2);
}

TEST(Candidates, ComeWithACountOfWhatIsNoNumber) {
  std::mt19937 random(4);
  Rows rows = random_rows(3, 9000, 0, random);
  rows.logits[5] = NAN;
  rows.logits[8000] = INFINITY;
  rows.logits[rows.stride() * 2 + 4000] = -INFINITY;
  Reducer reducer(1);
  const auto logits = upload<float>(reducer.device, reducer.stream, rows.logits);
  const cuda::DeviceMemory candidates(reducer.device, 3 * device::kMostCandidates * sizeof(Candidate));
  const cuda::DeviceMemory unusable(reducer.device, 3 * sizeof(std::uint32_t));
  device::LogitReduction reduction;
  reduction.logits = as<float>(logits);
  reduction.rows = rows.n;
  reduction.stride = rows.stride();
  reduction.vocab = rows.vocab;
  reduction.candidates = as<Candidate>(candidates);
  reduction.unusable = as<std::uint32_t>(unusable);
  cuda::reduce(reducer.stream, reduction);
  EXPECT_EQ(download<std::uint32_t>(reducer.device, reducer.stream, unusable, 3),
            (std::vector<std::uint32_t>{2, 0, 1}));
}

TEST(Wanted, IsNothingWhereAllLogitsCount) {
  model::SamplingParams params;
  EXPECT_EQ(model::Sampler(params, {}, {}).wanted(1000), 64u);
  EXPECT_EQ(model::Sampler(params, {}, {}).wanted(64), 0u);
  params.top_k = 0;
  EXPECT_EQ(model::Sampler(params, {}, {}).wanted(1000), 0u);
  params.temperature = 0.0f;
  EXPECT_EQ(model::Sampler(params, {}, {}).wanted(1000), 1u);
}

}  // namespace
}  // namespace tandem::cuda_test
