#include "planner/make_plan.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "planner/errors.h"
#include "planner/footprint.h"
#include "planner/gpu_rules.h"
#include "planner/plan_consistency.h"
#include "planner/reasons.h"
#include "tests/planner/slow_bytes.h"
#include "tests/planner/subjects.h"

namespace tandem::planner {
namespace {

using planner_test::pick;
using planner_test::slow_ram;

TEST(MakePlan, IsAPureFunction) {
  const auto subject = planner_test::catalogue_subject("gemma3-27b-qat-q4_0");
  const auto machine = builtin_machine("default");
  EXPECT_EQ(make_plan(subject.input, Budget{}, Workload{}, machine, {}),
            make_plan(subject.input, Budget{}, Workload{}, machine, {}));
}

/// What every GPU refuses stays on the CPU, however much VRAM there is, and the plan names it.
TEST(MakePlan, SaysWhatNoGpuCanRun) {
  auto subject = planner_test::catalogue_subject("gemma3-4b-qat-q4_0");
  for (auto& layer : subject.input.layers)
    layer.ffn.not_on_gpu = "blk.0.ffn_down.weight has rows of 5,461 F16 elements, not a multiple of 8";
  subject.input.head.not_on_gpu = "token_embd.weight is odd";
  Budget budget;
  budget.vram_bytes = 80ULL << 30;
  Workload workload;
  workload.stream_rows = 32;
  const auto plan = make_plan(subject.input, budget, workload, builtin_machine("default"), {});
  EXPECT_EQ(placement_of(plan), most_on(Device::cuda0, subject.input));
  EXPECT_EQ(plan.requested.stream_rows, 32U);
  EXPECT_EQ(plan.workload.stream_rows, 0U);
  for (const auto* line :
       {"cuda0 has all that it can run: on the CPU are 34 of 34 FFN halves and the head",
        "no GPU can run 34 of 34 FFN halves: blk.0.ffn_down.weight has rows of 5,461 F16 elements, not a "
        "multiple of 8",
        "no GPU can run the head: token_embd.weight is odd",
        "no weights are streamed, though asked for in chunks of 32 rows and more: no GPU can run every FFN "
        "half"})
    EXPECT_EQ(std::ranges::count(plan.reasons, line), 1) << line;
  for (auto& layer : subject.input.layers) layer.attention.not_on_gpu = "blk.0.attn_q.weight is odd";
  const auto on_cpu = make_plan(subject.input, budget, Workload{}, builtin_machine("default"), {});
  EXPECT_EQ(std::ranges::count(on_cpu.reasons, "cuda0 can run no unit, so everything is on the CPU"), 1);
  EXPECT_EQ(std::ranges::count(on_cpu.reasons,
                               "no GPU can run 34 of 34 attention halves: blk.0.attn_q.weight is odd"),
            1);
}

TEST(TimesLine, SaysWhetherThisMachineWasMeasured) {
  auto machine = builtin_machine("default");
  EXPECT_EQ(
      times_line(machine),
      "times are of the profile default, not of this machine, which nobody has measured: tandem calibrate "
      "does");
  machine.description = "4 cores, measured on Tuesday";
  machine.cpu_types.emplace_back();
  EXPECT_EQ(times_line(machine), "times are of 4 cores, measured on Tuesday");
}

TEST(MakePlan, ShrinksNothing) {
  std::mt19937 random(31);
  for (int round = 0; round < 60; ++round) {
    const auto subject = planner_test::random_subject(random);
    auto workload = planner_test::random_workload(random);
    Budget budget;
    budget.vram_bytes = pick(random, 0, 2'000'000);
    budget.ram_bytes = pick(random, 0, 2'000'000);
    const auto plan =
        make_plan(subject.input, budget, workload, builtin_machine("default"), {Device::emulated0});
    EXPECT_EQ(plan.requested, workload);
    workload.expected_context = plan.workload.expected_context;
    EXPECT_EQ(plan.workload, workload);
    EXPECT_GE(plan.workload.expected_context, 1U);
    EXPECT_EQ(plan.fits, plan.vram_bytes <= budget.vram_bytes && plan.ram_bytes <= budget.ram_bytes);
  }
}

TEST(MakePlan, TheLargestContextFitsAndOneTokenMoreDoesNot) {
  std::mt19937 random(32);
  int found = 0;
  for (int round = 0; round < 80; ++round) {
    const auto subject = planner_test::random_subject(random);
    const auto workload = planner_test::random_workload(random);
    const auto layers = subject.hyper.layers.size();
    const auto all_cpu = Placement::all_on(Device::cpu, layers);
    const auto ram_at = [&](std::uint64_t context) {
      auto other = workload;
      other.max_seq_len = context;
      return slow_ram(planner_test::slow_bytes(subject.header, subject.hyper, Budget{}, other, 0, all_cpu));
    };
    Budget budget;
    budget.ram_bytes = pick(random, ram_at(1) - 1, ram_at(workload.max_seq_len));
    const auto plan = make_plan(subject.input, budget, workload, builtin_machine("default"), {std::nullopt});
    ASSERT_EQ(plan.fits, ram_at(workload.max_seq_len) <= budget.ram_bytes);
    if (plan.fits) continue;
    if (!plan.largest_context) {
      EXPECT_GT(ram_at(1), budget.ram_bytes);
      continue;
    }
    ++found;
    EXPECT_LE(ram_at(*plan.largest_context), budget.ram_bytes);
    EXPECT_GT(ram_at(*plan.largest_context + 1), budget.ram_bytes);
  }
  EXPECT_GT(found, 20);
}

TEST(MakePlan, WithAGpuTooNothingAboveTheLargestContextFits) {
  std::mt19937 random(34);
  const auto machine = builtin_machine("default");
  int found = 0;
  for (int round = 0; round < 400; ++round) {
    const auto subject = planner_test::random_subject(random);
    auto workload = planner_test::random_workload(random);
    const auto layers = subject.hyper.layers.size();
    const auto ram_on = [&](Device device) {
      return footprint(subject.input, Budget{}, workload, machine, Placement::all_on(device, layers))
          .ram_bytes;
    };
    Budget budget;
    budget.vram_bytes = pick(random, 0, 1'000'000);
    budget.ram_bytes = pick(random, ram_on(Device::emulated0), ram_on(Device::cpu));
    const auto plan_at = [&](std::uint64_t context) {
      auto other = workload;
      other.max_seq_len = context;
      other.expected_context = std::min(workload.expected_context, context);
      return make_plan(subject.input, budget, other, machine, {Device::emulated0});
    };
    const auto plan = plan_at(workload.max_seq_len);
    if (plan.fits || !plan.largest_context) continue;
    ++found;
    const auto largest = *plan.largest_context;
    EXPECT_TRUE(plan_at(largest).fits) << "round " << round;
    EXPECT_FALSE(plan_at(largest + 1).fits) << "round " << round;
    for (int i = 0; i < 20; ++i) {
      const auto longer = pick(random, largest + 1, workload.max_seq_len);
      EXPECT_FALSE(plan_at(longer).fits) << "round " << round << ": " << longer << " above " << largest;
    }
  }
  EXPECT_GT(found, 20);
}

TEST(MakePlan, PlansAnyPlacementItIsGiven) {
  std::mt19937 random(33);
  for (int round = 0; round < 40; ++round) {
    const auto subject = planner_test::random_subject(random);
    const auto placement =
        planner_test::random_placement(random, subject.hyper.layers.size(), Device::emulated0);
    const auto plan = plan_for_placement(subject.input, Budget{}, planner_test::random_workload(random),
                                         builtin_machine("default"), placement);
    EXPECT_EQ(placement_of(plan), placement);
    EXPECT_NO_THROW(check_consistency(plan));
    EXPECT_NO_THROW(check_plan(plan, subject.input));
  }
}

TEST(MakePlan, RefusesHeadsThatAreNoWholeBlocks) {
  auto subject = planner_test::catalogue_subject("gemma4-12b-qat-q4_0");
  subject.input.hyper.layers[3].head_dim = 24;
  Workload workload;
  workload.kv_type = KvType::q8_0;
  EXPECT_THROW(make_plan(subject.input, Budget{}, workload, builtin_machine("default"), {}), BadQuestion);
}

TEST(MakePlan, KnowsDevicesByName) {
  EXPECT_EQ(parse_devices("cpu").gpu, std::nullopt);
  for (const auto* name : {"auto", "cuda", "cpu,cuda", "cuda,cpu"})
    EXPECT_EQ(parse_devices(name).gpu, Device::cuda0);
  for (const auto* name : {"emulated", "cpu,emulated"}) EXPECT_EQ(parse_devices(name).gpu, Device::emulated0);
  for (const auto* name : {"", "gpu", "cuda1", "cpu,", "cuda,emulated"})
    EXPECT_THROW(parse_devices(name), BadQuestion);
}

TEST(MakePlan, SaysHowMuchDataAFileLacks) {
  auto subject = planner_test::catalogue_subject("gemma4-12b-qat-q4_0");
  subject.input.facts.missing_bytes = 1234567;
  const auto plan = make_plan(subject.input, Budget{}, Workload{}, builtin_machine("default"), {});
  EXPECT_EQ(plan.model.missing_bytes, 1234567U);
  const auto said = std::ranges::any_of(plan.reasons, [](const std::string& reason) {
    return reason.find("1,234,567 of 6,960,054,464 bytes of tensor data are missing") != std::string::npos;
  });
  EXPECT_TRUE(said);
}

}  // namespace
}  // namespace tandem::planner
