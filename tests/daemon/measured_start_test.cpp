#include "daemon/measured_start.h"

#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/cuda/accelerator.h"
#include "backends/cuda/emulation/device.h"
#include "planner/make_plan.h"
#include "tests/support/fixture.h"

namespace tandem::daemon {
namespace {

using planner::Device;
using planner::Purpose;
using ::testing::HasSubstr;

constexpr std::uint64_t kMib = std::uint64_t{1} << 20;
constexpr std::uint64_t kAssumedBytes = kMib;  ///< of the driver

/// A plan for a GPU whose driver is assumed to take kAssumedBytes, and a device that turns out otherwise.
struct Opened {
  model::Header header = model::read_header(test_support::reference_path("gemma4_8l.gguf"));
  planner::ModelInput model = planner::model_input(header, model::read_hyperparameters(header));
  planner::MachineProfile machine = planner::builtin_machine("default");
  Config config;

  Start start(std::uint64_t budget_bytes, const cuda::emulation::Options& device) {
    machine.driver_bytes = kAssumedBytes;
    planner::Workload workload;
    workload.max_seq_len = 256;
    workload.micro_batch = 16;
    return {planner::make_plan(model, {.vram_bytes = budget_bytes}, workload, machine, {Device::cuda0}),
            cuda::make_accelerator(cuda::emulation::make_device(device))};
  }
  Start measured(Start before) {
    return measured_start(std::move(before), config, model, [this] { return machine; });
  }
};

TEST(MeasuredStart, CountsTheDriverAsMeasured) {
  constexpr std::uint64_t kMeasuredBytes = 3 * kMib / 2;
  Opened opened;
  auto before = opened.start(3 * kMib, {.memory_bytes = 8 * kMib, .driver_bytes = kMeasuredBytes});
  ASSERT_EQ(before.plan.arena_bytes(Device::cuda0, Purpose::driver), kAssumedBytes);
  const auto start = opened.measured(std::move(before));
  EXPECT_EQ(start.plan.arena_bytes(Device::cuda0, Purpose::driver), kMeasuredBytes);
  EXPECT_LE(start.plan.vram_bytes, 3 * kMib);
  EXPECT_EQ(start.plan.budget.vram_bytes, 3 * kMib) << "more is free than was allowed";
  EXPECT_THAT(start.plan.reasons.front(), HasSubstr("the driver takes 1,572,864 bytes"));
  EXPECT_NE(start.accelerator, nullptr);
}

TEST(MeasuredStart, DoesWithoutAGpuWhoseDriverTakesAllThatIsAllowed) {
  Opened opened;
  auto before = opened.start(3 * kMib, {.memory_bytes = 8 * kMib, .driver_bytes = 3 * kMib});
  ASSERT_TRUE(planner::gpu_of(before.plan));
  const auto start = opened.measured(std::move(before));
  EXPECT_FALSE(planner::gpu_of(start.plan));
  EXPECT_TRUE(start.plan.fits);
  EXPECT_EQ(start.accelerator, nullptr);
}

TEST(MeasuredStart, RefusesLessVramThanPlannedAlsoWhereTheDriverWasAssumed) {
  constexpr std::uint64_t kMeasuredBytes = 3 * kMib / 2;
  constexpr cuda::emulation::Options kFull{.memory_bytes = 2 * kMib, .driver_bytes = kMeasuredBytes};
  Opened opened;
  auto before = opened.start(3 * kMib, kFull);
  ASSERT_GT(before.plan.vram_bytes, 2 * kMib);
  try {
    opened.measured(std::move(before));
    FAIL() << "less_vram is \"refuse\"";
  } catch (const DoesNotFit& error) {
    EXPECT_THAT(error.what(), HasSubstr(" bytes of VRAM, 524,288 are free"));
    EXPECT_THAT(error.hint(), HasSubstr("less_vram"));
  }
  opened.config.replan = true;
  const auto start = opened.measured(opened.start(3 * kMib, kFull));
  EXPECT_TRUE(start.plan.fits);
  EXPECT_LE(start.plan.vram_bytes, 2 * kMib);
  EXPECT_THAT(start.plan.reasons.front(), HasSubstr("524,288 are free"));
}

TEST(CheckRam, RefusesAKeptPlanThatTakesMoreThanThereIs) {
  planner::Plan plan;
  plan.ram_bytes = 5'000;
  EXPECT_NO_THROW(check_ram(plan, {.ram_bytes = 5'000}));
  try {
    check_ram(plan, {.ram_bytes = 4'999});
    FAIL() << "one byte is missing";
  } catch (const DoesNotFit& error) {
    EXPECT_STREQ(error.what(), "the plan takes 5,000 bytes of RAM, 4,999 are available");
  }
}

}  // namespace
}  // namespace tandem::daemon
