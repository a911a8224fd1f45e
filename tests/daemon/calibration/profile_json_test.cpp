#include "daemon/calibration/profile_json.h"

#include <limits>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "planner/errors.h"
#include "planner/machine.h"

namespace tandem::calibration {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

CpuSpeed some_speed() {
  CpuSpeed speed;
  speed.threads = 4;
  speed.kernels = "avx2";
  speed.reads = {{1, 10}, {2, 19}, {4, 35}};
  speed.nodes = {{0, 34}, {1, 20}};
  speed.types = {{model::TensorType::q4_0, {34, 33, 30, 24}, 1.0},
                 {model::TensorType::f16, {36, 30, 28, 20}, 0.2},
                 {model::TensorType::q8_0, {35, 34, 33, 32}, 1.1}};
  speed.attention = {30, 20, 0.15, 0.9, 90, 40};
  speed.elems = {8, 2, 0.05, 1.6, 3, 2.5, 4};
  speed.overhead = {3, 0.5, 0.125, 1};
  return speed;
}

const Occasion kOccasion{
    {"A Processor", 4, 0, {32768, 1000000, 33000000}, 16, {}, {}, "0.1.0", ""}, "2026-11-21T08:00:00Z", 12.5};

TEST(ProfileJson, IsAProfileWithWhatWasMeasured) {
  const auto machine = planner::parse_machine(profile_json(some_speed(), {}, kOccasion), "test");
  EXPECT_EQ(machine.name, "this machine");
  EXPECT_THAT(machine.description, HasSubstr("A Processor, 4 threads"));
  EXPECT_EQ(machine.ram_read_gb_per_s, 35);
  EXPECT_EQ(machine.cpu_int8_tops, 1.1);
  EXPECT_EQ(machine.cpu_float_tops, 0.2);
  EXPECT_EQ(machine.cpu_attention_gb_per_s, 30);
  EXPECT_EQ(machine.cpu_attention_vector_gb_per_s, 20);
  EXPECT_EQ(machine.cpu_attention_tops, 0.15);
  EXPECT_EQ(machine.cpu_attention_scores_g_per_s, 0.9);
  EXPECT_EQ(machine.cpu_cached_attention_gb_per_s, 90);
  EXPECT_EQ(machine.cpu_cached_attention_vector_gb_per_s, 40);
  EXPECT_EQ(machine.cpu_cache_bytes, 33e6);
  EXPECT_EQ(machine.cpu_elems, some_speed().elems);
  EXPECT_EQ(machine.cpu_threads, 4);
  EXPECT_EQ(machine.cpu_unit_us, 3);
  EXPECT_EQ(machine.cpu_unit_few_rows_us, 0.5);
  EXPECT_EQ(machine.cpu_unit_many_rows_us, 0.125);
  EXPECT_EQ(machine.cpu_stage_us, 1);
  EXPECT_THAT(machine.cpu_types, ::testing::UnorderedElementsAreArray(some_speed().types));
}

TEST(ProfileJson, GpuFiguresAreTheDefaultsAndSaySo) {
  const auto text = profile_json(some_speed(), {}, kOccasion);
  const auto machine = planner::parse_machine(text, "test");
  const auto assumed = planner::builtin_machine("default");
  EXPECT_TRUE(machine.gpu_types.empty());
  EXPECT_EQ(machine.vram_read_gb_per_s, assumed.vram_read_gb_per_s);
  EXPECT_EQ(machine.pcie_gb_per_s, assumed.pcie_gb_per_s);
  EXPECT_EQ(machine.driver_bytes, assumed.driver_bytes);
  EXPECT_EQ(machine.stream_rows, 0);
  const auto rates = json::parse(text).at("rates");
  for (const auto* name : {"vram_read_gb_per_s", "gpu_int8_tops", "gpu_float_tops", "pcie_gb_per_s",
                           "gpu_launch_us", "crossing_us", "driver_bytes"}) {
    EXPECT_THAT(rates.at(name).at("source").get<std::string>(), HasSubstr("not measured")) << name;
  }
  EXPECT_THAT(machine.description, HasSubstr("GPU figures of the profile default"));
}

TEST(ProfileJson, AGpuThatWasMeasuredTakesTheirPlace) {
  AcceleratorSpeed gpu;
  gpu.types = {{model::TensorType::q4_0, {300, 290, 280, 270}, 60},
               {model::TensorType::q8_0, {310, 1, 1, 1}, 50}};
  gpu.attention_gb_per_s = 200;
  gpu.attention_tops = 20;
  gpu.launch_us = 4;
  gpu.stage_us = 6;
  gpu.crossing_us = 9;
  gpu.to_device_gb_per_s = 25;
  gpu.from_device_gb_per_s = 23;
  gpu.taken_bytes = 400'000'000;
  gpu.stream_rows = 96.5;
  const auto text = profile_json(some_speed(), gpu, kOccasion);
  const auto machine = planner::parse_machine(text, "test");
  EXPECT_EQ(machine.vram_read_gb_per_s, 310);
  EXPECT_EQ(machine.gpu_int8_tops, 60);
  EXPECT_EQ(machine.gpu_float_tops, planner::builtin_machine("default").gpu_float_tops);
  EXPECT_EQ(machine.pcie_gb_per_s, 23);
  EXPECT_EQ(machine.gpu_launch_us, 4);
  EXPECT_EQ(machine.gpu_stage_us, 6);
  EXPECT_EQ(machine.crossing_us, 9);
  EXPECT_EQ(machine.gpu_attention_gb_per_s, 200);
  EXPECT_EQ(machine.gpu_attention_tops, 20);
  EXPECT_EQ(machine.driver_bytes, 400'000'000U);
  EXPECT_EQ(machine.stream_rows, 96.5);
  EXPECT_EQ(machine.gpu_types, gpu.types);
  EXPECT_THAT(machine.description, ::testing::Not(HasSubstr("default")));
}

TEST(ProfileJson, SaysHowItWasMeasured) {
  const auto measured = json::parse(profile_json(some_speed(), {}, kOccasion)).at("measured");
  EXPECT_EQ(measured.at("utc"), "2026-11-21T08:00:00Z");
  EXPECT_EQ(measured.at("took_s"), 12.5);
  EXPECT_EQ(measured.at("kernels"), "avx2");
  EXPECT_EQ(measured.at("fingerprint").at("ram_gib"), 16);
  EXPECT_EQ(measured.at("read_by_threads").size(), 3U);
  EXPECT_EQ(measured.at("read_by_threads")[1], json({{"threads", 2}, {"gb_per_s", 19}}));
  EXPECT_EQ(measured.at("read_by_numa_node")[1], json({{"node", 1}, {"gb_per_s", 20}}));
}

TEST(ProfileJson, WhatThereWasNoTimeForIsLeftOut) {
  auto speed = some_speed();
  speed.attention = {};
  speed.elems = {};
  const auto text = profile_json(speed, {}, kOccasion);
  EXPECT_FALSE(json::parse(text).at("rates").contains("cpu_attention_tops"));
  EXPECT_EQ(planner::parse_machine(text, "test").cpu_elems, planner::ElementRates{});
}

TEST(ProfileJson, ATypeOfAGpuThatIsNotToBeBelievedIsLeftOut) {
  AcceleratorSpeed gpu;
  gpu.types = {{model::TensorType::q4_0, {300, 290, 280, 270}, 1e-4},
               {model::TensorType::q8_0, {300, 290, 280, 0}, 10},
               {model::TensorType::q6_k, {300, 290, 280, 270}, 10}};
  const auto machine = planner::parse_machine(profile_json(some_speed(), gpu, kOccasion), "test");
  EXPECT_THAT(machine.gpu_types, ::testing::ElementsAre(gpu.types.back()));
}

TEST(ProfileJson, WhatNoiseMadeOfADifferenceIsLeftOut) {
  for (const auto value : {1e-9, 1e9, std::numeric_limits<double>::infinity()}) {
    auto speed = some_speed();
    speed.elems.outputs_g_per_s = value;
    speed.elems.heads_begun_g_per_s = value;
    speed.attention.scores_g_per_s = value;
    speed.mapped_slowdown = value;
    const auto machine = planner::parse_machine(profile_json(speed, {}, kOccasion), "test");
    EXPECT_EQ(machine.cpu_elems.outputs_g_per_s, 0) << value;
    EXPECT_EQ(machine.cpu_elems.heads_begun_g_per_s, 0) << value;
    EXPECT_EQ(machine.cpu_attention_scores_g_per_s, 0) << value;
    EXPECT_EQ(machine.cpu_mapped_slowdown, 0) << value;
    EXPECT_EQ(machine.cpu_elems.norms_g_per_s, speed.elems.norms_g_per_s);
  }
}

TEST(ProfileJson, AbsurdMeasurementsMakeNoProfile) {
  for (const auto value :
       {0.0, -1.0, 1e9, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    auto speed = some_speed();
    speed.reads.back().gb_per_s = value;
    EXPECT_THROW(planner::parse_machine(profile_json(speed, {}, kOccasion), "test"), planner::BadProfile)
        << value;
    speed = some_speed();
    speed.types.front().read_gb_per_s[2] = value;
    EXPECT_THROW(planner::parse_machine(profile_json(speed, {}, kOccasion), "test"), planner::BadProfile)
        << value;
  }
}

TEST(ProfileJson, NothingIsMadeUpForWhatIsMissing) {
  auto speed = some_speed();
  speed.types.erase(speed.types.begin() + 1);
  EXPECT_THROW(profile_json(speed, {}, kOccasion), Error);
  speed = some_speed();
  speed.reads.clear();
  EXPECT_THROW(profile_json(speed, {}, kOccasion), Error);
}

/// What a process measured that stood still while it did.
std::string stood_still() {
  auto speed = some_speed();
  speed.types[0].read_gb_per_s[2] = 0.0004;
  return profile_json(speed, {}, kOccasion);
}

/// What a process measured that had no time for small units.
std::string units_for_nothing() {
  auto speed = some_speed();
  speed.overhead = {};
  return profile_json(speed, {}, kOccasion);
}

TEST(UsableProfile, IsTheFirstThatIsInRange) {
  const auto good = profile_json(some_speed(), {}, kOccasion);
  for (const std::vector<std::string>& measured :
       {std::vector{good}, std::vector{stood_still(), good}, std::vector{units_for_nothing(), good}}) {
    std::size_t measurements = 0;
    EXPECT_EQ(usable_profile([&] { return measured.at(measurements++); }), good);
    EXPECT_EQ(measurements, measured.size());
  }
}

TEST(UsableProfile, IsRefusedWhereMeasuringAgainDoesNotHelp) {
  for (const auto& [measured, named] :
       {std::pair(stood_still(), "read_gb_per_s"), std::pair(units_for_nothing(), "cpu_unit_us is 0")}) {
    unsigned measurements = 0;
    const auto measure = [&, measured = measured] {
      ++measurements;
      return measured;
    };
    try {
      usable_profile(measure);
      FAIL() << named;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("measured twice"));
      EXPECT_THAT(error.what(), HasSubstr(named));
      EXPECT_THAT(error.hint(), HasSubstr("try again"));
    }
    EXPECT_EQ(measurements, 2U);
  }
}

}  // namespace
}  // namespace tandem::calibration
