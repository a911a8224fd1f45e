// Models of six layers and more, past their windows, served by the CPU and the emulated GPU: teacher-forced,
// several sequences in chunks, 16 random placements, against all of it on the CPU.  Where both devices round
// activations to integers, what that alone does to the scores, against the same weights as floats, is the
// measure.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cuda/accelerator.h"
#include "tests/backends/cuda/test_device.h"
#include "tests/backends/float_model.h"
#include "tests/daemon/engine/requests.h"
#include "tests/daemon/engine/served_model.h"
#include "tests/support/fixture.h"

namespace tandem::engine {
namespace {

using model::TokenId;
using planner::Device;

constexpr std::size_t kTokens = 160;  // windows are 8 to 128
constexpr std::uint32_t kSequences = 3;
constexpr std::uint32_t kMicroBatch = 34;

/// A model, F32 or quantised.
struct DeepModel {
  const char* name;
  std::function<model::Header()> header;
};

DeepModel embedded_model() {
  return {"embedded", [] {
            return model::read_header(test_support::source_path("config/embedded/tandem-tiny-q4_0.gguf"));
          }};
}

DeepModel fixture_of(const char* name) {
  return {name,
          [name] { return model::read_header(test_support::reference_path(std::string(name) + ".gguf")); }};
}

DeepModel quantised_fixture(const char* name) {
  return {name, [header = fixture_of(name).header] {
            return test_support::in_blocks(header(), model::TensorType::q8_0);
          }};
}

std::string name_of(const testing::TestParamInfo<DeepModel>& info) {
  return info.param.name;
}

planner::Workload workload_of(std::uint32_t sequences, std::uint32_t micro_batch,
                              planner::KvType kv_type = planner::KvType::f16) {
  planner::Workload workload;
  workload.max_seq_len = 192;
  workload.sequences = sequences;
  workload.micro_batch = micro_batch;
  workload.kv_type = kv_type;
  return workload;
}

std::unique_ptr<device::Accelerator> emulated(std::uint64_t seed) {
  return cuda::make_accelerator(cuda_test::open_test_device({.seed = seed}));
}

/// What one position says of the next token.
struct Position {
  float logprob = 0;  ///< of the given token
  TokenId best = 0;
  float margin = 0;  ///< of the best over the second
};

std::vector<Position> score(Served& served, const std::vector<std::vector<TokenId>>& sequences) {
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (const auto& tokens : sequences) {
    EngineRequest request;
    request.prompt = tokens;
    request.max_new_tok = 0;
    request.echo = true;
    request.logprobs = 2;
    sinks.push_back(served.submit(std::move(request)));
  }
  std::vector<Position> positions;
  for (const auto& sink : sinks) {
    EXPECT_EQ(sink->wait_finished().reason, FinishReason::length);
    for (std::size_t i = 1; i < sink->scores().size(); ++i) {
      const auto& scored = sink->scores()[i];
      positions.push_back({static_cast<float>(scored.logprob.value()), scored.top.at(0).token,
                           static_cast<float>(scored.top.at(0).logprob - scored.top.at(1).logprob)});
    }
  }
  return positions;
}

double rms(const std::vector<Position>& a, const std::vector<Position>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::pow(double{a[i].logprob} - b[i].logprob, 2);
  return std::sqrt(sum / static_cast<double>(a.size()));
}

/// Texts of the model's own, one after another, so that the scores mean something.
std::vector<TokenId> text_of(Served& served, std::size_t n, std::uint64_t seed) {
  std::vector<TokenId> tokens{2};
  while (tokens.size() < n) {
    EngineRequest request;
    request.prompt = tokens;
    request.max_new_tok = n - tokens.size();
    request.sampling.temperature = 1;
    request.sampling.seed = ++seed;
    const auto sink = served.submit(std::move(request));
    sink->wait_finished();
    tokens.insert(tokens.end(), sink->tokens().begin(), sink->tokens().end());
  }
  return tokens;
}

/// Texts with what all of it on the CPU says of them, and how far that is from the same weights with
/// activations as floats.
struct Reference {
  std::vector<std::vector<TokenId>> sequences;
  std::vector<Position> expected;
  double rounding = 0;

  explicit Reference(const model::Header& header) {
    Served on_cpu(header, workload_of(1, kTokens), std::nullopt, nullptr, 2);
    sequences = {text_of(on_cpu, kTokens, 100), text_of(on_cpu, 30, 200), text_of(on_cpu, 9, 300)};
    expected = score(on_cpu, sequences);
    Served float_activations(test_support::in_floats(header), workload_of(1, kTokens), std::nullopt, nullptr,
                             2);
    rounding = rms(score(float_activations, sequences), expected);
    EXPECT_GT(rounding, 0);
  }

