#include "hardware/fingerprint.h"

#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/temp_dir.h"

namespace tandem::hardware {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Fingerprint some_machine() {
  return {"A Processor", 8, 0, {32768, 1 << 20, 32 << 20}, 64, {"A Card"}, {"sse4.1", "avx2"}, "0.1.0", ""};
}

TEST(Fingerprint, EveryMemberChangesTheKey) {
  const std::vector<std::function<void(Fingerprint&)>> changes{
      [](Fingerprint&) {},
      [](Fingerprint& f) { f.cpu = "Another Processor"; },
      [](Fingerprint& f) { f.cpus = 4; },
      [](Fingerprint& f) { f.threads = 4; },
      [](Fingerprint& f) { f.cache_bytes[2] *= 2; },
      [](Fingerprint& f) { f.ram_gib = 32; },
      [](Fingerprint& f) { f.gpus.clear(); },
      [](Fingerprint& f) { f.gpus.emplace_back("A Card"); },
      [](Fingerprint& f) { f.instruction_sets.emplace_back("avx512f"); },
      [](Fingerprint& f) { f.version = "0.2.0"; },
      [](Fingerprint& f) { f.kernels = "portable"; }};
  std::set<std::string> keys;
  for (const auto& change : changes) {
    auto machine = some_machine();
    change(machine);
    keys.insert(key_of(machine));
  }
  EXPECT_EQ(keys.size(), changes.size());
  EXPECT_EQ(key_of(some_machine()).size(), 16U);
}

TEST(Fingerprint, AMemberDoesNotRunIntoTheNextOne) {
  auto one = some_machine();
  one.gpus = {"A", "B"};
  auto other = some_machine();
  other.gpus = {"A\",\"B"};
  EXPECT_NE(key_of(one), key_of(other));
}

TEST(Fingerprint, ThisMachineIsTheSameEveryTime) {
  const auto machine = this_machine(0);
  EXPECT_EQ(machine, this_machine(0));
  EXPECT_EQ(machine.threads, 0U);
  EXPECT_EQ(this_machine(3).threads, 3U);
  EXPECT_GE(machine.cpus, 1U);
  EXPECT_FALSE(machine.cpu.empty());
  EXPECT_FALSE(machine.version.empty());
}

TEST(Fingerprint, MemoryIsWhatTheKernelSays) {
  std::ifstream meminfo("/proc/meminfo");
  std::string key;
  double kib = 0;
  meminfo >> key >> kib;
  ASSERT_EQ(key, "MemTotal:");
  EXPECT_NEAR(static_cast<double>(this_machine(0).ram_gib), kib / (1 << 20), 0.51);
}

TEST(Fingerprint, CardsAreThoseTheDriverLists) {
  const test_support::TempDir root;
  EXPECT_THAT(this_machine(0, root.path()).gpus, IsEmpty());
  const auto add = [&](const char* address, const char* text) {
    const auto folder = root.path() / "proc/driver/nvidia/gpus" / address;
    std::filesystem::create_directories(folder);
    std::ofstream(folder / "information") << text;
  };
  add("0000:41:00.0", "Model: \t\t NVIDIA L4\nIRQ: 12\n");
  add("0000:01:00.0", "Model: \t\t NVIDIA GeForce RTX 3060\nVideo BIOS: 94\n");
  add("0000:81:00.0", "");
  EXPECT_THAT(this_machine(0, root.path()).gpus, ElementsAre("NVIDIA GeForce RTX 3060", "NVIDIA L4"));
}

TEST(Fingerprint, ItsJsonHasEveryMember) {
  const auto json = nlohmann::json::parse(to_json(some_machine()));
  EXPECT_EQ(json.at("cpu"), "A Processor");
  EXPECT_EQ(json.at("cpus"), 8);
  EXPECT_EQ(json.at("cache_bytes").size(), 3U);
  EXPECT_EQ(json.at("ram_gib"), 64);
  EXPECT_EQ(json.at("gpus"), nlohmann::json({"A Card"}));
  EXPECT_EQ(json.at("version"), "0.1.0");
}

}  // namespace
}  // namespace tandem::hardware
