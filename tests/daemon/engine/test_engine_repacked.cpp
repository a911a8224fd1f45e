// The CPU's weights repacked and as they are in the file: the same bits.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cpu/repacked.h"
#include "backends/cuda/accelerator.h"
#include "backends/cuda/emulation/device.h"
#include "daemon/engine/plan_executor.h"
#include "memory/bind.h"
#include "planner/machine.h"
#include "planner/make_plan.h"
#include "planner/model_input.h"
#include "tests/support/temp_dir.h"
#include "tests/support/typed_model.h"

namespace tandem::engine {
namespace {

using planner::CpuWeights;
using planner::Device;
using planner::Placement;

/// Logits of a prompt's chunks and of single tokens of the model in `file`, with weights as `weights` says.
std::vector<float> logits_of(const std::filesystem::path& file, CpuWeights weights, unsigned threads,
                             bool on_both_devices) {
  const auto header = model::read_header(file);
  const auto hyper = model::read_hyperparameters(header);
  planner::Workload workload;
  workload.max_seq_len = 60;  // one page
  workload.sequences = 1;
  workload.micro_batch = 24;
  workload.stream_rows = on_both_devices ? 20 : 0;
  workload.cpu_weights = weights;
  auto placement = Placement::all_on(Device::cpu, hyper.layers.size());
  if (on_both_devices) placement.attention[1] = placement.ffn[3] = Device::emulated0;
  const auto plan = planner::plan_for_placement(planner::model_input(header, hyper), {}, workload,
                                                planner::builtin_machine("default"), placement);
  std::unique_ptr<device::Accelerator> accelerator;
  if (on_both_devices) accelerator = cuda::make_accelerator(cuda::emulation::make_device({.seed = 1}));
  memory::BoundPlan bound(plan, header, hyper, accelerator.get(), &cpu::best_repacker());
  bound.load({}, 2);
  EXPECT_EQ(bound.repacked_bytes() > 0, weights == CpuWeights::repacked);
  PlanExecutor executor(bound, {.threads = threads, .pin = false});
  executor.start();

  std::vector<float> all;
  const std::uint32_t page = 0;
  std::uint64_t position = 0;
  for (const std::uint32_t n : {24U, 13U, 1U, 2U, 3U, 1U, 8U}) {
    Rows rows;
    rows.streamed = on_both_devices && n >= 20;
    rows.sequences.push_back({0, 0, n, position, 0, &page});
    for (std::uint32_t row = 0; row < n; ++row)
      rows.tokens.push_back(static_cast<std::int32_t>((position + row) * 7 % 48));
    for (auto row = n > 4 ? n - 1 : 0; row < n; ++row) rows.wanted.push_back(row);
    executor.begin(rows);
    executor.finish();
    for (std::uint32_t i = 0; i < rows.wanted.size(); ++i) {
      const auto logits = executor.logits(i);
      all.insert(all.end(), logits.begin(), logits.end());
    }
    position += n;
  }
  return all;
}

void expect_the_same_bits(const std::filesystem::path& file, bool on_both_devices) {
  const auto mapped = logits_of(file, CpuWeights::mapped, 1, on_both_devices);
  EXPECT_GT(std::set<float>(mapped.begin(), mapped.end()).size(), mapped.size() / 2) << "nothing is computed";
  EXPECT_EQ(logits_of(file, CpuWeights::repacked, 1, on_both_devices), mapped);
  EXPECT_EQ(logits_of(file, CpuWeights::repacked, 2, on_both_devices), mapped);
}

const auto kEmbedded = std::filesystem::path(TANDEM_SOURCE_DIR) / "config/embedded/tandem-tiny-q4_0.gguf";

TEST(EngineRepacked, TheEmbeddedModelGivesTheSameBits) {
  expect_the_same_bits(kEmbedded, false);
}

TEST(EngineRepacked, SoItDoesWithWeightsThatAreStreamed) {
  expect_the_same_bits(kEmbedded, true);
}

TEST(EngineRepacked, SoDoModelsOfEveryType) {
  for (std::uint32_t seed = 0; seed < 16; ++seed) {
    const test_support::TempDir directory;
    SCOPED_TRACE(seed);
    expect_the_same_bits(test_support::write_typed_model(directory, seed), false);
  }
}

}  // namespace
}  // namespace tandem::engine
