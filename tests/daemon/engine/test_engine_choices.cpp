// Tokens chosen from what a device leaves of its logits: the same as from all of them, which do not travel.

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cuda/accelerator.h"
#include "backends/cuda/emulation/device.h"
#include "tests/daemon/engine/served_model.h"
#include "tests/support/fixture.h"

namespace tandem::engine {
namespace {

using model::TokenId;
using planner::Device;

constexpr std::uint32_t kChoosingSequences = 4;

/// The head and the last FFN half on the device, the others on the CPU.
planner::Placement head_on_device(std::size_t layers) {
  auto placement = planner::Placement::all_on(Device::cpu, layers);
  placement.move({planner::UnitKind::ffn, static_cast<std::uint32_t>(layers - 1)}, Device::emulated0);
  placement.move({planner::UnitKind::head, 0}, Device::emulated0);
  return placement;
}

Served served_with_head_on_device(std::uint64_t seed) {
  auto header = model::read_header(test_support::reference_path("gemma4_4l.gguf"));
  planner::Workload workload;
  workload.max_seq_len = 64;
  workload.sequences = kChoosingSequences;
  workload.micro_batch = 24;
  const auto layers = model::read_hyperparameters(header).layers.size();
  return {std::move(header), workload, head_on_device(layers),
          cuda::make_accelerator(cuda::emulation::make_device({.seed = seed}))};
}

EngineRequest random_request(std::mt19937& random) {
  const auto any = [&random](std::initializer_list<float> of) { return of.begin()[random() % of.size()]; };
  EngineRequest request;
  for (auto n = 1 + random() % 9; n > 0; --n)
    request.prompt.push_back(static_cast<TokenId>(5 + random() % 250));
  request.max_new_tok = 8;
  auto& params = request.sampling;
  params.temperature = any({0.0F, 0.4F, 1.0F, 1.7F});
  params.top_k = 1 + random() % 200;
  params.top_p = any({0.3F, 0.95F, 1.0F});
  params.min_p = any({0.0F, 0.05F});
  params.repetition_penalty = any({1.0F, 1.4F});
  params.presence_penalty = any({0.0F, 0.8F});
  params.frequency_penalty = any({0.0F, 0.3F});
  params.seed = random();
  for (auto n = random() % 4; n > 0; --n) {
    params.logit_bias.emplace_back(static_cast<TokenId>(10 * n + random() % 10), any({-100.0F, 3.0F}));
  }
  return request;
}

/// What is generated for all of them at once.
std::vector<std::vector<TokenId>> answers(Served& served, const std::vector<EngineRequest>& requests) {
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (const auto& request : requests) sinks.push_back(served.submit(request));
  std::vector<std::vector<TokenId>> tokens;
  for (const auto& sink : sinks) {
    EXPECT_EQ(sink->wait_finished().error, "");
    tokens.push_back(sink->tokens());
  }
  return tokens;
}

TEST(EngineChoices, AreThoseFromAllLogits) {
  std::mt19937 random(1);
  std::vector<EngineRequest> requests(60);
  for (auto& request : requests) request = random_request(random);
  auto scored = requests;  // these need all logits
  for (auto& request : scored) request.logprobs = 0;
  auto mixed = requests;  // in steps with those that do not
  for (std::size_t i = 0; i < mixed.size(); i += 3) mixed[i].logprobs = 1;

  auto served = served_with_head_on_device(2);
  const auto expected = answers(served, scored);
  EXPECT_EQ(answers(served, requests), expected);
  EXPECT_EQ(answers(served, mixed), expected);
}

TEST(EngineChoices, KeepLogitsOnTheDevice) {
  std::mt19937 random(3);
  std::vector<EngineRequest> requests(8);
  for (auto& request : requests) request = random_request(random);
  auto served = served_with_head_on_device(4);
  const auto pinned = served.bound().logits();
  constexpr float kUntouched = 1234.5F;
  std::ranges::fill(pinned, kUntouched);
  answers(served, requests);
  const auto untouched = [&] {
    return std::ranges::all_of(pinned, [](float logit) { return logit == kUntouched; });
  };
  EXPECT_TRUE(untouched());
  requests.front().sampling.temperature = 1.0F;
  requests.front().sampling.top_k = 0;
  answers(served, {requests.front()});
  EXPECT_FALSE(untouched());
}

}  // namespace
}  // namespace tandem::engine