  void expect_same_answers(const std::vector<Position>& positions, const std::string& what) const {
    const auto bound = 3 * rounding;
    ASSERT_EQ(positions.size(), expected.size()) << what;
    EXPECT_LE(rms(positions, expected), bound) << what;
    std::size_t same = 0;
    for (std::size_t i = 0; i < positions.size(); ++i) {
      const bool agrees = positions[i].best == expected[i].best;
      same += agrees ? 1 : 0;
      EXPECT_TRUE(agrees || expected[i].margin <= 2 * bound) << what << ", position " << i;
    }
    EXPECT_GE(static_cast<double>(same), 0.95 * static_cast<double>(positions.size())) << what;
    testing::Test::RecordProperty("rms_over_rounding: " + what,
                                  std::to_string(rms(positions, expected) / rounding));
  }
};

/// Some units on the device, and some not.
planner::Placement random_placement(std::mt19937& random, std::size_t layers) {
  while (true) {
    auto placement = planner::Placement::all_on(Device::cpu, layers);
    for (const auto unit : planner::all_units(layers)) {
      if (random() % 2 == 0) placement.move(unit, Device::emulated0);
    }
    if (planner::stages_of(placement).size() > 1) return placement;
  }
}

std::size_t layers_of(const model::Header& header) {
  return model::read_hyperparameters(header).layers.size();
}

class QuantisedModel : public testing::TestWithParam<DeepModel> {};

TEST_P(QuantisedModel, GivesTheSameAnswersWhereverItsHalvesAre) {
  const auto header = GetParam().header();
  const Reference reference(header);
  std::mt19937 random(91);
  for (int round = 0; round < 16; ++round) {
    Served split(header, workload_of(kSequences, kMicroBatch), random_placement(random, layers_of(header)),
                 emulated(random()), 2);
    reference.expect_same_answers(score(split, reference.sequences), "round " + std::to_string(round));
  }
}

TEST_P(QuantisedModel, GivesTheSameAnswersToPromptsWhoseWeightsAreStreamed) {
  const auto header = GetParam().header();
  const Reference reference(header);
  std::mt19937 random(92);
  auto workload = workload_of(kSequences, kMicroBatch);
  workload.stream_rows = 5;  // chunks of a scored prompt have seven
  const auto layers = layers_of(header);
  for (int round = 0; round < 6; ++round) {
    auto placement = random_placement(random, layers);
    placement.ffn[random() % layers] = Device::cpu;
    placement.attention[random() % layers] = Device::emulated0;
    Served split(header, workload, placement, emulated(random()), 2);
    ASSERT_EQ(limits_of(split.bound().plan(), 1).stream_rows, 5U);
    reference.expect_same_answers(score(split, reference.sequences), "streamed " + std::to_string(round));
  }
}

INSTANTIATE_TEST_SUITE_P(Deep, QuantisedModel,
                         testing::Values(embedded_model(), quantised_fixture("gemma3_7l"),
                                         quantised_fixture("gemma4_8l")),
                         name_of);

class FloatModel : public testing::TestWithParam<DeepModel> {};

TEST_P(FloatModel, GivesTheScoresOfTheCpuWhereverItsHalvesAre) {
  const auto header = GetParam().header();
  std::mt19937 random(93);
  const std::vector<std::vector<TokenId>> prompts{random_tokens(random, kTokens), random_tokens(random, 30),
                                                  random_tokens(random, 9)};
  Served on_cpu(header, workload_of(1, kTokens, planner::KvType::f32), std::nullopt, nullptr, 2);
  const auto expected = scores_of(on_cpu, prompts);
  const auto [low, high] = std::ranges::minmax(expected);
  for (int round = 0; round < 16; ++round) {
    Served split(header, workload_of(kSequences, kMicroBatch, planner::KvType::f32),
                 random_placement(random, layers_of(header)), emulated(random()), 2);
    const auto scores = scores_of(split, prompts);
    ASSERT_EQ(scores.size(), expected.size());
    // fp32 sums in another order; a log-probability is a logit less a mean of logits, both within 1e-4 of the
    // logits' range, which is no smaller than that of these.
    for (std::size_t i = 0; i < scores.size(); ++i)
      ASSERT_NEAR(scores[i], expected[i], 2e-4F * (high - low)) << "round " << round << ", score " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Deep, FloatModel,
                         testing::Values(fixture_of("gemma3_7l"), fixture_of("gemma4_7l_sliding"),
                                         fixture_of("gemma4_8l")),
                         name_of);

}  // namespace
}  // namespace tandem::engine
