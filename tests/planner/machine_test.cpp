#include "planner/machine.h"

#include <array>
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

constexpr std::array kOptionalRates{"cpu_attention_gb_per_s",
                                    "cpu_attention_tops",
                                    "gpu_attention_gb_per_s",
                                    "gpu_attention_tops",
                                    "cpu_stage_us",
                                    "gpu_stage_us",
                                    "stream_rows",
                                    "cpu_threads",
                                    "cpu_elems_g_per_s",
                                    "cpu_attention_vector_gb_per_s",
                                    "cpu_attention_scores_g_per_s",
                                    "cpu_head_elems_g_per_s",
                                    "cpu_heads_g_per_s",
                                    "cpu_geglu_elems_g_per_s",
                                    "cpu_input_elems_g_per_s",
                                    "cpu_output_elems_g_per_s",
                                    "cpu_logit_elems_g_per_s",
                                    "cpu_unit_few_rows_us",
                                    "cpu_unit_many_rows_us",
                                    "cpu_mapped_slowdown",
                                    "cpu_cached_attention_gb_per_s",
                                    "cpu_cached_attention_vector_gb_per_s",
                                    "cpu_cache_bytes"};

/// A profile with everything that may be left out.
json full_profile() {
  auto profile = default_profile();
  double value = 2;
  for (const auto* name : kOptionalRates)
    profile["rates"][name] = {{"value", value++}, {"source", "measured"}};
  profile["block_types"] = {
      {"cpu", {{"Q4_0", {{"read_gb_per_s", {40, 39, 30, 20.5}}, {"tops", 1.5}, {"source", "measured"}}}}},
      {"gpu", {{"Q6_K", {{"read_gb_per_s", {300, 299, 298, 297}}, {"tops", 20}, {"source", "measured"}}}}}};
  return profile;
}

TEST(Machine, ReadsWhatMayBeLeftOut) {
  const auto plain = builtin_machine("default");
  EXPECT_EQ(plain.cpu_attention_tops, 0);
  EXPECT_TRUE(plain.cpu_types.empty());
  const auto full = parse_machine(full_profile().dump(), "test");
  EXPECT_EQ(full.cpu_attention_gb_per_s, 2);
  EXPECT_EQ(full.cpu_attention_tops, 3);
  EXPECT_EQ(full.gpu_attention_gb_per_s, 4);
  EXPECT_EQ(full.gpu_attention_tops, 5);
  EXPECT_EQ(full.cpu_stage_us, 6);
  EXPECT_EQ(full.gpu_stage_us, 7);
  EXPECT_EQ(full.stream_rows, 8);
  EXPECT_EQ(full.cpu_attention_vector_gb_per_s, 11);
  EXPECT_EQ(full.cpu_attention_scores_g_per_s, 12);
  EXPECT_EQ(full.cpu_elems, (ElementRates{10, 13, 14, 15, 16, 17, 18}));
  EXPECT_EQ(full.cpu_unit_few_rows_us, 19);
  EXPECT_EQ(full.cpu_unit_many_rows_us, 20);
  EXPECT_EQ(full.cpu_mapped_slowdown, 21);
  EXPECT_EQ(full.cpu_cached_attention_gb_per_s, 22);
  EXPECT_EQ(full.cpu_cached_attention_vector_gb_per_s, 23);
  EXPECT_EQ(full.cpu_cache_bytes, 24);
  EXPECT_EQ(full.cpu_types, (std::vector<TypeRates>{{model::TensorType::q4_0, {40, 39, 30, 20.5}, 1.5}}));
  EXPECT_EQ(full.gpu_types, (std::vector<TypeRates>{{model::TensorType::q6_k, {300, 299, 298, 297}, 20}}));
}

TEST(Machine, RefusesAbsurdNumbersAmongThoseToo) {
  for (const auto* name : kOptionalRates) {
    auto profile = full_profile();
    profile["rates"][name]["value"] = -1;
    expect_refused(profile, name);
    profile = full_profile();
    profile["rates"][name].erase("source");
    expect_refused(profile, name);
  }
  const auto refused_with = [](const char* at, const json& value) {
    auto profile = full_profile();
    profile[json::json_pointer(at)] = value;
    expect_refused(profile, "block_types");
  };
  refused_with("/block_types/cpu/Q4_0/read_gb_per_s", {1, 2, 3});
  refused_with("/block_types/cpu/Q4_0/read_gb_per_s/2", 0);
  refused_with("/block_types/cpu/Q4_0/read_gb_per_s/2", "fast");
  refused_with("/block_types/cpu/Q4_0/read_gb_per_s/3", 1e9);
  refused_with("/block_types/cpu/Q4_0/tops", 0);
  refused_with("/block_types/cpu/Q4_0/source", "");
  refused_with("/block_types/cpu/Q4_0/speed", 1);
  refused_with("/block_types/cpu/Q9_0", json::object());
  refused_with("/block_types/cpu", 1);
  refused_with("/block_types/npu", json::object());
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
