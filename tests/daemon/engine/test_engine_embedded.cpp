// The embedded model, past its window, served by the CPU and the emulated GPU: teacher-forced, 16 random
// placements, against all of it on the CPU.  Both devices round activations to integers; what that alone does
// to the scores, against the same weights as floats, is the measure.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cpu/dequantise.h"
#include "backends/cuda/accelerator.h"
#include "tests/backends/cuda/test_device.h"
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

/// The same model with every matrix as floats, in memory.
model::Header in_floats(const model::Header& header) {
  auto floats = std::make_shared<std::vector<float>>();
  auto result = header;
  result.tensor_bytes = 0;
  for (auto& tensor : result.tensors) {
    const auto bytes = header.data(tensor);
    const auto first = floats->size();
    const auto type = static_cast<device::BlockType>(tensor.type);
    floats->resize(first + tensor.elems());
    for (std::size_t row = 0; row < tensor.elems() / tensor.dims[0]; ++row) {
      const auto elems = static_cast<std::uint32_t>(tensor.dims[0]);
      cpu::dequantise(type, bytes.data() + row * cpu::row_bytes(type, elems), elems,
                      floats->data() + first + row * elems);
    }
    tensor.type = model::TensorType::f32;
    tensor.part = 0;
    tensor.offset_bytes = first * sizeof(float);
    tensor.size_bytes = tensor.elems() * sizeof(float);
    result.tensor_bytes += tensor.size_bytes;
  }
  result.parts = {{header.parts.front().path, std::as_bytes(std::span(*floats))}};
  result.storage = std::make_shared<std::pair<std::shared_ptr<const void>, std::shared_ptr<const void>>>(
      header.storage, floats);
  return result;
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

TEST(EmbeddedModel, GivesTheSameAnswersWhereverItsHalvesAre) {
  const auto header = model::read_header(embedded_model());
  Served on_cpu(embedded_model(), workload_of(1, 160), 2);
  const std::vector<std::vector<TokenId>> sequences{text_of(on_cpu, kTokens, 100), text_of(on_cpu, 30, 200)};
  const auto expected = score(on_cpu, sequences);
  Served float_activations(in_floats(header), workload_of(1, 160), std::nullopt, nullptr, 2);
  const auto rounding = rms(score(float_activations, sequences), expected);
  ASSERT_GT(rounding, 0);
  const auto bound = 3 * rounding;

  std::mt19937 random(91);
  for (int round = 0; round < 16; ++round) {
    auto placement = planner::Placement::all_on(Device::cpu, 6);
    for (const auto unit : planner::all_units(6)) {
      if (random() % 2 == 0) placement.move(unit, Device::emulated0);
    }
    Served split(header, workload_of(2, 34), placement,
                 cuda::make_accelerator(cuda_test::open_test_device({.seed = random()})), 2);
    const auto positions = score(split, sequences);
    ASSERT_EQ(positions.size(), expected.size());
    EXPECT_LE(rms(positions, expected), bound) << round;
    std::size_t same = 0;
    for (std::size_t i = 0; i < positions.size(); ++i) {
      const bool agrees = positions[i].best == expected[i].best;
      same += agrees ? 1 : 0;
      EXPECT_TRUE(agrees || expected[i].margin <= 2 * bound) << "round " << round << ", position " << i;
    }
    EXPECT_GE(static_cast<double>(same), 0.95 * static_cast<double>(positions.size())) << round;
    RecordProperty("rms_over_rounding_" + std::to_string(round),
                   std::to_string(rms(positions, expected) / rounding));
  }
}

}  // namespace
}  // namespace tandem::engine
