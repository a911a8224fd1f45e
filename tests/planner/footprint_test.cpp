#include "planner/footprint.h"

#include <gtest/gtest.h>

#include "planner/make_plan.h"
#include "tests/planner/slow_bytes.h"
#include "tests/planner/subjects.h"

namespace tandem::planner {
namespace {

using planner_test::pick;
using planner_test::slow_bytes;
using planner_test::slow_ram;
using planner_test::slow_vram;
using planner_test::SlowBytes;

SlowBytes as_map(const Footprint& footprint) {
  SlowBytes lines;
  for (const auto& arena : footprint.arenas) lines[{arena.device, arena.purpose}] += arena.bytes;
  return lines;
}

TEST(Footprint, EqualsTheSlowCountOnRandomPlacements) {
  std::mt19937 random(7);
  for (int round = 0; round < 400; ++round) {
    const auto subject = planner_test::random_subject(random);
    const auto workload = planner_test::random_workload(random);
    const auto gpu = round % 2 == 0 ? Device::cuda0 : Device::emulated0;
    const auto placement = planner_test::random_placement(random, subject.hyper.layers.size(), gpu);
    Budget budget;
    budget.vram_reserve_bytes = pick(random, 0, 1) * 1000;
    budget.ram_reserve_bytes = pick(random, 0, 1) * 500;
    auto machine = builtin_machine("default");
    machine.driver_bytes = pick(random, 0, 1) * 12345;

    const auto fast = footprint(subject.input, budget, workload, machine, placement);
    const auto slow =
        slow_bytes(subject.header, subject.hyper, budget, workload, machine.driver_bytes, placement);
    ASSERT_EQ(as_map(fast), slow) << "round " << round;
    ASSERT_EQ(fast.arenas.size(), slow.size()) << "a line is there twice";
    ASSERT_EQ(fast.vram_bytes, slow_vram(slow));
    ASSERT_EQ(fast.ram_bytes, slow_ram(slow));
  }
}

TEST(Footprint, TakesTheEmbeddingFromTheHeadsCopyUnlessItHasItsOwn) {
  std::mt19937 random(3);
  int tied = 0;
  int untied = 0;
  for (int round = 0; round < 40; ++round) {
    const auto subject = planner_test::random_subject(random);
    const auto layers = subject.hyper.layers.size();
    const auto* output = subject.header.find_tensor("output.weight");
    const auto result = footprint(subject.input, Budget{}, Workload{}, builtin_machine("default"),
                                  Placement::all_on(Device::cuda0, layers));
    if (output == nullptr) {
      ++tied;
      EXPECT_EQ(result.embedding, (EmbeddingPlan{Device::cuda0, 0}));
    } else {
      ++untied;
      const auto own = subject.header.find_tensor("token_embd.weight")->size_bytes;
      EXPECT_EQ(result.embedding, (EmbeddingPlan{Device::cpu, own}));
    }
  }
  EXPECT_GT(tied, 0);
  EXPECT_GT(untied, 0);
}

TEST(Footprint, LongerContextsCostGlobalLayersOnly) {
  for (const auto* name : {"gemma3-12b-qat-q4_0", "gemma4-12b-qat-q4_0", "gemma4-31b-q4_k_m"}) {
    const auto subject = planner_test::catalogue_subject(name);
    Workload at_4k;
    at_4k.max_seq_len = 4096;
    Workload at_32k;
    at_32k.max_seq_len = 32768;
    std::uint64_t global_difference = 0;
    for (const auto& layer : subject.hyper.layers) {
      const auto difference = kv_arena_bytes(layer, at_32k).value() - kv_arena_bytes(layer, at_4k).value();
      if (layer.kind == model::LayerKind::sliding) {
        EXPECT_EQ(difference, 0U);
      } else {
        const auto vectors = layer.has_v ? 2 : 1;
        EXPECT_EQ(difference, 4U * (32768 - 4096) * vectors * layer.kv_heads * layer.head_dim * 2);
        global_difference += difference;
      }
    }
    const auto kv = [&](const Workload& workload) {
      const auto placement = Placement::all_on(Device::cuda0, subject.hyper.layers.size());
      const auto result = footprint(subject.input, Budget{}, workload, builtin_machine("default"), placement);
      return as_map(result).at({Device::cuda0, Purpose::kv});
    };
    EXPECT_EQ(kv(at_32k) - kv(at_4k), global_difference) << name;
  }
}

TEST(Footprint, AContextSmallerThanTheWindowNeedsNoMoreCellsThanTokens) {
  const auto subject = planner_test::catalogue_subject("gemma4-12b-qat-q4_0");
  for (const auto& layer : subject.hyper.layers) {
    EXPECT_EQ(kv_cells(layer, 100), 100U);
    EXPECT_EQ(kv_cells(layer, 1024), 1024U);
    EXPECT_EQ(kv_cells(layer, 1025), layer.kind == model::LayerKind::sliding ? 1024U : 1025U);
  }
}

TEST(Footprint, RefusesSizesBeyond64Bits) {
  const auto subject = planner_test::catalogue_subject("gemma3-27b-bf16");
  Workload workload;
  workload.max_seq_len = ~std::uint64_t{0} / 8;
  const auto placement = Placement::all_on(Device::cpu, subject.hyper.layers.size());
  EXPECT_THROW(footprint(subject.input, Budget{}, workload, builtin_machine("default"), placement),
               BadQuestion);
}

}  // namespace
}  // namespace tandem::planner
