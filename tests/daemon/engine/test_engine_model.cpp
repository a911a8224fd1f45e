#include <chrono>
#include <cmath>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/daemon/engine/recording_sink.h"
#include "tests/daemon/engine/served_model.h"
#include "tests/support/fixture.h"

namespace tandem::engine {
namespace {

using model::TokenId;
using namespace std::chrono_literals;
using test_support::Fixture;
using test_support::reference_path;

/// The file of reference model `name`.
std::filesystem::path file_of(const std::string& name) {
  return reference_path(name + ".gguf");
}

planner::Workload small_workload(std::uint32_t sequences, std::uint32_t micro_batch) {
  planner::Workload workload;
  workload.max_seq_len = 96;
  workload.sequences = sequences;
  workload.micro_batch = micro_batch;
  workload.kv_type = planner::KvType::f32;
  return workload;
}

std::vector<TokenId> copy(std::span<const std::int32_t> tokens) {
  return {tokens.begin(), tokens.end()};
}

/// Greedy, but no token is generated twice.
EngineRequest greedy_without_repeats(std::vector<TokenId> prompt, std::size_t max_new_tok) {
  EngineRequest request;
  request.prompt = std::move(prompt);
  request.max_new_tok = max_new_tok;
  request.sampling.temperature = 0;
  request.sampling.presence_penalty = 1e6F;
  return request;
}

class EngineModel : public testing::TestWithParam<const char*> {};

TEST_P(EngineModel, SeveralSequencesAtOnceContinueAsTransformersDoes) {
  const auto fixture = Fixture::load(reference_path(std::string(GetParam()) + "_greedy.fixture"));
  for (const auto& [sequences, micro_batch] : {std::pair{1U, 4U}, std::pair{3U, 7U}, std::pair{5U, 64U}}) {
    Served served(file_of(GetParam()), small_workload(sequences, micro_batch));
    std::vector<std::shared_ptr<RecordingSink>> sinks;
    for (std::size_t i = 0; i < fixture.row_count("prompt"); ++i) {
      const auto expected = fixture.i32_row("continuation", i);
      sinks.push_back(
          served.submit(greedy_without_repeats(copy(fixture.i32_row("prompt", i)), expected.size())));
    }
    for (std::size_t i = 0; i < sinks.size(); ++i) {
      EXPECT_EQ(sinks[i]->wait_finished().reason, FinishReason::length);
      EXPECT_EQ(sinks[i]->tokens(), copy(fixture.i32_row("continuation", i))) << sequences << ", " << i;
    }
  }
}

/// Largest difference between scores of a prompt and log-softmax of transformers' logits.
double score_error(const std::vector<ScoredToken>& scores, std::span<const float> logits, std::size_t vocab) {
  double worst = 0;
  for (std::size_t i = 1; i < scores.size(); ++i) {
    const auto row = logits.subspan((i - 1) * vocab, vocab);
    double sum = 0;
    for (const float logit : row) sum += std::exp(static_cast<double>(logit));
    const double expected = row[static_cast<std::size_t>(scores[i].token)] - std::log(sum);
    worst = std::max(worst, std::abs(expected - scores[i].logprob.value()));
  }
  return worst;
}

TEST_P(EngineModel, PromptScoresAreTransformersLogProbabilities) {
  const auto fixture = Fixture::load(reference_path(std::string(GetParam()) + ".fixture"));
  Served served(file_of(GetParam()), small_workload(4, 20));
  const auto vocab = served.bound().hyper().vocab;
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  const auto lengths = fixture.i32("lengths");
  for (const auto length : lengths) {
    EngineRequest request;
    request.prompt = copy(fixture.i32("tokens_" + std::to_string(length)));
    request.max_new_tok = 0;
    request.echo = true;
    request.logprobs = 3;
    sinks.push_back(served.submit(std::move(request)));
  }
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    sinks[i]->wait_finished();
    const auto logits = fixture.f32("logits_" + std::to_string(lengths[i]));
    ASSERT_EQ(sinks[i]->scores().size(), static_cast<std::size_t>(lengths[i]));
    const auto [low, high] = std::minmax_element(logits.begin(), logits.end());
    // Each logit is within 2e-5 of the range; a log-probability is a logit less a mean of logits.
    EXPECT_LE(score_error(sinks[i]->scores(), logits, vocab), 4e-5 * (*high - *low)) << lengths[i];
  }
}

TEST_P(EngineModel, TheSameSeedGivesTheSameTextInAnyCompanyAndPlan) {
  const auto request = [](std::size_t length, std::uint64_t seed) {
    EngineRequest sampled;
    for (std::size_t i = 0; i < length; ++i)
      sampled.prompt.push_back(static_cast<TokenId>(40 + i * 13 % 300));
    sampled.max_new_tok = 16;
    sampled.sampling.seed = seed;
    sampled.sampling.temperature = 1.5F;
    sampled.sampling.presence_penalty = 50.0F;
    return sampled;
  };
  Served alone(file_of(GetParam()), small_workload(1, 33));
  const auto expected = alone.submit(request(37, 5));
  expected->wait_finished();

  Served busy(file_of(GetParam()), small_workload(4, 12), 2);
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (std::size_t i = 0; i < 12; ++i) {
    sinks.push_back(busy.submit(i % 4 == 2 ? request(37, 5) : request(1 + 5 * i, 100 + i)));
  }
  for (std::size_t i = 0; i < sinks.size(); ++i) {
    sinks[i]->wait_finished();
    if (i % 4 != 2) continue;
    EXPECT_EQ(sinks[i]->tokens(), expected->tokens()) << i;
  }
  ASSERT_TRUE(busy.engine().wait_idle(60s));
  EXPECT_EQ(busy.engine().stats().free_pages, busy.bound().plan().kv_pages.pages);
}

INSTANTIATE_TEST_SUITE_P(Models, EngineModel,
                         testing::Values("gemma3_7l", "gemma3_4l", "gemma4_8l", "gemma4_7l_sliding"),
                         [](const auto& model) { return std::string(model.param); });

TEST(BytesRead, CountsWeightsOnceAndEveryVisibleRowOnce) {
  Served served(file_of("gemma4_8l"), small_workload(2, 16));
  const auto& plan = served.bound().plan();
  Rows rows;
  rows.tokens.assign(5, 2);
  device::SequenceRows decode;
  decode.rows = 1;
  decode.first_position = 70;
  device::SequenceRows prompt;
  prompt.slot = 1;
  prompt.first_row = 1;
  prompt.rows = 4;
  rows.sequences = {decode, prompt};

  std::uint64_t weights = 0;
  std::uint64_t kv = 0;
  for (const auto& layer : plan.layers) {
    const auto row_bytes = layer.kv_bytes / layer.kv_cells;
    const bool sliding = layer.kind == model::LayerKind::sliding;  // of window 16
    weights += layer.weight_bytes;
    kv += ((sliding ? 16 : 71) + 4) * row_bytes;
  }
  EXPECT_EQ(bytes_read(plan, rows).weights, weights);
  EXPECT_EQ(bytes_read(plan, rows).kv, kv);
  rows.wanted = {0};
  EXPECT_EQ(bytes_read(plan, rows).weights, weights + plan.head.bytes);
}

}  // namespace
}  // namespace tandem::engine
