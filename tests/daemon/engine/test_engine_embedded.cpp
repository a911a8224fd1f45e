// The embedded model, past its window, served by the CPU and the emulated GPU: teacher-forced, 16 random
// placements, against all of it on the CPU.  Both devices round activations to integers; what that alone does
// to the scores, against the same weights as floats, is the measure.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cuda/accelerator.h"
#include "tests/backends/cuda/test_device.h"
#include "tests/backends/float_model.h"
#include "tests/daemon/engine/served_model.h"
#include "tests/support/fixture.h"

namespace tandem::engine {
namespace {

using model::TokenId;
using planner::Device;

constexpr std::size_t kTokens = 160;  // the window is 128

std::filesystem::path embedded_model() {
  return test_support::source_path("config/embedded/tandem-tiny-q4_0.gguf");
}

planner::Workload workload_of(std::uint32_t sequences, std::uint32_t micro_batch) {
  planner::Workload workload;
  workload.max_seq_len = 192;
  workload.sequences = sequences;
  workload.micro_batch = micro_batch;
  return workload;
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
    Served on_cpu(embedded_model(), workload_of(1, 160), 2);
    sequences = {text_of(on_cpu, kTokens, 100), text_of(on_cpu, 30, 200)};
    expected = score(on_cpu, sequences);
    Served float_activations(test_support::in_floats(header), workload_of(1, 160), std::nullopt, nullptr, 2);
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

planner::Placement random_placement(std::mt19937& random) {
  auto placement = planner::Placement::all_on(Device::cpu, 6);
  for (const auto unit : planner::all_units(6)) {
    if (random() % 2 == 0) placement.move(unit, Device::emulated0);
  }
  return placement;
}

TEST(EmbeddedModel, GivesTheSameAnswersWhereverItsHalvesAre) {
  const auto header = model::read_header(embedded_model());
  const Reference reference(header);
  std::mt19937 random(91);
  for (int round = 0; round < 16; ++round) {
    const auto placement = random_placement(random);
    Served split(header, workload_of(2, 34), placement,
                 cuda::make_accelerator(cuda_test::open_test_device({.seed = random()})), 2);
    reference.expect_same_answers(score(split, reference.sequences), "round " + std::to_string(round));
  }
}

TEST(EmbeddedModel, GivesTheSameAnswersToPromptsWhoseWeightsAreStreamed) {
  const auto header = model::read_header(embedded_model());
  const Reference reference(header);
  std::mt19937 random(92);
  auto workload = workload_of(2, 34);
  workload.stream_rows = 5;  // chunks of a scored prompt have seven
  for (int round = 0; round < 6; ++round) {
    auto placement = random_placement(random);
    placement.ffn[random() % 6] = Device::cpu;
    placement.attention[random() % 6] = Device::emulated0;
    auto device = cuda_test::open_test_device({.seed = random()});
    Served split(header, workload, placement, cuda::make_accelerator(std::move(device)), 2);
    ASSERT_EQ(limits_of(split.bound().plan(), 1).stream_rows, 5U);
    reference.expect_same_answers(score(split, reference.sequences), "streamed " + std::to_string(round));
  }
}

}  // namespace
}  // namespace tandem::engine
