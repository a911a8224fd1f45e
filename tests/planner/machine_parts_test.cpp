#include "planner/machine_parts.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "planner/errors.h"

namespace tandem::planner {
namespace {

using nlohmann::json;

const std::filesystem::path kPartsFolder = TANDEM_SOURCE_DIR "/config/machines";

json read_json(const std::filesystem::path& path) {
  std::ifstream file(path);
  return json::parse(file);
}

/// What a vendor advertises for a card: GB/s of its memory, dense TFLOPS of fp16 with fp32 accumulation and
/// dense TOPS of int8.
struct Advertised {
  double gb_per_s;
  double float_tops;
  double int8_tops;
};

// From specification pages and whitepapers, not from config/machines: there are bus widths, pin rates, SMs
// and clocks, whose products must come to these.
const std::map<std::string, Advertised> kAdvertised{
    {"rtx3060-12gb", {360, 25.5, 102}},
    {"rtx3090", {936, 71, 285}},
    {"rtx4060ti-16gb", {288, 44, 177}},
    {"rtx4070", {504, 58.3, 233}},
    {"rtx4070ti", {504, 80.2, 321}},
    {"rtx4090", {1008, 165.2, 660.6}},
    {"rtx5070", {672, 61.7, 246.9}},
    {"rtx5090", {1792, 209.5, 838}},
    {"t4", {320, 65, 130}},
    {"l4", {300, 121, 242}},
    {"a10", {600, 125, 250}},
    {"h100-pcie", {2039, 756, 1513}},
    {"h100-sxm", {3350, 989, 1979}},
};

// GB/s on the box: channels x 8 bytes x transfers.
const std::map<std::string, double> kMemoryGbPerS{
    {"ddr4-3200", 51.2},      {"ddr5-4800", 76.8},      {"ddr5-5600", 89.6},      {"ddr5-6400", 102.4},
    {"ddr4-3200-8ch", 204.8}, {"ddr5-4800-8ch", 307.2}, {"ddr5-4800-12ch", 460.8}};

TEST(MachineParts, EveryFileIsBuiltInUnderItsName) {
  for (const auto* folder : {"gpu", "cpu"}) {
    std::size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(kPartsFolder / folder)) {
      const auto text = read_json(entry.path());
      EXPECT_EQ(text.at("name"), entry.path().stem().string());
      EXPECT_EQ(text.at("schema"), std::string("tandem.") + folder + "/1");
      ++files;
    }
    EXPECT_EQ(files, std::string(folder) == "gpu" ? known_gpus().size() : known_cpus().size());
  }
}

TEST(MachineParts, CardsComeToWhatTheirVendorAdvertises) {
  const auto gpus = known_gpus();
  ASSERT_EQ(gpus.size(), kAdvertised.size());
  for (const auto& gpu : gpus) {
    const auto& advertised = kAdvertised.at(gpu.name);
    EXPECT_NEAR(gpu.peak_gb_per_s(), advertised.gb_per_s, 0.002 * advertised.gb_per_s) << gpu.name;
    EXPECT_NEAR(gpu.peak_float_tops(), advertised.float_tops, 0.01 * advertised.float_tops) << gpu.name;
    EXPECT_NEAR(gpu.peak_int8_tops(), advertised.int8_tops, 0.01 * advertised.int8_tops) << gpu.name;
  }
}

TEST(MachineParts, CardsHaveTheMemoryTheyAreSoldWith) {
  // A driver keeps up to a tenth where memory corrects errors.
  for (const auto& [name, sold_gib] : std::map<std::string, double>{{"rtx3060-12gb", 12},
                                                                    {"rtx3090", 24},
                                                                    {"rtx4060ti-16gb", 16},
                                                                    {"rtx4070", 12},
                                                                    {"rtx4070ti", 12},
                                                                    {"rtx4090", 24},
                                                                    {"rtx5070", 12},
                                                                    {"rtx5090", 32},
                                                                    {"t4", 16},
                                                                    {"l4", 24},
                                                                    {"a10", 24},
                                                                    {"h100-pcie", 80},
                                                                    {"h100-sxm", 80}}) {
    const auto bytes = static_cast<double>(card_bytes(name).value());
    EXPECT_LE(bytes, sold_gib * (1 << 30)) << name;
    EXPECT_GE(bytes, 0.9 * sold_gib * (1 << 30)) << name;
  }
}

TEST(MachineParts, MemoryIsChannelsTimesRate) {
  const auto cpus = known_cpus();
  ASSERT_EQ(cpus.size(), kMemoryGbPerS.size());
  for (const auto& cpu : cpus) EXPECT_NEAR(cpu.peak_gb_per_s(), kMemoryGbPerS.at(cpu.name), 0.01) << cpu.name;
}

TEST(MachineParts, AMachineIsPeaksTimesWhatIsReached) {
  const auto machine = builtin_machine("rtx4090+ddr5-5600");
  EXPECT_EQ(machine.name, "rtx4090+ddr5-5600");
  EXPECT_NEAR(machine.vram_read_gb_per_s, 1008 * 0.85, 0.01);
  EXPECT_NEAR(machine.ram_read_gb_per_s, 89.6 * 0.8, 0.01);
  EXPECT_NEAR(machine.gpu_int8_tops, 660.6 * 0.4, 0.1);
  EXPECT_NEAR(machine.gpu_float_tops, 165.2 * 0.5, 0.1);
  EXPECT_NEAR(machine.cpu_int8_tops, 8 * 0.245, 1e-9);
  EXPECT_NEAR(machine.cpu_float_tops, 8 * 4.0 * 32 / 1000 / 2, 1e-9);
  EXPECT_NEAR(machine.pcie_gb_per_s, 31.508 * 0.76, 0.01);
  EXPECT_EQ(machine.driver_bytes, 320ULL << 20);
}

TEST(MachineParts, WholeProfilesAgreeWithTheirParts) {
  const auto expect_near = [](double whole, double parts, const char* rate) {
    EXPECT_NEAR(whole / parts, 1, 0.1) << rate;
  };
  for (const auto& [whole_name, parts_name] : std::map<std::string, std::string>{
           {"default", "rtx3060-12gb+ddr5-5600"}, {"rtx3060-12gb-ddr4", "rtx3060-12gb+ddr4-3200"}}) {
    const auto whole = builtin_machine(whole_name);
    const auto parts = builtin_machine(parts_name);
    expect_near(whole.ram_read_gb_per_s, parts.ram_read_gb_per_s, "ram_read_gb_per_s");
    expect_near(whole.vram_read_gb_per_s, parts.vram_read_gb_per_s, "vram_read_gb_per_s");
    expect_near(whole.cpu_int8_tops, parts.cpu_int8_tops, "cpu_int8_tops");
    expect_near(whole.cpu_float_tops, parts.cpu_float_tops, "cpu_float_tops");
    expect_near(whole.gpu_int8_tops, parts.gpu_int8_tops, "gpu_int8_tops");
    expect_near(whole.gpu_float_tops, parts.gpu_float_tops, "gpu_float_tops");
    expect_near(whole.pcie_gb_per_s, parts.pcie_gb_per_s, "pcie_gb_per_s");
    EXPECT_EQ(whole.driver_bytes, parts.driver_bytes);
  }
}

TEST(MachineParts, PcieRunsAtTheOlderGenerationAndTheCardsLanes) {
  const auto pcie = [](const char* name) { return builtin_machine(name).pcie_gb_per_s / 0.76; };
  EXPECT_NEAR(pcie("t4+ddr5-5600"), 15.754, 0.001);
  EXPECT_NEAR(pcie("rtx5090+ddr5-5600"), 63.015, 0.001);
  EXPECT_NEAR(pcie("rtx5090+ddr4-3200"), 31.508, 0.001);
  EXPECT_NEAR(pcie("rtx4060ti-16gb+ddr5-5600"), 15.754, 0.001);
  EXPECT_EQ(pcie_lane_gb_per_s(2), 0);
}

TEST(MachineParts, AGpuAloneStandsOnADesktop) {
  EXPECT_EQ(builtin_machine("l4"), builtin_machine("l4+ddr5-5600"));
  EXPECT_EQ(machine_from_parts("default"), std::nullopt);
  EXPECT_EQ(machine_from_parts("ddr5-5600"), std::nullopt);
  EXPECT_EQ(card_bytes("default"), std::nullopt);
  EXPECT_EQ(card_bytes("l4"), card_bytes("l4+ddr4-3200"));
}

TEST(MachineParts, EveryCombinationIsAProfileThatCouldBeAFile) {
  for (const auto& gpu : known_gpus()) {
    for (const auto& cpu : known_cpus()) {
      const auto machine = builtin_machine(gpu.name + "+" + cpu.name);
      EXPECT_GT(machine.vram_read_gb_per_s, machine.ram_read_gb_per_s / 3) << machine.name;
      EXPECT_GT(machine.gpu_int8_tops, machine.cpu_int8_tops) << machine.name;
      EXPECT_LT(machine.pcie_gb_per_s, machine.vram_read_gb_per_s) << machine.name;
    }
  }
}

void expect_hint(const char* name, const std::string& what, const std::string& hint) {
  try {
    builtin_machine(name);
    ADD_FAILURE() << name << " was accepted";
  } catch (const BadProfile& error) {
    EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << error.what();
    EXPECT_NE(error.hint().find(hint), std::string::npos) << error.hint();
  }
}

TEST(MachineParts, UnknownNamesGetTheNearestOne) {
  expect_hint("rtx4091", "no machine profile", "\"rtx4090\"");
  expect_hint("rtx4091+ddr5-5600", "no GPU", "\"rtx4090\"");
  expect_hint("rtx4090+ddr5-5601", "no CPU", "\"ddr5-5600\"");
  expect_hint("rtx4090+", "no CPU", "");
  expect_hint("+ddr5-5600", "no GPU", "");
  expect_hint("rtx4090+ddr5-5600+l4", "no CPU", "\"ddr5-5600\"");
  expect_hint("", "no machine profile", "");
}

template <typename Parse>
void expect_refused(const json& part, Parse parse, const std::string& text) {
  try {
    parse(part.dump(), "test");
    ADD_FAILURE() << "accepted, but should name " << text;
  } catch (const BadProfile& error) {
    EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
  }
}

template <typename Parse>
void expect_strict(const std::filesystem::path& path, Parse parse) {
  const auto good = read_json(path);
  EXPECT_NO_THROW(parse(good.dump(), "test"));
  for (const auto& [name, fact] : good.at("facts").items()) {
    auto part = good;
    part["facts"].erase(name);
    expect_refused(part, parse, "facts." + name);
    for (const auto& value : {json(-1), json(1e300), json("fast"), json(nullptr), json::array()}) {
      part = good;
      part["facts"][name]["value"] = value;
      expect_refused(part, parse, "facts." + name + ".value");
    }
    part = good;
    part["facts"][name]["source"] = "";
    expect_refused(part, parse, "facts." + name + ".source");
    part = good;
    part["facts"][name].erase("source");
    expect_refused(part, parse, "facts." + name + ".source");
  }
  auto part = good;
  part["facts"]["colour"] = {{"value", 1}, {"source", "me"}};
  expect_refused(part, parse, "colour");
  part = good;
  part["schema"] = "tandem.machine/1";
  expect_refused(part, parse, "schema");
  for (const auto* text : {"", "{", "[1]", "{\"facts\": NaN}", "{\"facts\": 1e999}"})
    EXPECT_THROW(parse(text, "test"), BadProfile) << text;
}

TEST(MachineParts, RefuseMissingUnknownAndAbsurdNumbers) {
  expect_strict(kPartsFolder / "gpu/t4.json", parse_gpu);
  expect_strict(kPartsFolder / "cpu/ddr4-3200.json", parse_cpu);
  expect_strict(kPartsFolder / "assumed.json", parse_assumed);
  for (const auto* name : {"memory_bus_bits", "sms", "boost_ghz", "vram_mib"}) {
    auto part = read_json(kPartsFolder / "gpu/t4.json");
    part["facts"][name]["value"] = 0;
    expect_refused(part, parse_gpu, name);
  }
}

TEST(MachineParts, WhatIsAssumedSaysSo) {
  // A number without a document behind it must be recognisable as such.
  const auto assumed = read_json(kPartsFolder / "assumed.json");
  for (const auto& [name, fact] : assumed.at("facts").items()) {
    const auto source = fact.at("source").get<std::string>();
    const bool is_named =
        source.find("assumed") != std::string::npos || source.find("README") != std::string::npos;
    EXPECT_TRUE(is_named) << name;
  }
}

}  // namespace
}  // namespace tandem::planner
