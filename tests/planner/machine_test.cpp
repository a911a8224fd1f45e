#include "planner/machine.h"

#include <filesystem>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "planner/errors.h"

namespace tandem::planner {
namespace {

using nlohmann::json;

const std::filesystem::path kFolder = TANDEM_SOURCE_DIR "/config/machines";

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

json default_profile() {
  return json::parse(read_file(kFolder / "default.json"));
}

void expect_refused(const json& profile, const std::string& text) {
  try {
    parse_machine(profile.dump(), "test");
    ADD_FAILURE() << "accepted, but should name " << text;
  } catch (const BadProfile& error) {
    EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
  }
}

TEST(Machine, EveryFileInConfigIsBuiltInUnderItsName) {
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    const auto name = entry.path().stem().string();
    if (entry.is_directory() || name == "assumed") continue;
    const auto machine = builtin_machine(name);
    EXPECT_EQ(machine.name, name);
    EXPECT_EQ(machine, parse_machine(read_file(entry.path()), name));
    ++files;
  }
  EXPECT_EQ(files, machine_names().size());
}

TEST(Machine, ReadsEveryNumber) {
  const auto rates = default_profile()["rates"];
  const auto machine = builtin_machine("default");
  EXPECT_EQ(machine.ram_read_gb_per_s, rates["ram_read_gb_per_s"]["value"]);
  EXPECT_EQ(machine.vram_read_gb_per_s, rates["vram_read_gb_per_s"]["value"]);
  EXPECT_EQ(machine.cpu_int8_tops, rates["cpu_int8_tops"]["value"]);
  EXPECT_EQ(machine.cpu_float_tops, rates["cpu_float_tops"]["value"]);
  EXPECT_EQ(machine.gpu_int8_tops, rates["gpu_int8_tops"]["value"]);
  EXPECT_EQ(machine.gpu_float_tops, rates["gpu_float_tops"]["value"]);
  EXPECT_EQ(machine.pcie_gb_per_s, rates["pcie_gb_per_s"]["value"]);
  EXPECT_EQ(machine.gpu_launch_us, rates["gpu_launch_us"]["value"]);
  EXPECT_EQ(machine.cpu_unit_us, rates["cpu_unit_us"]["value"]);
  EXPECT_EQ(machine.crossing_us, rates["crossing_us"]["value"]);
  EXPECT_EQ(machine.driver_bytes, rates["driver_bytes"]["value"]);
}

TEST(Machine, RefusesMissingUnknownAndAbsurdNumbers) {
  const auto rates = default_profile()["rates"];
  for (const auto& [name, rate] : rates.items()) {
    auto profile = default_profile();
    profile["rates"].erase(name);
    expect_refused(profile, "rates." + name);
    for (const auto& value : {json(-1), json(1e300), json("fast"), json(nullptr), json::array()}) {
      profile = default_profile();
      profile["rates"][name]["value"] = value;
      expect_refused(profile, "rates." + name + ".value");
    }
    profile = default_profile();
    profile["rates"][name]["source"] = "";
    expect_refused(profile, "rates." + name + ".source");
    profile = default_profile();
    profile["rates"][name].erase("source");
    expect_refused(profile, "rates." + name + ".source");
  }
  auto profile = default_profile();
  profile["rates"]["vram_read_gb_per_s"]["value"] = 0;
  expect_refused(profile, "vram_read_gb_per_s");
  profile = default_profile();
  profile["rates"]["vram_gb_per_s"] = {{"value", 1}, {"source", "me"}};
  expect_refused(profile, "vram_gb_per_s");
  profile = default_profile();
  profile["schema"] = "tandem.machine/2";
  expect_refused(profile, "schema");
}

TEST(Machine, RefusesWhatIsNoJson) {
  for (const auto* text : {"", "{", "[1]", "{\"rates\": NaN}", "{\"rates\": 1e999}"}) {
    EXPECT_THROW(parse_machine(text, "test"), BadProfile) << text;
  }
}

TEST(Machine, SuggestsANameForAnUnknownOne) {
  try {
    builtin_machine("rtx3060-12gb-dr4");
    FAIL();
  } catch (const BadProfile& error) {
    EXPECT_NE(error.hint().find("rtx3060-12gb-ddr4"), std::string::npos) << error.hint();
  }
}

}  // namespace
}  // namespace tandem::planner
