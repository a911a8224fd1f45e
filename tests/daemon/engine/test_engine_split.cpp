// A model served by two devices, the CPU and the emulated GPU: the same answers wherever its units are.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cuda/accelerator.h"
#include "model/tensor_names.h"
#include "tests/backends/cuda/test_device.h"
#include "tests/daemon/engine/requests.h"
#include "tests/daemon/engine/served_model.h"
#include "tests/support/fixture.h"

namespace tandem::engine {
namespace {

using model::TokenId;
using planner::Device;
using namespace std::chrono_literals;
using test_support::reference_path;

std::unique_ptr<device::Accelerator> emulated(std::uint64_t seed) {
  return cuda::make_accelerator(cuda_test::open_test_device({.seed = seed}));
}

planner::Placement random_placement(std::mt19937& random, std::size_t layers) {
  auto placement = planner::Placement::all_on(Device::cpu, layers);
  for (const auto unit : planner::all_units(layers)) {
    if (random() % 2 == 0) placement.move(unit, Device::emulated0);
  }
  return placement;
}

bool uses_both(const planner::Placement& placement) {
  const auto stages = planner::stages_of(placement);
  return stages.size() > 1;
}

/// A placement on both devices.
planner::Placement split_placement(std::mt19937& random, std::size_t layers) {
  auto placement = random_placement(random, layers);
  while (!uses_both(placement)) placement = random_placement(random, layers);
  return placement;
}

planner::Workload workload_of(std::uint32_t sequences, std::uint32_t micro_batch) {
  planner::Workload workload;
  workload.max_seq_len = 64;
  workload.sequences = sequences;
  workload.micro_batch = micro_batch;
  workload.kv_type = planner::KvType::f32;
  return workload;
}

class EngineSplit : public testing::TestWithParam<const char*> {
 protected:
  [[nodiscard]] static auto file() { return reference_path(std::string(GetParam()) + ".gguf"); }
  [[nodiscard]] static auto header() { return model::read_header(file()); }
};

TEST_P(EngineSplit, GivesTheScoresOfTheCpuWhereverUnitsAre) {
  std::mt19937 random(71);
  const std::vector<std::vector<TokenId>> prompts{random_tokens(random, 25), random_tokens(random, 3),
                                                  random_tokens(random, 12)};
  Served on_cpu(file(), workload_of(1, 25));
  const auto expected = scores_of(on_cpu, prompts);
  const auto [low, high] = std::ranges::minmax(expected);
  const auto layers = on_cpu.bound().plan().layers.size();
  for (int round = 0; round < 16; ++round) {
    Served split(header(), workload_of(3, 11), split_placement(random, layers), emulated(random()));
    const auto scores = scores_of(split, prompts);
    ASSERT_EQ(scores.size(), expected.size());
    // fp32 sums in another order; a log-probability is a logit less a mean of logits.
    for (std::size_t i = 0; i < scores.size(); ++i) {
      ASSERT_NEAR(scores[i], expected[i], 2e-4F * (high - low)) << "round " << round << ", score " << i;
    }
  }
}

TEST_P(EngineSplit, ContinuesAsTheCpuDoesWhoeverSharesTheBatch) {
  std::mt19937 random(72);
  const auto prompt = random_tokens(random, 9);
  Served on_cpu(file(), workload_of(1, 16));
  const auto alone = on_cpu.submit(greedy(prompt, 12));
  alone->wait_finished();
  for (int round = 0; round < 2; ++round) {
    const auto placement = split_placement(random, on_cpu.bound().plan().layers.size());
    Served split(header(), workload_of(4, 8), placement, emulated(random()));
    std::vector<std::shared_ptr<RecordingSink>> sinks;
    for (int i = 0; i < 6; ++i) {
      sinks.push_back(split.submit(greedy(i % 3 == 1 ? prompt : random_tokens(random, 1 + 4 * i), 12)));
    }
    for (const auto& sink : sinks) sink->wait_finished();
    EXPECT_EQ(sinks[1]->tokens(), alone->tokens());
    EXPECT_EQ(sinks[4]->tokens(), alone->tokens());
    ASSERT_TRUE(split.engine().wait_idle(60s));
    EXPECT_EQ(split.engine().stats().free_pages, split.bound().plan().kv_pages.pages);
  }
}

/// The same model with its embedding's numbers as a head of its own, so that the embedding stays on the CPU.
model::Header untied(model::Header header) {
  auto head = *header.find_tensor(model::kTokenEmbedding);
  head.name = model::kOutput;
  header.tensor_bytes += head.size_bytes;
  header.tensors.push_back(head);
  header.tensors_by_name.push_back(static_cast<std::uint32_t>(header.tensors.size() - 1));
  std::ranges::sort(header.tensors_by_name, {},
                    [&](std::uint32_t index) { return header.tensors[index].name; });
  return header;
}

TEST_P(EngineSplit, EmbedsOnTheCpuForADeviceThatHasEverythingElse) {
  std::mt19937 random(73);
  const std::vector<std::vector<TokenId>> prompts{random_tokens(random, 25), random_tokens(random, 3)};
  Served on_cpu(file(), workload_of(1, 25));
  const auto expected = scores_of(on_cpu, prompts);
  const auto [low, high] = std::ranges::minmax(expected);
  auto placement = planner::Placement::all_on(Device::emulated0, on_cpu.bound().plan().layers.size());
  for (const auto head : {Device::emulated0, Device::cpu}) {
    placement.head = head;
    Served split(untied(header()), workload_of(2, 11), placement, emulated(random()));
    const auto scores = scores_of(split, prompts);
    ASSERT_EQ(scores.size(), expected.size());
    for (std::size_t i = 0; i < scores.size(); ++i)
      ASSERT_NEAR(scores[i], expected[i], 2e-4F * (high - low)) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, EngineSplit, testing::Values("gemma3_4l", "gemma4_4l"),
                         [](const auto& of) { return std::string(of.param); });

}  // namespace
}  // namespace tandem::engine
